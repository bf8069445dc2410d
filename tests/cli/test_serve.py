"""``gp-aiogram serve`` as a process; what it answers is tested with the recipe of its page."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).parents[2]
KEYS = "a-long-random-key=0f8fad5b-d9cb-469f-a165-70867728950e"
META = {"GP_META__PIXEL_ID": "1", "GP_META__ACCESS_TOKEN": "token"}


def serve(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GP_")}
    return subprocess.Popen(
        [sys.executable, "-m", "gp_aiogram", "serve", *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **META, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_arguments_win_over_variables(tmp_path: Path) -> None:
    variables = {"GP_GATEWAY__KEYS": KEYS, "GP_GATEWAY__PORT": "1", "GP_GATEWAY__HOST": "nowhere"}
    with serve(tmp_path, "--host", "127.0.0.1", "--port", "0", **variables) as process:
        assert process.stdout is not None
        assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+\n", process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert "a-long-random-key" not in told


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serve(tmp_path, "--port", port, GP_GATEWAY__KEYS=KEYS) as process:
            _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: " in told
    assert "Traceback" not in told


def test_missing_keys_are_named(tmp_path: Path) -> None:
    with serve(tmp_path) as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "GP_GATEWAY__KEYS is missing: expected API keys and their workspaces" in told


def test_the_inspector_is_served_when_it_has_a_token(tmp_path: Path) -> None:
    token = "a-token-that-nobody-guesses"
    variables = {"GP_GATEWAY__KEYS": KEYS, "GP_INSPECTOR__TOKEN": token}
    with serve(tmp_path, "--port", "0", **variables) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1] + "/inspector"
        with urlopen(f"{url}/", timeout=20) as page:
            assert b"<title>Inspector" in page.read()
        with pytest.raises(HTTPError, match="401"):
            urlopen(f"{url}/api/events", timeout=20)
        headers = {"Content-Type": "application/json", "X-GP-Action": "1"}
        body = json.dumps({"token": token}).encode()
        with urlopen(Request(f"{url}/api/login", body, headers), timeout=20) as told:
            cookie = told.headers["Set-Cookie"].partition(";")[0]
        with urlopen(Request(f"{url}/api/events", headers={"Cookie": cookie}), timeout=20) as told:
            assert json.load(told)["events"] == []
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert "the inspector is at http://127.0.0.1:" in log
    assert token not in log


def test_an_inspector_that_nobody_could_look_at_is_refused(tmp_path: Path) -> None:
    with serve(tmp_path, GP_GATEWAY__KEYS=KEYS, GP_INSPECTOR__PATH="/ops") as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Inspector(token=...) is missing" in told
