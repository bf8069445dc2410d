"""The recipe of docs/howto/gateway.md: the server as it is started, curl as it is pasted."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "gateway.md").read_text(encoding="utf-8")

PRINTED = "http://127.0.0.1:8080"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def settings() -> dict[str, str]:
    """The variables that the page exports."""
    words = shlex.split(blocks("sh")[0])
    pairs = (word.partition("=") for word in words if word.startswith("GP_"))
    return {name: value for name, _, value in pairs}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The gateway, started as the page says, but on a free port."""
    command = blocks("sh")[0].strip().splitlines()[-1].split()
    assert command[0] == "gp-aiogram"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GP_")}
    nobody = {"GP_META__BASE_URL": "http://127.0.0.1:9", "GP_GATEWAY__PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gp_aiogram", *command[1:]],
        cwd=tmp_path,
        env={**kept, **settings(), **nobody, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    found = (re.search(r"the gateway listens at (http://\S+)", line) for line in lines)
    yield next(match[1] for match in found if match)
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest


def test_curl_gets_what_the_page_shows(address: str, tmp_path: Path) -> None:
    assert shutil.which("curl"), "the recipe needs curl"
    commands, answers = blocks("sh")[1:], blocks("json")
    assert len(commands) == len(answers) == 3
    for command, answer in zip(commands, answers, strict=True):
        asked = subprocess.run(
            ["sh", "-c", command.replace(PRINTED, address)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert json.loads(asked.stdout) == json.loads(answer)
    assert (tmp_path / "gp.sqlite3").exists()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GP_")}
    ran = subprocess.run(
        [sys.executable, "-m", "gp_aiogram", "serve"],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT), "GP_META__PIXEL_ID": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert "GP_META__ACCESS_TOKEN: missing" in ran.stderr
    assert "Traceback" not in ran.stderr
