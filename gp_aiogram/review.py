"""Lets the owner of a bot change or drop an event before it is stored."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace

from gp_aiogram.errors import EventError
from gp_aiogram.event import Event, new_event
from gp_aiogram.traits import merged, split_off

#: Gets a completed event; returns it, another one made by ``dataclasses.replace``, or None.
BeforeSend = Callable[[Event], "Event | Awaitable[Event | None] | None"]


async def reviewed(event: Event, before_send: BeforeSend | None) -> Event | None:
    """Return what is left of an event, checked like any other.

    :return: None when it is to be dropped.
    :raises EventError: when ``before_send`` fails: nobody knows whether the event may be stored.
    """
    if before_send is None:
        return event
    try:
        answer = before_send(event)
        result = await answer if inspect.isawaitable(answer) else answer
    except Exception as error:
        msg = f"before_send failed, so {event.name} was not recorded: {type(error).__name__}"
        raise EventError(msg) from error
    if result is None or result is event:
        return result
    if not isinstance(result, Event):
        msg = f"before_send must return an Event or None, not {type(result).__name__}"
        raise EventError(msg)
    return _checked(result)


def _checked(event: Event) -> Event:
    """Hold what a person wrote to the rules of every event, and keep contacts out of the store."""
    checked = new_event(
        event.name,
        telegram_id=event.telegram_id,
        event_time=event.event_time,
        event_id=event.event_id,
        bot_id=event.bot_id,
        session_id=event.session_id,
        value=event.value,
        currency=event.currency,
        user_data=event.user_data,
    )
    user_data, contacts = split_off(checked.user_data)
    return replace(
        checked,
        user_data=user_data,
        click=event.click,
        traits=merged(event.traits, contacts),
        bot_username=event.bot_username,
    )
