"""The files and pages that people deploy with: what can be run of them is run."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from fixtures.pages import blocks
from fixtures.workers import environment, worker
from gp_aiogram import Settings
from gp_aiogram.sandbox import GramPixelSandbox
from gp_aiogram.settings.settings import _variables

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")

#: What the echo bot and compose.yaml read themselves.
OTHERS = {"BOT_TOKEN", "POSTGRES_PASSWORD", "PORT", "PAYMENT_PROVIDER_TOKEN"}


def needed(command: str) -> str:
    """Return the path of a command; without it a test fails in CI and is skipped elsewhere."""
    found = shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{command} is missing")
        pytest.skip(f"{command} is not installed")
    return found


# .env.example


def test_each_variable_of_the_example_exists() -> None:
    named = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", EXAMPLE, re.MULTILINE))
    assert named - OTHERS <= _variables()
    assert "GP_GRAMPIXEL__API_KEY" in named


@pytest.mark.parametrize("everything", [False, True])
def test_the_example_can_be_filled_in(tmp_path: Path, everything: bool) -> None:
    text = (
        re.sub(r"^# (?=[A-Z][A-Z0-9_]*=)", "", EXAMPLE, flags=re.MULTILINE)
        if everything
        else EXAMPLE
    )
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    settings = Settings(_env_file=tmp_path / ".env")
    names = [destination.name for destination in settings.destinations()]
    assert names == (
        ["grampixel", "leadsail", "meta", "tiktok", "keitaro"] if everything else ["grampixel"]
    )
    assert dotenv_values(tmp_path / ".env")["BOT_TOKEN"]


# Dockerfile and compose.yaml


def test_the_image_copies_what_is_here_and_not_ignored() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    sources = {
        source
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert {source.removeprefix("./") for source in sources} == kept
    assert all((ROOT / source).exists() for source in sources)


def test_the_environment_of_each_service_exists() -> None:
    named = {
        name
        for service in COMPOSE["services"].values()
        for name in service.get("environment", {})
        if name.startswith("GP_")
    }
    assert named == {"GP_STORE", "GP_DELIVER"}
    assert named <= _variables()


async def test_the_worker_of_compose_runs_and_is_healthy(tmp_path: Path) -> None:
    service = COMPOSE["services"]["worker"]
    program, *options = service["command"]
    port = options.index("--port")
    host = options.index("--host")
    assert (program, options[0]) == ("gp-aiogram", "worker")
    rest = [
        word for n, word in enumerate(options[1:], 1) if n not in {port, port + 1, host, host + 1}
    ]
    async with GramPixelSandbox() as sandbox:
        env = environment("sqlite:///gp.sqlite3", sandbox)
        async with worker(tmp_path, env, *rest) as running:
            await running.until_ready()
            kind, python, flag, code = service["healthcheck"]["test"]
            assert (kind, python, flag) == ("CMD", "python", "-c")
            printed = f"http://127.0.0.1:{options[port + 1]}"
            assert printed in code
            asked = await asyncio.create_subprocess_exec(
                sys.executable, flag, code.replace(printed, running.url)
            )
            assert await asked.wait() == 0


def test_the_bot_of_compose_starts(tmp_path: Path) -> None:
    python, *words = COMPOSE["services"]["bot"]["command"]
    assert python == "python"
    ran = subprocess.run(
        [sys.executable, *words, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "--demo" in ran.stdout


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_a_worker_has_time_to_finish() -> None:
    service = COMPOSE["services"]["worker"]
    grace = float(service["command"][service["command"].index("--grace") + 1])
    assert seconds(service["stop_grace_period"]) > grace


# systemd


@pytest.mark.parametrize("unit", blocks("howto/systemd", "ini"), ids=["bot", "worker"])
def test_systemd_takes_the_units(tmp_path: Path, unit: str) -> None:
    analyze = needed("systemd-analyze")
    name = Path(unit.splitlines()[0].removeprefix("# ")).name
    assert f"{name.removesuffix('.service')}" in {"bot", "gp-worker@"}
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    started = re.search(r"^ExecStart=(\S+)", unit, re.MULTILINE)
    assert started is not None
    text = unit.replace(started[1], str(program)).replace("User=bot", "User=root")
    path = tmp_path / name.replace("@", "@9101")
    path.write_text(text, encoding="utf-8")
    ran = subprocess.run(
        [analyze, "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in ran.stderr.splitlines() if path.name in line]
    assert not ours, ran.stderr
    assert "Unknown" not in ran.stderr


def test_the_worker_of_systemd_is_a_command() -> None:
    (line,) = re.findall(
        r"^ExecStart=\S+/gp-aiogram (.*)$", blocks("howto/systemd", "ini")[1], re.MULTILINE
    )
    command, *options = shlex.split(line)
    ran = subprocess.run(
        [sys.executable, "-m", "gp_aiogram", command, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert all(option in ran.stdout for option in options if option.startswith("--"))
