"""Commands that look into a store: in a terminal, and piped."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fixtures.sample_store import ANN, BOB, ENV, NOON, OFFLINE, SECRETS
from fixtures.terminal import in_terminal, piped, within
from gp_aiogram.stores.records import Try
from gp_aiogram.stores.tries import tries_text

SINCE = ("--since", "2026-09-20", "--until", "2026-09-25")

LOOKS = [
    ("outbox",),
    ("outbox", "pending"),
    ("outbox", "dead"),
    ("outbox", "show", "ftd-1001"),
    ("events",),
    ("sessions", "show", str(ANN)),
    ("report", *SINCE),
]


def look(folder: Path, *arguments: str) -> str:
    ran = within(*arguments, folder=folder, env=ENV)
    assert (ran.code, ran.err) == (0, "")
    return ran.out


def rows(text: str) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(text), delimiter="\t")]


def as_json(folder: Path, *arguments: str) -> Any:
    return json.loads(look(folder, *arguments, "--json"))


@pytest.mark.parametrize("arguments", LOOKS, ids=" ".join)
def test_a_pipe_gets_plain_columns_and_a_terminal_shows_the_same(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    ran = piped(*arguments, folder=folder, env=ENV)
    assert (ran.code, ran.err) == (0, "")
    assert not {"\x1b", "─", "│", "━"}.intersection(ran.out)
    assert all(line == line.strip(" ") for line in ran.out.splitlines())
    shown = in_terminal(*arguments, folder=folder, env=ENV, columns=200)
    assert shown.code == 0
    assert "\t" not in shown.out
    cells = [cell for line in ran.out.splitlines() for cell in line.split("\t")]
    told = shown.plain.replace("_", " ")
    json = ("{", "[")  # which a terminal shows on lines of its own
    missing = [cell for cell in cells if cell.replace("_", " ") not in told]
    assert [cell for cell in missing if not cell.startswith(json)] == []
    everything = ran.out + shown.out + look(folder, *arguments, "--json")
    assert [secret for secret in SECRETS if secret in everything] == []


def test_the_overview_counts_deliveries(folder: Path) -> None:
    grampixel, meta = rows(look(folder, "outbox"))
    assert grampixel == {
        "destination": "grampixel",
        "pending": "0",
        "dead": "0",
        "delivered": "3",
        "skipped": "0",
        "oldest_pending": "-",
    }
    assert [meta[state] for state in ("pending", "dead", "delivered")] == ["1", "1", "1"]
    assert meta["oldest_pending"] != "-"


def test_pending_and_dead_say_why(folder: Path) -> None:
    (pending,) = rows(look(folder, "outbox", "pending"))
    assert (pending["event_id"], pending["attempts"]) == ("reg-1002", "2")
    assert (pending["reason"], pending["due"]) == ("HTTP 503: try later", "2026-09-21 12:12:05")
    (dead,) = rows(look(folder, "outbox", "dead"))
    assert (dead["event_id"], dead["destination"]) == ("ftd-1001", "meta")
    assert (dead["reason"], dead["unsure"]) == ("HTTP 400: Invalid parameter", "no")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--destination", "meta"), 1),
        (("--destination", "grampixel"), 0),
        (("--user", str(ANN)), 1),
        (("--user", str(BOB)), 0),
        (("--bot", "42"), 1),
        (("--bot", "43"), 0),
        (("--before", "2026-09-21T12:01:02Z"), 1),
        (("--before", "2026-09-21"), 0),
        (("--maybe-delivered",), 0),
        (("--not-delivered",), 1),
    ],
    ids=str,
)
def test_dead_letters_are_found_by_filter(
    folder: Path, options: tuple[str, ...], found: int
) -> None:
    assert len(rows(look(folder, "outbox", "dead", *options))) == found


def test_the_newest_events_come_first(folder: Path) -> None:
    out = look(folder, "events", "--limit", "2")
    assert [row["event_id"] for row in rows(out)] == ["reg-1002", "ftd-1001"]
    assert [row["event"] for row in rows(look(folder, "events", "--name", "FTD"))] == ["FTD"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--user", str(ANN)), ["ftd-1001", "reg-1001"]),
        (("--state", "dead"), ["ftd-1001"]),
        (("--destination", "meta", "--state", "pending"), ["reg-1002"]),
        (("--event", "reg-1001"), ["reg-1001"]),
        (("--bot", "43"), []),
    ],
    ids=str,
)
def test_events_are_found_by_filter(
    folder: Path, options: tuple[str, ...], found: list[str]
) -> None:
    assert [row["event_id"] for row in rows(look(folder, "events", *options))] == found


def test_one_event_is_shown_with_what_is_sent_and_what_became_of_it(folder: Path) -> None:
    (event,) = as_json(folder, "outbox", "show", "ftd-1001")
    assert (event["name"], event["value"], event["session_id"]) == ("FTD", "50.00", "gp_a1b2c3")
    grampixel, meta = event["deliveries"]
    assert (grampixel["state"], meta["state"]) == ("delivered", "dead")
    assert meta["reason"] == "HTTP 400: Invalid parameter"
    (sent,) = grampixel["payload"]
    assert sent["body"]["event_name"] == "FTD"
    assert sent["headers"]["x-api-key"] == "***"
    (sent,) = meta["payload"]
    assert sent["body"]["data"][0]["event_name"] == "Purchase"
    assert "ann@example.com" not in json.dumps(event)


def test_each_failed_try_has_a_line(folder: Path) -> None:
    lines = look(folder, "outbox", "show", "reg-1002").splitlines()
    assert [line for line in lines if line.startswith("try")] == [
        "try 1\t2026-09-21 12:02:04  failed: HTTP 503: try later",
        "try 2\t2026-09-21 12:02:05  failed: HTTP 503: try later",
    ]
    (event,) = as_json(folder, "outbox", "show", "reg-1002")
    grampixel, meta = event["deliveries"]
    assert (grampixel["tries"], grampixel["settled"]) == ([], "2026-09-21T12:02:04+00:00")
    assert (meta["tries"][1], meta["settled"], meta["tries_left_out"]) == (
        {
            "number": 2,
            "at": "2026-09-21T12:02:05+00:00",
            "outcome": "failed",
            "status": 503,
            "reason": "HTTP 503: try later",
        },
        None,
        0,
    )


def test_tries_that_are_not_kept_are_told(folder: Path) -> None:
    def tried(number: int, status: int | None, reason: str) -> Try:
        return Try(number, NOON, "failed", status, reason)

    keep_tries(folder, [tried(1, None, "no answer"), tried(8, 500, "down"), tried(9, 500, "\x1b")])
    lines = look(folder, "outbox", "show", "reg-1002").splitlines()
    assert [line for line in lines if line.startswith("try")] == [
        "try 1\t2026-09-21 12:00:00  failed: no answer",
        "try 2-7\tnot kept",
        "try 8\t2026-09-21 12:00:00  failed, HTTP 500: down",
        "try 9\t2026-09-21 12:00:00  failed, HTTP 500: \\x1b",
    ]
    (event,) = as_json(folder, "outbox", "show", "reg-1002")
    assert event["deliveries"][1]["tries_left_out"] == 6
    keep_tries(folder, [tried(1, None, "no answer"), tried(3, None, "no answer")])
    assert "try 2\tnot kept" in look(folder, "outbox", "show", "reg-1002").splitlines()


def keep_tries(folder: Path, tries: list[Try]) -> None:
    """Put tries in place of those of the event that is pending."""
    with closing(sqlite3.connect(folder / "gp.sqlite3")) as connection:
        connection.execute(
            "UPDATE delivery SET tries = ? WHERE state = 'pending'", (tries_text(tries),)
        )
        connection.commit()


def test_a_payload_needs_a_destination_that_is_configured(folder: Path) -> None:
    ran = within("outbox", "show", "ftd-1001", folder=folder)
    assert ran.code == 0
    assert ran.out.count("unknown: no destination of this name is configured here") == 2


def test_an_event_that_is_not_there(folder: Path) -> None:
    ran = within("outbox", "show", "nothing", folder=folder, env=ENV)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "gp-aiogram: no delivery of an event 'nothing' is stored\n"


def test_a_user_is_shown_with_what_counts(folder: Path) -> None:
    told = as_json(folder, "sessions", "show", str(ANN))
    (touch,) = told["touches"]
    assert (touch["session_id"], touch["source"], touch["counts"]) == ("gp_a1b2c3", "start", True)
    assert told["click"]["utm"] == {"utm_source": "facebook", "utm_campaign": "autumn"}
    assert set(told["traits"]) == {"meta", "tiktok"}
    assert (told["deposited"], told["opted_out"]) == (True, False)
    stranger = as_json(folder, "sessions", "show", "9")
    assert (stranger["touches"], stranger["click"], stranger["deposited"]) == ([], None, False)


def test_a_report_by_day_source_and_destination(folder: Path) -> None:
    (day,) = rows(look(folder, "report", *SINCE))
    assert [day[name] for name in ("day", "sessions", "REG", "FTD", "value")] == [
        "2026-09-21",
        "1",
        "2",
        "1",
        "50.00 EUR",
    ]
    start, organic = rows(look(folder, "report", *SINCE, "--by", "source"))
    assert (start["source"], start["FTD"], organic["source"], organic["REG"]) == (
        "start",
        "1",
        "organic",
        "1",
    )
    grampixel, meta = rows(look(folder, "report", *SINCE, "--by", "destination"))
    assert (grampixel["delivered"], meta["delivered"], meta["dead"]) == ("3", "1", "1")
    assert (grampixel["FTD"], grampixel["value"]) == ("1", "50.00 EUR")
    assert (meta["REG"], meta["FTD"], meta["value"]) == ("1", "0", "-")
    text = look(folder, "report", *SINCE, "--csv")
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["value_EUR"] == "50.00"
    told = as_json(folder, "report", *SINCE)
    assert told["funnel"]["by_day"]["2026-09-21"]["value"] == {"EUR": "50.00"}
    assert rows(look(folder, "report", "--until", "2026-09-20")) == []


def test_a_report_is_drawn_in_a_terminal(folder: Path) -> None:
    shown = in_terminal("report", *SINCE, folder=folder, env=ENV)
    assert shown.code == 0
    (bar,) = [line for line in shown.plain.splitlines() if "█" in line]
    assert bar.startswith("2026-09-21  █")
    assert bar.endswith("█ 50.00")
    assert len(bar) == 100


def test_nothing_drives_the_terminal(folder: Path) -> None:
    ran = within("outbox", "show", "\x1b[2J", folder=folder, env=ENV)
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("outbox", "dead", "--before", "soon"), 2, "no moment"),
        (("report", "--since", "2026-09-22", "--until", "2026-09-21"), 2, "must be earlier"),
        (("report", "--csv", "--json"), 2, "exclude each other"),
        (("sessions", "show", "0"), 1, "telegram_id"),
        (("events", "--limit", "0"), 2, "limit"),
        (("nonsense",), 2, "nonsense"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_in_a_line(
    folder: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    ran = within(*arguments, folder=folder, env=ENV)
    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("store", "code", "told"),
    [
        ("sqlite:///missing.sqlite3", 1, "the bot makes it when it first starts"),
        ("memory://", 2, "set GP_STORE to a file or server"),
        ("sqlite:///notes.txt", 1, "cannot use"),
        ("nonsense://", 2, "GP_STORE"),
    ],
)
def test_a_store_that_cannot_be_looked_at(folder: Path, store: str, code: int, told: str) -> None:
    (folder / "notes.txt").write_text("no database at all, but long enough for a header")
    ran = within("events", folder=folder, env={"GP_STORE": store})
    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err
    assert not (folder / "missing.sqlite3").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("init",),
        ("doctor",),
        ("send",),
        ("events",),
        ("outbox",),
        ("outbox", "pending"),
        ("outbox", "dead"),
        ("outbox", "show"),
        ("outbox", "replay"),
        ("outbox", "purge"),
        ("sessions", "show"),
        ("forget",),
        ("report",),
        ("import",),
    ],
    ids=" ".join,
)
def test_help_has_examples_and_exit_codes(tmp_path: Path, command: tuple[str, ...]) -> None:
    ran = within(*command, "--help", folder=tmp_path, env={"COLUMNS": "80"})
    assert ran.code == 0
    text = ran.out
    assert f"gp-aiogram {' '.join(command)}" in text.partition("Examples:")[2]
    assert "Exit codes:" in text
    assert max(map(len, text.splitlines())) <= 80


#: Runs a command line, and tells at its end whether aiogram was ever imported.
TELLS_OF_AIOGRAM = """
import atexit, sys
atexit.register(lambda: print("aiogram" in sys.modules, file=sys.stderr))
from gp_aiogram.cli import main
main()
"""


@pytest.mark.parametrize("arguments", [("events",), ("doctor",), ("outbox", "replay", "-y")])
def test_no_command_waits_for_aiogram(folder: Path, arguments: tuple[str, ...]) -> None:
    ran = piped(*arguments, folder=folder, env=OFFLINE, command=("-c", TELLS_OF_AIOGRAM))
    assert ran.err == "False\n"


def test_completion_is_typers(tmp_path: Path) -> None:
    ran = within("--show-completion", "bash", folder=tmp_path)
    assert ran.code == 0
    assert "complete" in ran.out
