"""Lets the owner of a bot change or drop an event before it is stored."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

from gp_aiogram.delivery.waiting import contained
from gp_aiogram.errors import EventError
from gp_aiogram.identity.traits import merged, split_off
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event, Traits, new_event
from gp_aiogram.model.wording import describe

logger = logging.getLogger("gp_aiogram")

#: Gets a completed event; returns it, another one made by ``dataclasses.replace``, or None.
BeforeSend = Callable[[Event], "Event | Awaitable[Event | None] | None"]

#: Platform, field, value.
_Trait = tuple[str, str, str]


class Review:
    """Asks ``before_send`` about events, and checks its answers like anything a caller gives.

    :param before_send: the owner's.
    :param convertible: codes of currencies that some destination converts.
    :param phone_region: country of phone numbers without a country code.
    """

    def __init__(
        self,
        before_send: BeforeSend,
        convertible: Collection[str],
        phone_region: str | None,
    ) -> None:
        self._before_send = before_send
        self._convertible = convertible
        self._phone_region = phone_region

    async def apply(self, event: Event) -> Event | None:
        """Return what is left of an event.

        :return: None when it is to be dropped.
        :raises EventError: when ``before_send`` fails: nobody knows whether the event may be
            stored.
        """
        traits = _flat(event.traits)
        result = await self._ask(event)
        if result is None:
            return None
        if not isinstance(result, Event):
            msg = f"before_send must return an Event or None, not {type(result).__name__}"
            raise EventError(msg)
        # Also when it is the same object: what an event carries can be changed in place.
        return self._validated(result, traits)

    async def _ask(self, event: Event) -> object:
        # In a task of its own: what cancels itself there must not cancel its caller.
        asked = await contained(_answer(self._before_send, event))
        error = asyncio.CancelledError() if asked.cancelled() else asked.exception()
        if error is None:
            return asked.result()
        logger.error("before_send failed", exc_info=error)
        msg = f"before_send failed, so {event.name} was not recorded: {type(error).__name__}"
        raise EventError(msg) from error

    def _validated(self, event: Event, traits: set[_Trait]) -> Event:
        """Hold what a person wrote to the rules of every event; keep contacts out of the store.

        :param traits: what the event had.
        """
        if not isinstance(event.click, (Click, type(None))):
            msg = f"before_send must leave the click a Click or None, not {describe(event.click)}"
            raise EventError(msg)
        if not traits >= _flat(event.traits):
            msg = (
                "before_send may take traits out, but puts none in: put an e-mail address or "
                "phone number into user_data, where it is hashed, or call identify()"
            )
            raise EventError(msg)
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
            convertible=self._convertible,
        )
        user_data, contacts = split_off(checked.user_data, phone_region=self._phone_region)
        return replace(
            checked,
            user_data=user_data,
            click=event.click,
            traits=merged(event.traits, contacts),
            bot_username=event.bot_username,
        )


async def _answer(before_send: BeforeSend, event: Event) -> object:
    answer = before_send(event)
    return await answer if inspect.isawaitable(answer) else answer


def _flat(traits: Traits) -> set[_Trait]:
    """Return traits one by one.

    :raises EventError: when this is nothing that holds traits.
    """
    try:
        return {
            (platform, field, value)
            for platform, fields in traits.items()
            for field, value in fields.items()
        }
    except (AttributeError, TypeError):
        msg = f"before_send must leave traits a mapping of mappings, not {type(traits).__name__}"
        raise EventError(msg) from None
