"""Kills a process while it brings an old store up to date: the next one finds all of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fixtures.fault_table import RUNS, Table
from gp_aiogram import SQLiteStore
from gp_aiogram.stores.keys import order_key
from gp_aiogram.stores.sqlite.schema import MIGRATIONS

KILLS = 40 * RUNS

DUMPS = Path(__file__).parents[1] / "data" / "schema"

#: Many more of what a file of any version holds, so that it takes a while.
MORE = """
    WITH RECURSIVE n(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM n WHERE n < 4000)
    INSERT INTO event (seq, event_id, {name} telegram_id, bot_id, accepted_ms, body)
    SELECT n, 'm-' || n, {value} 7, 42, 1767268801000, replace(body, '"e-0"', '"m-' || n || '"')
    FROM n, (SELECT body FROM event WHERE event_id = 'e-0');
    INSERT INTO delivery (seq, destination, state, since_ms, due_ms)
    SELECT seq, 'a', 'delivered', 1, 1 FROM event WHERE seq >= 100;
    INSERT INTO click (session_id, at_ms, body)
    SELECT 'gp_' || seq, 1, click.body FROM event, (SELECT body FROM click LIMIT 1) AS click
    WHERE seq >= 100;
"""

#: The same in every file that was brought up to date; digests are salted.
TABLES = ("event", "delivery", "session", "click", "trait", "tally", "click_id", "invite")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("opening_bot.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        yield process
        process.kill()


def make(path: Path, version: int) -> None:
    has_names = version >= 3
    more = MORE.format(name="name," if has_names else "", value="'REG'," if has_names else "")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DUMPS / f"v{version}.sql").read_text(encoding="utf-8"))
        connection.executescript(f"BEGIN; {more} COMMIT;")
        if has_names:
            connection.execute("DELETE FROM tally")
            counted = "SELECT destination, state, count(*) FROM delivery GROUP BY 1, 2"
            connection.execute(f"INSERT INTO tally {counted}")
            connection.commit()


def open_in(nursery: subprocess.Popen[str], path: Path, delay: float) -> int:
    """Open a store in a process that is killed after a while, and return how it has ended."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    nursery.stdin.write(f"sqlite:///{path} {delay}\n")
    nursery.stdin.flush()
    return int(nursery.stdout.readline())


def content(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA user_version").fetchall() == [(len(MIGRATIONS),)]
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in TABLES
        }


async def knows_the_order(path: Path) -> bool:
    store = SQLiteStore(path)
    await store.open()
    try:
        return bool(await store.outbox.known_keys([order_key(42, "1001", "Purchase")]))
    finally:
        await store.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_an_old_file_survives_kills_while_it_is_brought_up_to_date(
    nursery: subprocess.Popen[str], tmp_path: Path, table: Table, version: int
) -> None:
    whole = tmp_path / "whole.sqlite3"
    make(whole, version)
    assert open_in(nursery, tmp_path / "new.sqlite3", 60) == 0  # it has imported everything
    start = time.monotonic()
    assert open_in(nursery, whole, 60) == 0
    takes = time.monotonic() - start
    expected = content(whole)
    draw, kills, files = Random(version), 0, 0
    while kills < KILLS / (len(MIGRATIONS) - 1):
        files += 1
        path = tmp_path / f"{files}.sqlite3"
        make(path, version)
        while (ended := open_in(nursery, path, draw.uniform(0.1, 1) * takes)) != 0:
            assert ended == -signal.SIGKILL
            kills += 1
        lost = sum(
            len({*map(repr, rows)} - {*map(repr, content(path)[name])})
            for name, rows in expected.items()
        )
        table.add(
            "SIGKILL amid migration, SQLite",
            acknowledged=sum(map(len, expected.values())),
            lost=lost,
        )
        assert content(path) == expected
        assert asyncio.run(knows_the_order(path))
    table.add("SIGKILL amid migration, SQLite", kills=kills)
