"""Records what ``@track`` marks on a handler, once the handler has succeeded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiogram import BaseMiddleware
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.dispatcher.event.handler import HandlerObject
from aiogram.types import PreCheckoutQuery, TelegramObject

from gp_aiogram.bot._aiogram_internals import beneath_scene
from gp_aiogram.bot.handlers import specs_of
from gp_aiogram.bot.probe import HandlerProbe
from gp_aiogram.bot.recorder import record_spec
from gp_aiogram.bot.updates import GP_KEY, TRACKER_KEY, UserTrackers, bind_event
from gp_aiogram.decorators import TrackSpec, exit_check
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.user_tracker import UserTracker

logger = logging.getLogger("gp_aiogram.emit")

#: Seconds that a checkout waits for the store: Telegram gives the bot ten to answer (Bot API,
#: ``answerPreCheckoutQuery``).
_CHECKOUT_PATIENCE = 0.5

#: What handlers may ask for by name.
_OFFERED = frozenset({GP_KEY, TRACKER_KEY})

_Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class EmitMiddleware(BaseMiddleware):
    """Inner middleware for any observer that loads the session and records ``@track`` events.

    It injects ``tracker`` as well, unless the bot uses that name for something else.

    It must be an inner middleware, because outer ones do not see the handler's flags.

    :param tracker: records the events.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._user_trackers = UserTrackers(tracker)
        tracker.announce_emission()
        exit_check.announce_emission()

    def __call__(self, handler: _Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Call the handler, then record the events of its decorators."""
        # No coroutine function: most handlers need nothing, and would pay for a coroutine more.
        called: HandlerObject = data["handler"]
        specs = specs_of(called)
        takes_ours = called.varkw or not _OFFERED.isdisjoint(called.params)
        if specs or takes_ours:
            return self._emit(handler, event, data, specs, called)
        return handler(event, data)

    async def _emit(
        self,
        handler: _Handler,
        event: TelegramObject,
        data: dict[str, Any],
        specs: Sequence[TrackSpec],
        called: HandlerObject,
    ) -> Any:
        data.setdefault(TRACKER_KEY, self.tracker)
        await self._prepare_gp(event, data, called)
        if not specs:
            return await handler(event, data)
        probe = HandlerProbe(called)
        answer = await probe.wrap(handler)(event, data)
        result = probe.result(answer)
        if result is not UNHANDLED:
            recording = _record(specs, event, data, result)
            if isinstance(event, PreCheckoutQuery):
                # Its answer may be what the handler has returned, and the buyer waits for it.
                self.tracker.run_in_background(recording)
            else:
                await recording
        return answer

    async def _prepare_gp(
        self,
        event: TelegramObject,
        data: dict[str, Any],
        called: HandlerObject,
    ) -> None:
        """Complete ``gp``, also where no :class:`CaptureMiddleware` has offered one."""
        try:
            gp = self._user_trackers.get(data["event_update"], data)
            if gp is None:
                return
            bind_event(gp, event, data["bot"])
            gp.handler = beneath_scene(called.callback)
            if called.varkw or GP_KEY in called.params:
                await _load_session(gp, event)
        except Exception:
            self.tracker.counts["session_errors"] += 1
            logger.exception("gp could not be prepared; the bot goes on")
            data.setdefault(GP_KEY, None)


async def _load_session(gp: UserTracker, event: TelegramObject) -> None:
    if not isinstance(event, PreCheckoutQuery):
        await gp.load()
        return
    try:
        await asyncio.wait_for(gp.load(), _CHECKOUT_PATIENCE)
    except asyncio.TimeoutError:
        gp.tracker.counts["session_errors"] += 1
        # No traceback: where it hung says nothing to an operator.
        logger.error("the session of %r could not be read in time; the checkout goes on", gp)  # noqa: TRY400
        gp.proceed_without_session()


async def _record(
    specs: Sequence[TrackSpec],
    event: TelegramObject,
    data: dict[str, Any],
    result: Any,
) -> None:
    for spec in specs:
        await record_spec(spec, event, data, result)
