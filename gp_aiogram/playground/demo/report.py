"""What the demo shows of the events that arrived, and what is wrong with them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from gp_aiogram.playground.demo.expected import EXPECTED, USERS, Row
from gp_aiogram.playground.demo.stage import Stage

#: Longer texts are cut when a payload is shown.
LONGEST = 100

#: The columns of destinations.
DESTINATIONS = ("grampixel", "meta", "tiktok", "keitaro")

#: Which columns of a :class:`Row` a destination fills, and with what.
Cells = dict[str, str]


def report(on: Stage, came_by: Mapping[str, str]) -> bool:
    """Print what arrived, and compare it with what must have.

    :param came_by: what led to the bot, by session id.
    :return: whether everything is as it must be.
    """
    told = [_told_grampixel(on, came_by), _told_meta(on), _told_tiktok(on), _told_keitaro(on)]
    rows = _rows(chain(*told))
    _print_table(rows)
    _print_answers(on, "Eve")
    _print_payload("GramPixel", (event.body for event in on.grampixel.events), "Purchase")
    _print_payload("Meta", (event.body for event in on.meta.events), "Purchase")
    _print_payload("TikTok", (event.body for event in on.tiktok.events), "CompletePayment")
    problems = [*_differences(rows), *_missing_clicks(on)]
    for problem in problems or ["Every event arrived, once, at every destination."]:
        print(f"\n{problem}")
    return not problems


def _told_grampixel(on: Stage, came_by: Mapping[str, str]) -> Iterator[tuple[str, Cells]]:
    for event in on.grampixel.events:
        session_id = str(event.body.get("session_id", "-"))
        yield (
            str(event.idempotency_key),
            {
                "user": USERS[event.body["telegram_id"]],
                "came_by": came_by.get(session_id, session_id),
                "grampixel": event.body["event_name"],
                "money": _money(event.body),
            },
        )


def _told_meta(on: Stage) -> Iterator[tuple[str, Cells]]:
    for body in (event.body for event in on.meta.received):
        user, money = _user(body["user_data"]), _money(body.get("custom_data", {}))
        yield body["event_id"], {"user": user, "meta": body["event_name"], "money": money}


def _told_tiktok(on: Stage) -> Iterator[tuple[str, Cells]]:
    for body in (event.body for event in on.tiktok.received):
        user, money = _user(body["user"]), _money(body.get("properties", {}))
        yield body["event_id"], {"user": user, "tiktok": body["event"], "money": money}


def _told_keitaro(on: Stage) -> Iterator[tuple[str, Cells]]:
    for conversion in on.keitaro.events:
        money = f"{conversion.payout} {conversion.currency}"
        yield str(conversion.tid), {"keitaro": conversion.status, "money": money}


def _user(identifiers: Mapping[str, Any]) -> str:
    """Find whose id a platform got as a digest."""
    hashes = {hashlib.sha256(str(number).encode()).hexdigest(): USERS[number] for number in USERS}
    return hashes[identifiers["external_id"]]


def _money(amounts: Mapping[str, Any]) -> str:
    return f"{amounts['value']:.2f} {amounts['currency']}" if "value" in amounts else "-"


def _rows(told: Iterable[tuple[str, Cells]]) -> list[Row]:
    """Join what the destinations were told by event id, in the order in which it happened.

    An event that one of them got twice is there twice; so is money on which they disagree.
    """
    events: dict[str, dict[str, list[str]]] = {}
    for event_id, cells in sorted(told, key=lambda pair: pair[0]):
        columns = events.setdefault(event_id, {name: [] for name in Row._fields})
        for name, text in cells.items():
            if name in DESTINATIONS or text not in columns[name]:
                columns[name].append(text)
    return [
        Row(**{name: " + ".join(texts) or "-" for name, texts in columns.items()})
        for columns in events.values()
    ]


def _print_table(rows: Iterable[Row]) -> None:
    print("\nWhat each destination received, event by event:")
    for row in (Row("", "came by", "GramPixel", "Meta", "TikTok", "Keitaro", "money"), *rows):
        names = f"{row.grampixel:18}{row.meta:22}{row.tiktok:22}{row.keitaro:9}"
        print(f"  {row.user:5}{row.came_by:14}{names}{row.money:>10}")


def _print_answers(on: Stage, user: str) -> None:
    requests = (r for r in on.grampixel.requests if USERS[r.body["telegram_id"]] == user)
    print(f"\nWhat GramPixel answered for {user}: {', '.join(str(r.status) for r in requests)}")


def _print_payload(platform: str, bodies: Iterable[Mapping[str, Any]], name: str) -> None:
    """Print the first event of this name: Ada's, with all that her click told."""
    for body in bodies:
        if name in (body.get("event_name"), body.get("event")):
            print(f"\n{platform}'s {name}, as it was sent:")
            print(json.dumps(_shortened(body), indent=2, ensure_ascii=False))
            return


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:LONGEST]}… ({len(value)} characters)"
    return value


def _differences(rows: Iterable[Row]) -> Iterator[str]:
    for row in (Counter(EXPECTED) - Counter(rows)).elements():
        yield f"MISSING: {' | '.join(row)}"
    for row in (Counter(rows) - Counter(EXPECTED)).elements():
        yield f"TOO MUCH: {' | '.join(row)}"


def _missing_clicks(on: Stage) -> Iterator[str]:
    """Ada's and Dan's events are worth nothing to the platforms without their clicks."""
    fbcs = [event.body["user_data"].get("fbc", "") for event in on.meta.events]
    ttclids = [event.body["user"].get("ttclid") for event in on.tiktok.events]
    for name in ("Ada", "Dan"):
        if not any(fbc.endswith(f".IwAR0{name}") for fbc in fbcs):
            yield f"MISSING: {name}'s fbclid at Meta"
        if f"E.C.P.{name}" not in ttclids:
            yield f"MISSING: {name}'s ttclid at TikTok"
