"""Connects a tracker to a dispatcher: its middlewares and its life cycle."""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

from aiogram import BaseMiddleware, Dispatcher
from aiogram.dispatcher.middlewares.manager import MiddlewareManager
from aiogram.dispatcher.middlewares.user_context import UserContextMiddleware
from aiogram.types import TelegramObject

from gp_aiogram.bot._aiogram_internals import observers
from gp_aiogram.bot.auto import AutoMiddleware
from gp_aiogram.bot.capture import CaptureMiddleware
from gp_aiogram.bot.checks import check_decorators, check_pending
from gp_aiogram.bot.emit import EmitMiddleware
from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.model.event import UPDATE_TYPES
from gp_aiogram.tracker import Tracker

logger = logging.getLogger("gp_aiogram")

#: The tracker of each dispatcher. Not in the dispatcher's own data, which aiogram copies several
#: times for each update.
_trackers: WeakKeyDictionary[Dispatcher, Tracker] = WeakKeyDictionary()


def setup(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """Add capture, tracking, start and close to a dispatcher. Calling it again does nothing.

    :raises ConfigurationError: when it already has another tracker, or is not a dispatcher.
    """
    _validate(dispatcher)
    if dispatcher in _trackers:
        if _trackers[dispatcher] is tracker:
            return
        msg = "this dispatcher has another tracker: give one tracker all the destinations"
        raise ConfigurationError(msg)
    _trackers[dispatcher] = tracker
    _install_capture(dispatcher, tracker)
    _request_updates(dispatcher, tracker)
    _install_emission(dispatcher, tracker)

    async def start() -> None:
        # Once more: other plugins may have added observers of their own since.
        _install_emission(dispatcher, tracker)
        check_decorators(dispatcher, tracker)
        tracker.invites.learn_updates(dispatcher.resolve_used_update_types())
        await tracker.start()
        await check_pending(tracker)

    async def close() -> None:
        await tracker.close()

    dispatcher.startup.register(start)
    dispatcher.shutdown.register(close)


def tracker_of(dispatcher: Dispatcher) -> Tracker | None:
    """Return the tracker that was set up on a dispatcher; None when there is none."""
    return _trackers.get(dispatcher)


def _validate(dispatcher: object) -> None:
    if not isinstance(dispatcher, Dispatcher):
        msg = (
            f"tracker.setup(...) wants the Dispatcher, not {short_repr(dispatcher)}: call "
            "tracker.setup(dp) once; it serves all routers of the dispatcher"
        )
        raise ConfigurationError(msg)


def _install_capture(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """Put capture right behind the middleware that finds the user, before the bot's own.

    There, no throttle or ban of the bot and no failing FSM storage can hide a click from it.
    """
    middlewares = dispatcher.update.outer_middleware
    ours: list[BaseMiddleware] = []
    if not _installed(middlewares, CaptureMiddleware, tracker):
        ours.append(CaptureMiddleware(tracker))
    if tracker.auto and not _installed(middlewares, AutoMiddleware, tracker):
        ours.append(AutoMiddleware(tracker))
    behind = [*middlewares]
    while behind and not isinstance(behind[0], UserContextMiddleware):
        del behind[0]
    for middleware in behind[1:]:
        middlewares.unregister(middleware)
    for middleware in (*ours, *behind[1:]):
        middlewares.register(middleware)


def _request_updates(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """Make aiogram ask Telegram for the updates that ``auto`` reads.

    aiogram asks for the types that have handlers. This one's filter lets nothing through, so the
    update goes on to the bot's own handlers.
    """
    for kind in sorted({UPDATE_TYPES[name] for name in tracker.auto}):
        if kind in dispatcher.observers:
            dispatcher.observers[kind].register(_never_called, _let_nothing_through)
        else:
            logger.warning("auto: this version of aiogram does not know %s updates", kind)


async def _let_nothing_through(_: TelegramObject) -> bool:
    return False


async def _never_called(_: TelegramObject) -> None: ...


def _install_emission(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """Put emission on every observer; the dispatcher's own serve all routers below it."""
    for router, observer in observers(dispatcher):
        served_above = router is not dispatcher and observer.event_name in dispatcher.observers
        if not served_above and not _installed(observer.middleware, EmitMiddleware, tracker):
            observer.middleware.register(EmitMiddleware(tracker))


def _installed(
    manager: MiddlewareManager,
    kind: type[CaptureMiddleware | AutoMiddleware | EmitMiddleware],
    tracker: Tracker,
) -> bool:
    ours = (middleware for middleware in manager if isinstance(middleware, kind))
    return any(middleware.tracker is tracker for middleware in ours)
