"""The example's demo, run as the README tells people to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GP_")}
    return subprocess.run(
        [sys.executable, "-m", "examples.echo_bot", *arguments],
        cwd=ROOT,
        env={**kept, "BOT_TOKEN": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_demo_shows_every_event_arriving_once() -> None:
    shown = run("--demo")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Eve: 503, 503, 200" in shown.stdout
    rows = re.findall(r"^  (\w+) +([A-Z]\w+) +(\S+) (\S+)$", shown.stdout, re.MULTILINE)
    for registration, payment in (
        ("REG", "FTD"),
        ("CompleteRegistration", "Purchase"),
        ("CompleteRegistration", "CompletePayment"),
    ):
        assert ("Ada", registration, "-", "-") in rows
        assert ("Bob", registration, "-", "-") in rows
        assert ("Ada", payment, "150.0", "EUR") in rows
        assert ("Eve", payment, "150.0", "EUR") in rows
    assert len(rows) == 12
    assert re.search(r'"fbc": "fb\.1\.\d{13}\.IwAR0Ada"', shown.stdout)
    assert '"ttclid": "E.C.P.Ada"' in shown.stdout
    assert shown.stderr == ""


def test_without_a_token_it_says_what_to_do() -> None:
    shown = run()
    assert shown.returncode == 1
    assert "Set BOT_TOKEN" in shown.stderr


def test_without_settings_it_names_every_variable() -> None:
    shown = run(BOT_TOKEN="42:TEST", GP_GRAMPIXEL__WORKSPACE_ID="mine")
    assert shown.returncode == 1
    assert "GP_GRAMPIXEL__API_KEY: missing" in shown.stderr
    assert "GP_GRAMPIXEL__WORKSPACE_ID" in shown.stderr
