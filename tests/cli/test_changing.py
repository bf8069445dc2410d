"""Commands that change a store or send: replay, purge, forget, import and send."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.sample_store import ANN, BOB, ENV
from fixtures.terminal import in_terminal, piped, within
from gp_aiogram import SQLiteStore, Tracker
from gp_aiogram.sandbox import GramPixelSandbox
from gp_aiogram.stores.records import State


def rows(text: str) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(text), delimiter="\t")]


def states(folder: Path, destination: str) -> dict[str, int]:
    (row,) = [
        row
        for row in rows(within("outbox", folder=folder, env=ENV).out)
        if row["destination"] == destination
    ]
    names: tuple[State, ...] = ("pending", "dead", "delivered", "skipped")
    return {name: int(row[name]) for name in names if row[name] != "0"}


def test_replay_asks_in_a_terminal(folder: Path) -> None:
    question = [("[y/N]", "n")]
    ran = in_terminal("outbox", "replay", folder=folder, env=ENV, answers=question)
    assert ran.code == 1
    assert "Have 1 dead letter tried again? [y/N]: n" in ran.plain
    assert "nothing was changed" in ran.plain
    assert states(folder, "meta") == {"pending": 1, "dead": 1, "delivered": 1}
    ran = in_terminal("outbox", "replay", folder=folder, env=ENV, answers=[("[y/N]", "y")])
    assert ran.code == 0
    assert "tried again: 1 dead letter" in ran.plain
    assert states(folder, "meta") == {"pending": 2, "delivered": 1}


@pytest.mark.parametrize(
    ("options", "replayed"),
    [
        (("--destination", "meta"), 1),
        (("--destination", "grampixel"), 0),
        (("--event", "ftd-1001"), 1),
        (("--event", "reg-1002"), 0),
        (("--user", str(ANN)), 1),
        (("--user", str(BOB)), 0),
        (("--bot", "43"), 0),
        (("--before", "2026-09-21"), 0),
        (("--maybe-delivered",), 0),
        (("--not-delivered",), 1),
    ],
    ids=str,
)
def test_replay_takes_what_a_filter_means(
    folder: Path, options: tuple[str, ...], replayed: int
) -> None:
    ran = within("outbox", "replay", "--yes", *options, folder=folder, env=ENV)
    assert (ran.code, ran.out.split()[2]) == (0, str(replayed))
    assert states(folder, "meta").get("dead", 0) == 1 - replayed


def test_purge_asks_and_gives_up_for_good(folder: Path) -> None:
    purge = ("outbox", "purge", "--destination", "meta")
    ran = in_terminal(*purge, folder=folder, env=ENV, answers=[("[y/N]", "y")])
    assert "Give up 1 dead letter for good? [y/N]: y" in ran.plain
    assert "given up: 1" in ran.plain
    assert states(folder, "meta") == {"pending": 1, "skipped": 1, "delivered": 1}
    ran = within(*purge, "--state", "pending", "--yes", folder=folder, env=ENV)
    assert (ran.code, ran.out) == (0, "given up: 1\n")
    assert states(folder, "meta") == {"skipped": 2, "delivered": 1}
    assert within("outbox", "replay", "-y", folder=folder, env=ENV).out.startswith(
        "tried again: 0"
    )


@pytest.mark.parametrize(
    "command", [("outbox", "replay"), ("outbox", "purge"), ("forget", str(ANN))], ids=" ".join
)
def test_who_cannot_be_asked_says_yes(folder: Path, command: tuple[str, ...]) -> None:
    before = states(folder, "meta")
    ran = piped(*command, folder=folder, env=ENV)
    assert (ran.code, ran.out) == (2, "")
    assert "say --yes" in ran.err
    assert states(folder, "meta") == before


def test_a_user_is_forgotten_with_what_the_journal_holds(folder: Path) -> None:
    journal = folder / "gp.journal"
    line = {"kind": "event", "telegram_id": ANN, "store": "gp.sqlite3"}
    other = line | {"telegram_id": BOB}
    journal.write_text(f"{json.dumps(line)}\n{json.dumps(other)}\n")
    ran = in_terminal("forget", str(ANN), folder=folder, env=ENV, answers=[("[y/N]", "y")])
    assert ran.code == 0
    assert f"user {ANN} is forgotten" in ran.plain
    told = within("sessions", "show", str(ANN), "--json", folder=folder, env=ENV)
    found = json.loads(told.out)
    assert (found["touches"], found["traits"], found["click"]) == ([], {}, None)
    events = rows(within("events", folder=folder, env=ENV).out)
    assert [event["user"] for event in events] == [str(BOB)]
    left = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["telegram_id"] for line in left] == [BOB]


def test_nothing_is_made_where_there_is_no_store(tmp_path: Path) -> None:
    ran = within("forget", "7", "--yes", folder=tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert "is GP_STORE right" in ran.err
    assert [*tmp_path.iterdir()] == []


# import

CSV = "telegram_id,first_deposit,email\n7,2025-11-03,ann@example.com\n8,,bob@example.com\n9,0,\n"


async def named(folder: Path, user: int, bot_id: int | None = None) -> str:
    """Return what the next deposit of a user is called."""
    store = SQLiteStore(folder / "gp.sqlite3")
    async with Tracker([], store=store, journal=None) as tracker:
        event = await tracker.deposit(telegram_id=user, value=5, bot_id=bot_id)
    assert event is not None
    return event.name


async def test_who_was_imported_with_a_deposit_gets_no_ftd(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text(CSV, encoding="utf-8-sig")
    ran = in_terminal("import", "users.csv", folder=tmp_path)
    assert ran.plain == "first deposits: 1, of which 1 were not known; traits: 2 users\n"
    again = piped("import", "users.csv", folder=tmp_path)
    assert again.out == "first deposits: 1, of which 0 were not known; traits: 2 users\n"
    assert [await named(tmp_path, user) for user in (7, 8, 9)] == ["DEP", "FTD", "FTD"]
    told = await run("sessions", "show", "8", "--json", folder=tmp_path)
    assert set(json.loads(told.out)["traits"]) == {"meta", "tiktok"}
    assert b"bob@example.com" not in (tmp_path / "gp.sqlite3").read_bytes()


@pytest.mark.parametrize(
    ("header", "options", "names"),
    [
        ("telegram_id;bot_id\n7;42", ("--all-deposited",), ("DEP", "FTD")),
        ("telegram_id\n7", ("--all-deposited", "--bot", "42"), ("DEP", "FTD")),
        ("telegram_id\n7", ("--all-deposited",), ("DEP", "DEP")),
    ],
    ids=str,
)
async def test_a_deposit_may_be_one_of_one_bot(
    tmp_path: Path, header: str, options: tuple[str, ...], names: tuple[str, str]
) -> None:
    (tmp_path / "users.csv").write_text(f"{header}\n")
    assert (await run("import", "users.csv", *options, folder=tmp_path)).code == 0
    assert (await named(tmp_path, 7, 42), await named(tmp_path, 7, 43)) == names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("user\n7\n", "no column telegram_id"),
        ("telegram_id\n7\n", "--all-deposited"),
        ("telegram_id,first_deposit,mail\n7,1,x\n", "unknown columns mail"),
        ("telegram_id,first_deposit\n7,1\nAnn,1\n-3,\n", "line 3: telegram_id must be"),
        ("telegram_id,first_deposit,bot_id\n7,1,x\n", "line 2: bot_id must be"),
        ("", "no column telegram_id"),
    ],
    ids=str,
)
def test_a_file_with_a_mistake_imports_nothing(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "users.csv").write_text(text)
    ran = within("import", "users.csv", folder=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err
    assert "Ann" not in ran.err
    assert not (tmp_path / "gp.sqlite3").exists()


def test_a_dry_run_stores_nothing(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text(CSV)
    ran = within("import", "users.csv", "--dry-run", folder=tmp_path)
    assert ran.out == "3 rows: 1 with a first deposit, 2 with traits; nothing was stored\n"
    assert not (tmp_path / "gp.sqlite3").exists()


def test_progress_is_shown_in_a_terminal_alone(tmp_path: Path) -> None:
    lines = "\n".join(map(str, range(1, 5001)))
    (tmp_path / "users.csv").write_text(f"telegram_id\n{lines}\n")
    shown = in_terminal("import", "users.csv", "--all-deposited", folder=tmp_path)
    assert "first deposits" in shown.out
    assert "5000/5000" in shown.out
    assert shown.plain == "first deposits: 5000, of which 5000 were not known; traits: 0 users\n"
    ran = piped("import", "users.csv", "--all-deposited", folder=tmp_path)
    assert ran.err == ""


# send


@pytest.fixture
async def grampixel() -> AsyncIterator[GramPixelSandbox]:
    async with GramPixelSandbox() as sandbox:
        yield sandbox


def env_of(sandbox: GramPixelSandbox, **more: str) -> dict[str, str]:
    return {
        "GP_GRAMPIXEL__API_KEY": sandbox.api_key,
        "GP_GRAMPIXEL__WORKSPACE_ID": sandbox.workspace_id,
        "GP_GRAMPIXEL__BASE_URL": sandbox.url,
        **more,
    }


async def run(*arguments: str, **options: Any) -> Any:
    """Run a command while a stand-in in this process answers it."""

    return await asyncio.to_thread(piped, *arguments, **options)


async def test_an_event_is_sent_from_the_shell(
    tmp_path: Path, grampixel: GramPixelSandbox
) -> None:
    options = ("--value", "49.90", "--currency", "EUR", "--data", "plan=gold", "--data", "seats=3")
    ran = await run("send", "FTD", "-u", "7", *options, folder=tmp_path, env=env_of(grampixel))
    assert ran.code == 0
    assert rows(ran.out) == [
        {"destination": "grampixel", "state": "delivered", "attempts": "0", "reason": "-"}
    ]
    (event,) = grampixel.events
    body = event.body
    assert (body["event_name"], body["value"], body["currency"]) == ("FTD", 49.9, "EUR")
    assert body["user_data"] == {"plan": "gold", "seats": 3}
    assert grampixel.api_key not in ran.out + ran.err


async def test_an_event_that_is_known_is_not_sent_again(
    tmp_path: Path, grampixel: GramPixelSandbox
) -> None:
    send = ("send", "REG", "-u", "7", "--once", "user")
    assert (await run(*send, folder=tmp_path, env=env_of(grampixel))).code == 0
    again = await run(*send, folder=tmp_path, env=env_of(grampixel))
    assert (again.code, again.out) == (1, "")
    assert "nothing was recorded" in again.err
    assert len(grampixel.events) == 1


async def test_a_destination_that_refuses_the_event_fails_the_command(
    tmp_path: Path, grampixel: GramPixelSandbox
) -> None:
    env = env_of(grampixel, GP_GRAMPIXEL__BASE_URL="http://127.0.0.1:9")
    ran = await run("send", "REG", "-u", "7", "--event-id", "e1", folder=tmp_path, env=env)
    assert ran.code == 1
    (row,) = rows(ran.out)
    assert (row["state"], row["attempts"]) == ("pending", "1")
    assert "ClientConnectorError" in row["reason"]
    kept = rows((await run("outbox", "pending", folder=tmp_path, env=env)).out)
    assert [row["event_id"] for row in kept] == ["e1"]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("FTD", "-u", "7"), 1, "value"),
        (("REG", "-u", "0"), 1, "telegram_id"),
        (("REG", "-u", "7", "--to", "nowhere"), 2, "no destination 'nowhere'"),
        (("REG", "-u", "7", "--data", "plan"), 2, "KEY=VALUE"),
        (("REG", "-u", "7", "--time", "soon"), 2, "no moment"),
    ],
    ids=str,
)
async def test_an_event_that_makes_no_sense_is_not_sent(
    tmp_path: Path, grampixel: GramPixelSandbox, options: tuple[str, ...], code: int, told: str
) -> None:
    ran = await run("send", *options, folder=tmp_path, env=env_of(grampixel))
    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err
    assert grampixel.events == []
