"""``gp-aiogram worker`` as a process: a real store, a stand-in of GramPixel, real signals."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fixtures.workers import SOON, destination, environment, worker
from gp_aiogram import SQLiteStore, Tracker
from gp_aiogram.sandbox import Fault, GramPixelSandbox

#: Runs a command line, and writes down at its end what was ever imported.
SHOWS_MODULES = """
import atexit, json, sys
atexit.register(lambda: open("modules.json", "w").write(json.dumps(sorted(sys.modules))))
from gp_aiogram.cli import main
sys.argv[0] = "gp-aiogram"
main()
"""


@pytest.fixture
async def sandbox() -> AsyncIterator[GramPixelSandbox]:
    async with GramPixelSandbox() as sandbox:
        yield sandbox


async def record(tmp_path: Path, sandbox: GramPixelSandbox, count: int) -> list[str]:
    """Record events as a bot does that leaves their delivery to a worker."""
    store = SQLiteStore(tmp_path / "gp.sqlite3")
    async with Tracker([destination(sandbox)], store=store, deliver=False, journal=None) as bot:
        events = [await bot.track("REG", telegram_id=7) for _ in range(count)]
    assert sandbox.requests == []
    return [event.event_id for event in events if event is not None]


def ids(sandbox: GramPixelSandbox) -> list[str]:
    return [request.headers["Idempotency-Key"] for request in sandbox.requests]


async def states(tmp_path: Path) -> dict[str, int]:
    store = SQLiteStore(tmp_path / "gp.sqlite3")
    await store.open()
    try:
        return dict((await store.outbox.counts())["grampixel"])
    finally:
        await store.close()


def under_way(sandbox: GramPixelSandbox, fault: Fault) -> asyncio.Event:
    """Have the next request fail so, and tell when it has come."""
    come = asyncio.Event()

    def tell(_: Any) -> bool:
        come.set()
        return True

    sandbox.fail(fault, when=tell)
    return come


SQLITE = "sqlite:///gp.sqlite3"


async def test_it_delivers_what_a_bot_has_recorded_and_never_imports_aiogram(
    tmp_path: Path, sandbox: GramPixelSandbox
) -> None:
    recorded = await record(tmp_path, sandbox, 20)
    env = environment(SQLITE, sandbox)
    async with worker(tmp_path, env, command=("-c", SHOWS_MODULES)) as one:
        await sandbox.wait_for(20, SOON)
        one.signal(signal.SIGTERM)
        assert await one.ended() == 0
    assert sorted(ids(sandbox)) == sorted(recorded)
    assert await states(tmp_path) == {"delivered": 20}
    modules = json.loads((tmp_path / "modules.json").read_text("utf-8"))
    assert "gp_aiogram.delivery.lane" in modules
    assert [name for name in modules if name.split(".")[0] == "aiogram"] == []
    assert "Traceback" not in one.log
    assert "INFO gp_aiogram: started: destinations grampixel" in one.log


async def test_health_and_metrics_are_served(tmp_path: Path, sandbox: GramPixelSandbox) -> None:
    await record(tmp_path, sandbox, 3)
    async with worker(tmp_path, environment(SQLITE, sandbox)) as one:
        await one.until_ready()
        assert await one.get("/healthz") == (200, "alive\n")
        await sandbox.wait_for(3, SOON)
        samples: dict[str, float] = {}
        while samples.get("gp_aiogram_pending_deliveries") != 0:
            _, text = await one.get("/metrics")
            families = text_string_to_metric_families(text)
            samples = {
                sample.name: sample.value
                for family in families
                for sample in family.samples
                if sample.labels in ({}, {"destination": "grampixel"})
            }
        assert samples["gp_aiogram_delivery_age_seconds_count"] == 3
        assert samples["gp_aiogram_store_up"] == 1
        assert samples["gp_aiogram_destination_paused"] == 0
        assert samples["process_resident_memory_bytes"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_it_finishes_the_request_under_way(
    tmp_path: Path, sandbox: GramPixelSandbox, number: signal.Signals
) -> None:
    recorded = await record(tmp_path, sandbox, 1)
    come = under_way(sandbox, Fault.delay(1.0))
    async with worker(tmp_path, environment(SQLITE, sandbox)) as one:
        await asyncio.wait_for(come.wait(), SOON)
        one.signal(number)
        await asyncio.sleep(0.3)
        assert (await one.get("/healthz"))[0] == 200
        assert (await one.get("/readyz"))[0] == 503
        assert await one.ended() == 0
        assert f"{number.name}: finishing what is under way" in one.log
    assert ids(sandbox) == recorded
    assert await states(tmp_path) == {"delivered": 1}


async def test_what_takes_longer_than_the_grace_is_cut_off_and_sent_by_the_next(
    tmp_path: Path, sandbox: GramPixelSandbox
) -> None:
    recorded = await record(tmp_path, sandbox, 1)
    come = under_way(sandbox, Fault.hang())
    env = environment(SQLITE, sandbox)
    async with worker(tmp_path, env, "--grace", "0.2") as one:
        await asyncio.wait_for(come.wait(), SOON)
        began = time.monotonic()
        one.signal(signal.SIGTERM)
        assert await one.ended() == 0
        assert time.monotonic() - began < 5
    assert await states(tmp_path) == {"pending": 1}
    async with worker(tmp_path, env):
        await sandbox.wait_for(1, SOON)
    assert set(ids(sandbox)) == set(recorded)


async def test_told_twice_it_exits_at_once(tmp_path: Path, sandbox: GramPixelSandbox) -> None:
    await record(tmp_path, sandbox, 1)
    come = under_way(sandbox, Fault.hang())
    async with worker(tmp_path, environment(SQLITE, sandbox), "--grace", "60") as one:
        await asyncio.wait_for(come.wait(), SOON)
        one.signal(signal.SIGTERM)
        while "finishing" not in one.log:
            await asyncio.sleep(0.01)
        one.signal(signal.SIGTERM)
        assert await asyncio.wait_for(one.process.wait(), 5) == 128 + signal.SIGTERM


async def test_a_rolling_restart_loses_nothing(tmp_path: Path, sandbox: GramPixelSandbox) -> None:
    recorded = await record(tmp_path, sandbox, 200)
    sandbox.fail(Fault.delay(0.05), times=None)
    env = environment(SQLITE, sandbox)
    for share in (20, 60):
        async with worker(tmp_path, env) as one:
            await sandbox.wait_for(share, SOON)
            one.signal(signal.SIGTERM)
            assert await one.ended() == 0
    sandbox.recover()
    async with worker(tmp_path, env):
        await sandbox.wait_for(200, SOON)
    assert sorted(ids(sandbox)) == sorted(recorded)


# What is said when it cannot work


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


WORKER = ("-m", "gp_aiogram", "worker")
COMPLETE = {
    "GP_GRAMPIXEL__API_KEY": "secret-key",
    "GP_GRAMPIXEL__WORKSPACE_ID": "0f8fad5b-d9cb-469f-a165-70867728950e",
}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "no destination is configured: set GP_GRAMPIXEL__API_KEY"),
        ({**COMPLETE, "GP_STORE": "nope://"}, "GP_STORE: malformed; expected a URL such as"),
        ({**COMPLETE, "GP_STORE": "memory://"}, "a worker has nothing to deliver in memory://"),
        ({**COMPLETE, "GP_GRAMPIXEL__WORKSPACE_ID": "x"}, "GP_GRAMPIXEL__WORKSPACE_ID"),
    ],
)
def test_wrong_settings_are_told_without_a_traceback(
    tmp_path: Path, env: dict[str, str], said: str
) -> None:
    ran = run(tmp_path, *WORKER, **env)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith("gp-aiogram: ")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "secret-key" not in ran.stderr


@pytest.mark.parametrize(
    "options", [("--port", "65536"), ("--port", "x"), ("--grace", "-1"), ("--nope",)]
)
def test_wrong_options_are_told(tmp_path: Path, options: tuple[str, ...]) -> None:
    ran = run(tmp_path, *WORKER, *options, **COMPLETE)
    assert ran.returncode == 2
    assert "Error: " in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = run(tmp_path, *WORKER, "--port", port, **COMPLETE)
    assert ran.returncode == 1
    assert f"gp-aiogram: cannot listen on 127.0.0.1:{port}: " in ran.stderr
    assert "Traceback" not in ran.stderr


async def test_a_store_that_another_process_owns_is_told(
    tmp_path: Path, sandbox: GramPixelSandbox
) -> None:
    await record(tmp_path, sandbox, 1)
    come = under_way(sandbox, Fault.hang())
    env = environment(SQLITE, sandbox)
    async with worker(tmp_path, env):
        await asyncio.wait_for(come.wait(), SOON)
        ran = await asyncio.to_thread(run, tmp_path, *WORKER, **COMPLETE)
    assert ran.returncode == 1
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("gp-aiogram: ")
    assert "another process" in last
    assert "Traceback" not in ran.stderr


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['typer'] = None; from gp_aiogram.cli import main; main()"
    ran = run(tmp_path, "-c", code)
    assert ran.returncode == 2
    assert ran.stderr == "gp-aiogram: the command line needs: pip install 'gp-aiogram[cli]'\n"


async def test_without_prometheus_client_it_delivers_and_says_what_metrics_need(
    tmp_path: Path, sandbox: GramPixelSandbox
) -> None:
    await record(tmp_path, sandbox, 1)
    code = (
        "import sys; sys.modules['prometheus_client'] = None; "
        "from gp_aiogram.cli import main; main()"
    )
    async with worker(tmp_path, environment(SQLITE, sandbox), command=("-c", code)) as one:
        await sandbox.wait_for(1, SOON)
        status, text = await one.get("/metrics")
    assert status == 501
    assert "gp-aiogram[metrics]" in text


@pytest.mark.parametrize("arguments", [("--help",), ("worker", "--help")])
def test_help_is_plain_when_piped(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = run(tmp_path, "-m", "gp_aiogram", *arguments)
    assert ran.returncode == 0
    assert "\x1b" not in ran.stdout
    assert "worker" in ran.stdout


def test_the_help_of_a_worker_has_examples_and_exit_codes(tmp_path: Path) -> None:
    ran = run(tmp_path, *WORKER, "--help")
    assert "\n    gp-aiogram worker --port 9100\n" in ran.stdout
    assert "0  stopped by SIGTERM or SIGINT" in ran.stdout


def test_the_command_that_is_installed_is_the_same(tmp_path: Path) -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert '[project.scripts]\ngp-aiogram = "gp_aiogram.cli:main"\n' in project
    ran = run(tmp_path, "-c", "from gp_aiogram.cli import main; main()", "--version")
    assert ran.returncode == 0
    assert ran.stdout.strip() == version("gp-aiogram")


# Who pays for aiogram


def imported_by(code: str, folder: Path, names: Callable[[str], bool]) -> list[str]:
    ran = run(folder, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))")
    assert ran.returncode == 0, ran.stderr
    return [name for name in ran.stdout.split() if names(name.split(".")[0])]


PAYMENT_SERVICE = """
import asyncio
from gp_aiogram import GramPixel, SQLiteStore, Tracker

async def main():
    destinations = [GramPixel("key", "0f8fad5b-d9cb-469f-a165-70867728950e")]
    store = SQLiteStore("gp.sqlite3")
    async with Tracker(destinations, store=store, deliver=False) as tracker:
        assert await tracker.deposit(telegram_id=7, value=5, once="order 1") is not None

asyncio.run(main())
"""


def test_a_payment_service_never_imports_aiogram(tmp_path: Path) -> None:
    assert imported_by(PAYMENT_SERVICE, tmp_path, "aiogram".__eq__) == []


@pytest.mark.parametrize("room", ["settings", "web", "cli", "telemetry"])
def test_no_room_but_the_bots_imports_aiogram_or_an_extra(tmp_path: Path, room: str) -> None:
    extras = {"aiogram", "asyncpg", "redis", "typer", "prometheus_client", "opentelemetry"}
    assert imported_by(f"import gp_aiogram.{room}", tmp_path, extras.__contains__) == []


def test_the_command_line_does_not_either(tmp_path: Path) -> None:
    assert imported_by("import gp_aiogram.cli.app", tmp_path, "aiogram".__eq__) == []
