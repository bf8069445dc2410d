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

from gp_aiogram.bot.handlers import marks_of
from gp_aiogram.bot.recorder import Recorder
from gp_aiogram.bot.runs import Run
from gp_aiogram.bot.updates import GP_KEY, complete, user_tracker
from gp_aiogram.decorators import TrackSpec
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.user_tracker import UserTracker

logger = logging.getLogger("gp_aiogram.emit")

#: Seconds that a checkout waits for the store: Telegram gives the bot ten to answer (Bot API,
#: ``answerPreCheckoutQuery``).
_CHECKOUT_PATIENCE = 0.5


class EmitMiddleware(BaseMiddleware):
    """Inner middleware for any observer: reads ``gp``'s session, emits the handler's marks.

    Only inner middlewares see a handler's flags; an outer one sees those of aiogram itself.

    :param tracker: records the events.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        tracker.emits = True
        self._recorder = Recorder(tracker)

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Call the handler, then record what its marks say."""
        called: HandlerObject = data["handler"]
        marks = marks_of(called)
        takes_gp = called.varkw or GP_KEY in called.params
        if not takes_gp and not marks:
            return await handler(event, data)
        await self._prepare(event, data, takes_gp=takes_gp)
        if not marks:
            return await handler(event, data)
        run = Run(called)
        answer = await run.watched(handler)(event, data)
        result = run.result(answer)
        if result is not UNHANDLED:
            recording = self._record(marks, event, data, result)
            if isinstance(event, PreCheckoutQuery):
                # Its answer may be what the handler has returned, and the buyer waits for it.
                self.tracker.run_in_background(recording)
            else:
                await recording
        return answer

    async def _record(
        self,
        marks: Sequence[TrackSpec],
        event: TelegramObject,
        data: dict[str, Any],
        result: Any,
    ) -> None:
        for mark in marks:
            await self._recorder.record(mark, event, data, result)

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
            complete(gp, event, data["bot"])
            if takes_gp and isinstance(event, PreCheckoutQuery):
                await asyncio.wait_for(gp.load(), _CHECKOUT_PATIENCE)
            elif takes_gp:
                await gp.load()
        except Exception:
            self.tracker.counts["session_errors"] += 1
            logger.exception("the session of %r could not be read; the bot goes on", gp)
            if gp is not None:
                gp.forgo()
