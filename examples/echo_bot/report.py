"""What the demo shows of the events that arrived, and what must be among them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from gp_aiogram.sandbox import GramPixelSandbox, MetaSandbox, TikTokSandbox

#: user, event, value, currency
Row = tuple[str, str, "float | None", "str | None"]

EXPECTED: dict[str, list[Row]] = {
    "GramPixel": [
        ("Ada", "REG", None, None),
        ("Ada", "FTD", 150.0, "EUR"),
        ("Bob", "REG", None, None),
        ("Eve", "FTD", 150.0, "EUR"),
    ],
    "Meta": [
        ("Ada", "CompleteRegistration", None, None),
        ("Ada", "Purchase", 150.0, "EUR"),
        ("Bob", "CompleteRegistration", None, None),
        ("Eve", "Purchase", 150.0, "EUR"),
    ],
    "TikTok": [
        ("Ada", "CompleteRegistration", None, None),
        ("Ada", "CompletePayment", 150.0, "EUR"),
        ("Bob", "CompleteRegistration", None, None),
        ("Eve", "CompletePayment", 150.0, "EUR"),
    ],
}


def report(
    users: Mapping[int, str],
    session_id: str,
    grampixel: GramPixelSandbox,
    meta: MetaSandbox,
    tiktok: TikTokSandbox,
) -> bool:
    """Print what arrived, and compare it with what must have.

    :param users: their names, by Telegram id.
    :param session_id: the session of Ada's click.
    :return: whether everything is as it must be.
    """
    hashes = {hashlib.sha256(str(number).encode()).hexdigest(): users[number] for number in users}
    received: dict[str, list[Row]] = {
        "GramPixel": [
            (
                users[event.body["telegram_id"]],
                event.body["event_name"],
                event.body.get("value"),
                event.body.get("currency"),
            )
            for event in grampixel.events
        ],
        "Meta": [
            (
                hashes[event.body["user_data"]["external_id"]],
                event.body["event_name"],
                *_money(event.body.get("custom_data", {})),
            )
            for event in meta.received
        ],
        "TikTok": [
            (
                hashes[event.body["user"]["external_id"]],
                event.body["event"],
                *_money(event.body.get("properties", {})),
            )
            for event in tiktok.received
        ],
    }
    for platform, rows in received.items():
        _print_table(platform, rows)
    _print_statuses(users, grampixel)
    _print_payload("GramPixel", (event.body for event in grampixel.events), "FTD")
    _print_payload("Meta", (event.body for event in meta.events), "Purchase")
    _print_payload("TikTok", (event.body for event in tiktok.events), "CompletePayment")
    problems = [*_differences(received), *_missing_click(session_id, grampixel, meta, tiktok)]
    for problem in problems:
        print(f"MISSING: {problem}")
    if not problems:
        print("\nEvery event arrived, once, at every destination.")
    return not problems


def _money(amounts: Mapping[str, Any]) -> tuple[float | None, str | None]:
    return amounts.get("value"), amounts.get("currency")


def _print_table(platform: str, rows: Iterable[Row]) -> None:
    print(f"What {platform} received:")
    for row in sorted(rows, key=str):
        user, name, value, currency = ("-" if cell is None else cell for cell in row)
        print(f"  {user:5}{name:22}{value:>8} {currency}")


def _print_statuses(users: Mapping[int, str], grampixel: GramPixelSandbox) -> None:
    print("How GramPixel answered:")
    for number, name in users.items():
        statuses = [
            str(request.status)
            for request in grampixel.requests
            if request.body["telegram_id"] == number
        ]
        print(f"  {name}: {', '.join(statuses)}")


def _print_payload(platform: str, bodies: Iterable[Mapping[str, Any]], name: str) -> None:
    """Print the first event of this name: Ada's, with all that her click told."""
    for body in bodies:
        if name in (body.get("event_name"), body.get("event")):
            print(f"\n{platform}'s {name}, as it was sent:")
            print(json.dumps(body, indent=2, ensure_ascii=False))
            return


def _differences(received: Mapping[str, list[Row]]) -> Iterable[str]:
    for platform, expected in EXPECTED.items():
        missing = Counter(expected) - Counter(received[platform])
        surplus = Counter(received[platform]) - Counter(expected)
        yield from (f"{platform} did not get {row}" for row in missing.elements())
        yield from (f"{platform} should not have got {row}" for row in surplus.elements())


def _missing_click(
    session_id: str,
    grampixel: GramPixelSandbox,
    meta: MetaSandbox,
    tiktok: TikTokSandbox,
) -> Iterable[str]:
    """Ada's events are worth nothing to the platforms without her click."""
    if not any(event.body.get("session_id") == session_id for event in grampixel.events):
        yield f"the session {session_id} at GramPixel"
    if not any("IwAR0Ada" in event.body["user_data"].get("fbc", "") for event in meta.events):
        yield "Ada's fbclid at Meta"
    if not any(event.body["user"].get("ttclid") == "E.C.P.Ada" for event in tiktok.events):
        yield "Ada's ttclid at TikTok"
