"""Finds the events that somebody wants to see, the latest first, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import STATES, DeliveryFilter, EventRecord, Span, State
from gp_aiogram.web.inspector.refusal import Refused
from gp_aiogram.web.inspector.shapes import campaign_of

#: Events of one answer, and those that are looked at for it: a rare campaign is looked for in
#: several requests, between which others get their turn.
PAGE, LOOKED_AT = 100, 5000

_LONGEST = 200
_MOST = 2**63 - 1


@dataclass(frozen=True)
class Wanted:
    """Which events are wanted.

    :param where: what the store is asked for.
    :param name: of events, in any case.
    :param campaign: a part of the campaign's name, in any case.
    """

    where: DeliveryFilter
    name: str | None = None
    campaign: str | None = None

    def means(self, record: EventRecord) -> bool:
        """Return whether an event is meant, as far as the store has not told."""
        event = record.event
        if self.name is not None and event.name.casefold() != self.name.casefold():
            return False
        if self.campaign is None:
            return True
        return self.campaign.casefold() in (campaign_of(event) or "").casefold()


class Page(NamedTuple):
    """A part of what was found.

    :param before: where the next part begins; None when there is none.
    """

    events: list[EventRecord]
    before: int | None


def state_of(query: Mapping[str, str]) -> State | None:
    """Read the state that a request names.

    :raises Refused: when there is no such state.
    """
    given = query.get("state") or None
    state = next((each for each in STATES if each == given), None)
    if given is not None and state is None:
        reason = f"state must be one of {', '.join(STATES)}"
        raise Refused(HTTPStatus.BAD_REQUEST, reason)
    return state


def number_of(query: Mapping[str, str], name: str) -> int | None:
    """Read a positive number that a request names.

    :raises Refused: when it is none.
    """
    text = query.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= _MOST):
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name} must be a positive whole number")
    return int(text)


def text_of(query: Mapping[str, str], name: str) -> str | None:
    """Read a text that a request names; None when it names none."""
    return query.get(name, "").strip()[:_LONGEST] or None


async def wanted_of(query: Mapping[str, str], outbox: Outbox) -> Wanted:
    """Read which events a request wants.

    An ``event`` may be named by its id or its name.

    :raises Refused: when something is invalid.
    """
    state, event = state_of(query), text_of(query, "event")
    where = DeliveryFilter(
        telegram_id=number_of(query, "user"),
        destination=text_of(query, "destination"),
        states=None if state is None else frozenset({state}),
    )
    campaign = text_of(query, "campaign")
    if event is None:
        return Wanted(where, campaign=campaign)
    by_id = DeliveryFilter(event_id=event)
    if await outbox.events(by_id, Span(limit=1)):
        return Wanted(
            DeliveryFilter(
                event_id=event,
                telegram_id=where.telegram_id,
                destination=where.destination,
                states=where.states,
            ),
            campaign=campaign,
        )
    return Wanted(where, name=event, campaign=campaign)


async def find(outbox: Outbox, wanted: Wanted, before: int | None) -> Page:
    """Return the next events that are wanted.

    :param before: where the page before has ended; None begins with the latest.
    """
    found: list[EventRecord] = []
    looked_at = 0
    while looked_at < LOOKED_AT:
        span = Span(before=before, limit=PAGE, newest=True)
        records = await outbox.events(wanted.where, span)
        looked_at += len(records)
        for record in records:
            if wanted.means(record):
                found.append(record)
            before = record.seq
            if len(found) == PAGE:
                return Page(found, before)
        if len(records) < PAGE:
            return Page(found, None)
    return Page(found, before)
