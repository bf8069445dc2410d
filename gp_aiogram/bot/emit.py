"""Records what ``@track`` marks on a handler, once the handler has succeeded."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.dispatcher.event.bases import REJECTED, UNHANDLED
from aiogram.dispatcher.event.handler import HandlerObject
from aiogram.types import TelegramObject

from gp_aiogram.bot.updates import GP_KEY, time_of, user_tracker, username_of
from gp_aiogram.errors import EventError, GPError
from gp_aiogram.event import update_event_id
from gp_aiogram.rules import FLAG, Mark, applying, resolve
from gp_aiogram.tracker import Tracker
from gp_aiogram.user_tracker import UserTracker

logger = logging.getLogger("gp_aiogram.emit")

#: Arguments for which "nothing" makes sense; nothing for any other is a mistake in the rule.
_MAY_BE_NONE = frozenset({"session_id", "user_data"})


class EmitMiddleware(BaseMiddleware):
    """Inner middleware for any observer: reads ``gp``'s session, emits the handler's marks.

    Only inner middlewares see a handler's flags; an outer one sees those of aiogram itself.

    :param tracker: records the events.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        tracker.emits = True

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Call the handler, then record what its marks say."""
        called: HandlerObject = data["handler"]
        takes_gp = called.varkw or GP_KEY in called.params
        if not takes_gp and FLAG not in called.flags:
            return await handler(event, data)
        await self._prepare(event, data, takes_gp=takes_gp)
        result = await handler(event, data)
        if result is not UNHANDLED and result is not REJECTED:
            for mark in applying(called.callback, called.flags.get(FLAG, ())):
                await self._emit(mark, event, data, result)
        return result

    async def _prepare(
        self,
        event: TelegramObject,
        data: dict[str, Any],
        *,
        takes_gp: bool,
    ) -> None:
        """Complete ``gp``, also where no :class:`CaptureMiddleware` has offered one."""
        gp: UserTracker | None = None
        try:
            gp = data.get(GP_KEY) or user_tracker(self.tracker, data["event_update"], data)
            if gp is None:
                return
            data[GP_KEY] = gp
            gp.at = time_of(event)
            if self.tracker.bots[gp.bot_id] is None:
                self.tracker.bots[gp.bot_id] = username_of(data["bot"])
            if takes_gp:
                await gp.load()
        except Exception:
            self.tracker.counts["session_errors"] += 1
            logger.exception("the session of %r could not be read; the bot goes on", gp)
            if gp is not None:
                gp.forgo()

    async def _emit(
        self,
        mark: Mark,
        event: TelegramObject,
        data: dict[str, Any],
        result: Any,
    ) -> None:
        try:
            await self._record(mark, event, data, result)
        except GPError as error:
            self._count_error(mark, error)
        except Exception as error:  # noqa: BLE001 - the bot's own error handlers must not see it
            self._count_error(mark, error, exc_info=error)

    async def _record(
        self,
        mark: Mark,
        event: TelegramObject,
        data: dict[str, Any],
        result: Any,
    ) -> None:
        gp: UserTracker | None = data.get(GP_KEY)
        if gp is None:
            logger.debug("@track(%r) on %s: the update names no user", mark.name, mark.handler)
            return
        update_type = data["event_update"].event_type
        scope = {**data, update_type: event, "event": event, "result": result}
        if mark.when is not None and not await resolve(mark.when, event, scope):
            return
        arguments = {
            name: await self._resolved(name, argument, event, scope)
            for name, argument in mark.arguments.items()
        }
        arguments.setdefault(
            "event_id",
            update_event_id(gp.bot_id, gp.update_id, mark.rule, mark.name),
        )
        await gp.track(mark.name, **arguments)

    async def _resolved(
        self,
        name: str,
        argument: Any,
        event: TelegramObject,
        scope: dict[str, Any],
    ) -> Any:
        resolved = await resolve(argument, event, scope)
        if resolved is None and name not in _MAY_BE_NONE:
            msg = f"{name}= came to nothing (None)"
            raise EventError(msg)
        return resolved

    def _count_error(
        self,
        mark: Mark,
        error: Exception,
        exc_info: Exception | None = None,
    ) -> None:
        self.tracker.counts["rule_errors"] += 1
        logger.error(
            "@track(%r) on %s recorded nothing: %s",
            mark.name,
            mark.handler,
            error,
            exc_info=exc_info,
        )
