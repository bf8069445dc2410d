"""``gp-aiogram sandbox`` as a process: start and end, whom it answers, whose bot it runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures.playground import PATIENCE, ROOT, Sandbox, begin, sandbox
from gp_aiogram import ConfigurationError
from gp_aiogram.playground.running import playground

PAGE = (ROOT / "docs" / "howto" / "playground.md").read_text(encoding="utf-8")

#: The bot of docs/howto/playground.md, whose tracker is configured by the environment.
(FROM_SETTINGS,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

#: One that gets its tracker later, such as in its main().
WITHOUT_TRACKER = FROM_SETTINGS.replace("Tracker.from_settings().setup(dp)", "")

#: One that would tell the real Meta.
OUTSIDE = FROM_SETTINGS.replace(
    "Tracker.from_settings()",
    "Tracker([__import__('gp_aiogram').MetaCAPI('1234567890123456', 'token')])",
)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and the complaint of a sandbox that does not start."""
    with process:
        try:
            shown, told = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert shown == ""
    return process.returncode, told


def events(state: Any) -> list[Any]:
    return [step for step in state["journey"] if step["kind"] == "event"]


def all_delivered(state: Any) -> bool:
    deliveries = [one for event in events(state) for one in event["deliveries"]]
    return bool(deliveries) and all(one["state"] == "delivered" for one in deliveries)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_though_somebody_looks(tmp_path: Path, stop: int) -> None:
    with sandbox(cwd=tmp_path, stop=stop) as running:
        client = httpx.Client(timeout=PATIENCE)
        stream = client.send(
            client.build_request("GET", f"{running.url}/api/people/1001/stream"), stream=True
        )
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("data: "))
    assert not any(line.startswith("data: ") for line in lines)  # ended, not cut off
    client.close()
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


def test_it_listens_where_it_is_told(tmp_path: Path) -> None:
    with sandbox(cwd=tmp_path) as first:
        port = first.url.rpartition(":")[2]
        code, told = ended(begin("--port", port, cwd=tmp_path))
        assert code == 1
        assert told.startswith(f"gp-aiogram: cannot listen on 127.0.0.1:{port}: ")
    with sandbox("--port", port, cwd=tmp_path) as again:
        assert again.url == first.url


def test_without_aiogram_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['aiogram'] = None; import gp_aiogram.cli as c; c.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "sandbox"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.endswith("aiogram is missing: pip install aiogram\n")


# Whom it answers


def test_it_answers_to_its_own_page_only(running: Sandbox) -> None:
    ours = {"X-GP-Action": "1", "Origin": running.url}
    refused: list[dict[str, str]] = [
        {},
        {**ours, "Origin": "https://evil.example"},
        {**ours, "Sec-Fetch-Site": "same-site"},
        {**ours, "Host": "evil.example"},
        {**ours, "X-Forwarded-For": "203.0.113.7"},
    ]
    for headers in refused:
        answer = httpx.post(f"{running.url}/api/people", headers=headers)
        assert answer.status_code == 403, headers
    assert httpx.post(f"{running.url}/api/people", headers=ours).status_code == 200
    for path in ("/", "/api/people/1001/stream"):
        answer = httpx.get(running.url + path, headers={"Host": "evil.example"})
        assert answer.status_code == 403


def test_the_page_loads_nothing_from_elsewhere(running: Sandbox) -> None:
    page = httpx.get(running.url)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("http-equiv", "")
    for name in ("playground.js", "playground.css"):
        assert httpx.get(f"{running.url}/static/{name}").status_code == 200
    assert httpx.get(f"{running.url}/static/nothing.js").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/api/people/7/say", {"text": "x"}, 409, "nobody here has the id 7"),
        ("/api/people/1001/fly", {}, 404, "there is no such action"),
        ("/api/people/1001/say", {}, 409, "text must be a text"),
        ("/api/people/1001/say", {"text": " "}, 409, "a message has 1 to 4096 characters"),
        ("/api/people/1001/press", {"data": "?"}, 409, "no button '?'"),
        ("/api/people/1001/pay", {"message_id": 1}, 409, "message 1 holds no invoice"),
        ("/api/people/1001/pay", {"message_id": "1"}, 409, "message_id must be a number"),
        ("/api/people/1001/open", {"url": "https://t.me/x"}, 409, "neither to @sandbox_42_bot"),
        ("/api/platforms/vk/switch", {"position": "503"}, 409, "there is no platform vk"),
        ("/api/platforms/meta/switch", {"position": "no"}, 409, "works, 503, timeout, 401, 429"),
        ("/api/platforms/vk/retry", {}, 409, "there is no platform vk"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(
    running: Sandbox, path: str, body: Any, status: int, reason: str
) -> None:
    answer = running.post(path, **body)
    assert answer.status_code == status
    assert reason in answer.json()["error"]


def test_a_body_that_is_no_object_is_refused(running: Sandbox) -> None:
    for content in ("[]", "{", "\xff"):
        answer = httpx.post(
            f"{running.url}/api/people/1001/say", content=content, headers={"X-GP-Action": "1"}
        )
        assert answer.status_code == 409
    assert httpx.get(f"{running.url}/api/people/7/stream").status_code == 404


# Whose bot it runs


@pytest.mark.parametrize("source", [FROM_SETTINGS, WITHOUT_TRACKER])
def test_a_bot_of_ones_own_talks_to_the_stand_ins(tmp_path: Path, source: str) -> None:
    (tmp_path / "mybot.py").write_text(source)
    with sandbox("mybot:dp", cwd=tmp_path) as running:
        assert running.post("/api/people/1001/go-on").status_code == 200
        state = running.state(all_delivered)
    assert state["chat"]["entries"][-1]["text"] == "Hello from my bot!"
    (event,) = events(state)
    told = {one["title"]: one["tries"][0]["request"] for one in event["deliveries"]}
    assert set(told) == {"GramPixel", "Meta", "TikTok"}
    assert told["GramPixel"]["event_name"] == "REG"


@pytest.fixture
def bots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of bots to start in; what a sandbox does to this process is undone."""
    (tmp_path / "mybot.py").write_text(FROM_SETTINGS)
    (tmp_path / "outside.py").write_text(OUTSIDE)
    (tmp_path / "broken.py").write_text("import something_that_is_not_there\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    environment = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(environment)
    for name in ("mybot", "outside", "broken"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("bots")
@pytest.mark.parametrize(
    ("path", "error", "reason"),
    [
        ("mybot", ConfigurationError, "such as mybot:dp, not 'mybot'"),
        ("other:dp", ConfigurationError, "there is no module other here"),
        ("mybot:bot", ConfigurationError, "mybot:bot must be a Dispatcher, not NoneType"),
        ("outside:dp", ConfigurationError, "would send to meta \\(graph.facebook.com\\)"),
        ("broken:dp", ModuleNotFoundError, "something_that_is_not_there"),
    ],
)
async def test_a_bot_that_cannot_run_here_is_refused(
    path: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        async with playground(0, path):
            pytest.fail("it runs")


def test_destinations_of_the_environment_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mybot.py").write_text(FROM_SETTINGS)
    (tmp_path / ".env").write_text("GP_KEITARO__HOST=k.example\nGP_KEITARO__KEY=a1b2c3d\n")
    code, told = ended(begin("mybot:dp", cwd=tmp_path))
    assert code == 2
    assert "would send to keitaro (k.example), and nothing may leave the sandbox" in told
    with sandbox(cwd=tmp_path) as running:  # the echo bot reads no settings
        state = running.state(lambda state: state["platforms"])
    assert [one["name"] for one in state["platforms"]] == ["grampixel", "meta", "tiktok"]
