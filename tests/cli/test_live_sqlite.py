"""A bot has its SQLite file open, and somebody looks."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import pytest

from fixtures.live_bot import live_bot
from fixtures.sample_store import ANN, ENV, OFFLINE
from fixtures.terminal import in_terminal, piped

LOOKS = [
    ("events",),
    ("outbox",),
    ("outbox", "pending"),
    ("outbox", "show", "ftd-1001"),
    ("sessions", "show", str(ANN)),
    ("report", "--since", "2026-09-20"),
    ("doctor",),
]

CHANGES = [
    ("outbox", "replay", "--yes"),
    ("outbox", "purge", "--yes"),
    ("forget", str(ANN), "--yes"),
    ("import", "users.csv"),
    ("send", "REG", "--user", "7"),
]


def digests(folder: Path) -> dict[str, str]:
    """Tell what the file and its log hold; what readers share of the log they may change."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "gp.sqlite3", folder / "gp.sqlite3-wal")
    }


def ids(folder: Path) -> list[str]:
    ran = piped("events", "--limit", "1000", folder=folder, env=ENV)
    assert ran.code == 0
    return [row["event_id"] for row in csv.DictReader(io.StringIO(ran.out), delimiter="\t")]


def test_looking_sees_what_is_new_and_leaves_no_trace(folder: Path) -> None:
    with live_bot(folder) as bot:
        first = bot.record(7)
        before = digests(folder)
        for arguments in LOOKS:
            ran = in_terminal(*arguments, folder=folder, env=OFFLINE)
            assert ran.code == (arguments == ("doctor",)), ran.plain
        assert digests(folder) == before
        assert ids(folder)[0] == first
        second = bot.record(8)
        assert ids(folder)[:2] == [second, first]


def test_looking_all_the_time_does_not_keep_the_bot_from_recording(folder: Path) -> None:
    with live_bot(folder) as bot:
        recorded = []
        for user in range(100, 120):
            recorded.append(bot.record(user))
            if user % 5 == 0:
                assert ids(folder)[0] == recorded[-1]
    # Killed: what was recorded is there for who looks before the next start.
    assert ids(folder)[:20] == recorded[::-1]
    with live_bot(folder) as bot:
        last = bot.record(7)
        assert ids(folder)[0] == last


@pytest.mark.parametrize("arguments", CHANGES, ids=" ".join)
def test_changing_says_to_stop_the_bot(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "users.csv").write_text("telegram_id,first_deposit\n7,1\n")
    with live_bot(folder) as bot:
        before = digests(folder)
        ran = piped(*arguments, folder=folder, env=ENV)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err == (
            "gp-aiogram: a running bot has gp.sqlite3, and no other process may write it: stop "
            "the bot, run this again, and start the bot. With PostgreSQL it works beside the bot\n"
        )
        assert digests(folder) == before
        assert bot.record(7)
