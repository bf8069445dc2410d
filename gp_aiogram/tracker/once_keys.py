"""Which once-keys admit an event: per user, per order, per event id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gp_aiogram.model.event import FIRST_DEPOSIT, VALUED_NAMES, Event
from gp_aiogram.stores.keys import KeyKind, OnceKey, request_keys, user_key
from gp_aiogram.tracker.request import PER_USER, Draft


class Guards(NamedTuple):
    """What admits an event; see :class:`~gp_aiogram.stores.records.Entry`."""

    once: list[OnceKey]
    unless: list[OnceKey]
    marks: list[OnceKey]


def guards(draft: Draft, event: Event) -> Guards:
    """Return the guards of an event."""
    if draft.idempotency is None:
        return _guards(draft, event)
    once, unless, marks = _guards(draft, event)
    request, content = request_keys(*draft.idempotency)
    return Guards([request, *once], unless, [content, *marks])


def _guards(draft: Draft, event: Event) -> Guards:
    by_id = [OnceKey("event_id", event.event_id)] if draft.is_one_conversion else []
    if draft.once == PER_USER:
        return Guards([user_key(event.bot_id, event.telegram_id, event.name), *by_id], [], [])
    return _of_order(draft, event, "order", event.name, by_id)


def deposit_guards(draft: Draft, event: Event) -> Guards:
    """Return the guards of a deposit, which stays what it was when it is reported again.

    FTD and DEP are different events to a store, even under one event id.
    """
    by_id = [OnceKey("event_id", event.event_id)]
    return _of_order(draft, event, "deposit", "", by_id)


def refund_guards(draft: Draft, event: Event) -> Guards:
    """Return the guards of a refund."""
    return _of_order(draft, event, "order", event.name, [])


def keys_against(draft: Draft) -> list[OnceKey]:
    """Return the keys that speak against an event, and that it does not take itself.

    An FTD counts once per user. Whoever was imported as a depositor has had it with every bot.
    """
    if draft.once != PER_USER or draft.event.name != FIRST_DEPOSIT:
        return []
    return [imported_depositor_key(draft.event.telegram_id)]


def imported_depositor_key(telegram_id: int) -> OnceKey:
    """Return the key of a user who deposited before the tracker was there, with any bot."""
    return user_key(None, telegram_id, FIRST_DEPOSIT)


def order_keys(order: str, names: Iterable[str]) -> list[OnceKey]:
    """Return the keys of events of an order that counts once in a whole store."""
    return [OnceKey("order", order, name) for name in names]


def payment_keys(order: str) -> list[OnceKey]:
    """Return the keys of which one is known when an order was recorded as a payment."""
    return [OnceKey("deposit", order), *order_keys(order, sorted(VALUED_NAMES))]


def _of_order(
    draft: Draft,
    event: Event,
    kind: KeyKind,
    name: str,
    others: list[OnceKey],
) -> Guards:
    """Admit one event per order of a bot.

    A webhook may name no bot. Then the user's bot is looked up, and somebody else may find
    another one: what was reported without a bot is compared by its user as well, with whatever
    was reported before.
    """
    if draft.once is None:
        return Guards(others, [], [])
    if draft.once_scope == "store":
        return Guards([OnceKey(kind, draft.once, name), *others], [], [])
    by_bot = OnceKey(kind, draft.once, name, event.bot_id)
    by_user = OnceKey(kind, draft.once, name, telegram_id=event.telegram_id)
    named = OnceKey("claimed_order", draft.once, f"{kind} {name}", telegram_id=event.telegram_id)
    if draft.names_bot:
        return Guards([by_bot, *others], [by_user], [named])
    return Guards([by_bot, by_user, *others], [named], [])
