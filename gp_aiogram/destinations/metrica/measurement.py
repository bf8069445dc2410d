"""Measurement Protocol: the forms that are sent of an event.

Source: Metrica, "Measurement Protocol", "Uploading data" and "Limitations".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from gp_aiogram.destinations.privacy import shareable_url
from gp_aiogram.model.event import Event

#: "You can transmit data up to 12 hours back from the current time", and a session can be updated
#: for as long after its end.
LONGEST = timedelta(hours=12)

#: The page of an event of which nothing else is known: it happened in Telegram.
_TELEGRAM = "https://t.me/"

_TITLE = "Telegram"


class Hits(NamedTuple):
    """What is sent of one event, in order: perhaps a page view, then the event."""

    forms: tuple[Mapping[str, str], ...]


class Money(NamedTuple):
    """What an event is worth, in the currency of the counter."""

    price: str
    order: str


def hits(
    event: Event,
    *,
    client_id: str,
    target: str,
    money: Money | None,
    page_url: str | None,
) -> Hits:
    """Build what is sent of an event.

    An event without a session that ended less than 12 hours ago is not recorded. The click itself
    was a visit, since the ClientID comes from a page with the counter; where it is older, a page
    view opens a new session.

    :param page_url: the page to name when the click has none.
    """
    page = _page(event, page_url)
    common = {"cid": client_id, "dl": page, "et": str(int(event.event_time.timestamp()))}
    form = {**common, "t": "event", "ea": target}
    if money is not None:
        product = {"pr1id": target, "pr1nm": target}
        form |= {"pa": "purchase", "ti": money.order, "tr": money.price, **product}
    if _has_session(event):
        return Hits((form,))
    click = event.click
    referrer = None if click is None else shareable_url(click.referrer)
    view = {**common, "t": "pageview", "dt": _TITLE, "dr": referrer or _TELEGRAM}
    return Hits((view, form))


def encoded(form: Mapping[str, str], *, counter_id: str, token: str) -> bytes:
    """Write a form as a request's body."""
    return urlencode({"tid": counter_id, **form, "ms": token}).encode()


def _has_session(event: Event) -> bool:
    visited: datetime | None = None if event.click is None else event.click.at
    return visited is not None and abs(event.event_time - visited) < LONGEST


def _page(event: Event, page_url: str | None) -> str:
    seen = None if event.click is None else shareable_url(event.click.url)
    bot = f"{_TELEGRAM}{event.bot_username}" if event.bot_username else _TELEGRAM
    return seen or page_url or bot
