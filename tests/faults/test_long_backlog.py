"""An outbox with a long backlog costs neither memory nor time: a million events in long runs."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fixtures.fault_table import RUNS
from gp_aiogram import SQLiteStore
from gp_aiogram.stores.sqlite.tally import counts
from gp_aiogram.testing.samples import entry, sample

#: With ``GP_FAULT_RUNS=5`` and more there are a million.
EVENTS = 200_000 * min(RUNS, 5)

#: What a backlog may cost, in MiB and milliseconds.
MOST_GROWN, LONGEST_STALL, LONGEST_STATS = 20, 50, 50

#: Tries, of which the best counts: what else the machine does is none of the store's doing.
TRIES = 5

MORE = """
    WITH RECURSIVE n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n <= :count)
    INSERT INTO event (seq, event_id, name, telegram_id, bot_id, accepted_ms, body)
    SELECT n, printf('b%07d', n), name, n % 5000, bot_id, accepted_ms,
        replace(body, 'b0000001', printf('b%07d', n))
    FROM n, (SELECT * FROM event WHERE seq = 1);
    """

DELIVERIES = """
    INSERT INTO delivery (seq, destination, since_ms, due_ms)
    SELECT seq, 'a', accepted_ms, accepted_ms FROM event WHERE seq > 1;
    """


@pytest.fixture(scope="module")
def backlog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in which so many deliveries are due."""
    path = tmp_path_factory.mktemp("backlog") / "gp.sqlite3"

    async def begin() -> None:
        store = SQLiteStore(path)
        await store.outbox.accept(entry(sample("b0000001", user_data={"x": "x" * 200})))
        await store.close()

    asyncio.run(begin())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(MORE, {"count": EVENTS})
        connection.execute(DELIVERIES)
        connection.execute("UPDATE tally SET n = (SELECT count(*) FROM delivery)")
        connection.commit()
    return path


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory from /proc")
def test_a_backlog_costs_neither_memory_nor_time(backlog: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("backlog_bot.py"))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    tried = []
    for number in range(TRIES):
        files = [str(tmp_path / f"{number}.sqlite3"), str(backlog)]
        done = subprocess.run([*command, *files], env=env, check=True, capture_output=True)
        costs = json.loads(done.stdout)
        assert costs["claimed"] >= 15_000
        tried.append(costs)
        if (
            costs["grown_mib"] <= MOST_GROWN
            and costs["stalled_ms"] <= LONGEST_STALL
            and costs["stats_ms"] <= LONGEST_STATS
        ):
            print(f"{EVENTS:,} events: {costs}")
            return
    pytest.fail(f"{EVENTS:,} events: {tried}")


def test_stats_do_not_scan(backlog: Path) -> None:
    """However many deliveries there are, SQLite takes a few steps to count them."""
    with closing(sqlite3.connect(backlog)) as connection:
        steps: list[None] = []
        connection.set_progress_handler(lambda: steps.append(None), 1000)
        (counted,) = counts(connection, [None])
        assert counted["a"]["pending"] > 1000
        assert len(steps) < 3
        connection.execute("SELECT count(*) FROM delivery WHERE state = 'pending'").fetchall()
        assert len(steps) > 100, "a scan would be noticed"
