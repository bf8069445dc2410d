"""Which once-keys an event has: per user, per order, per deposit."""

from __future__ import annotations

from gp_aiogram.model.event import FIRST_DEPOSIT, Event
from gp_aiogram.stores.keys import KeyKind, OnceKey, user_key
from gp_aiogram.tracker.request import PER_USER, Draft


def once_keys(draft: Draft, event: Event) -> list[OnceKey]:
    """Return the keys that ``once=`` stands for."""
    if draft.once is None:
        return []
    if draft.once == PER_USER:
        return [user_key(event.bot_id, event.telegram_id, event.name)]
    return order_keys(draft, event, "order", event.name)


def order_keys(draft: Draft, event: Event, kind: KeyKind, name: str = "") -> list[OnceKey]:
    """Return the keys that admit one event per order; none without an order.

    Where the caller named no bot, the user's bot is looked up, and a repeated webhook may find
    another one. The second key catches that: it holds for the user, whichever bot it is.
    """
    if draft.once is None:
        return []
    keys = [OnceKey(kind, draft.once, name, event.bot_id)]
    if not draft.names_bot:
        keys.append(OnceKey(kind, draft.once, name, telegram_id=event.telegram_id))
    return keys


def deposit_keys(draft: Draft, event: Event) -> list[OnceKey]:
    """Return the keys of a deposit, which stays what it was when it is reported again.

    FTD and DEP are different events to a store, even under one event id.
    """
    return [*order_keys(draft, event, "deposit"), OnceKey("deposit_event", event.event_id)]


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
