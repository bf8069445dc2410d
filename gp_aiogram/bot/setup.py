"""Puts a tracker into a dispatcher: middlewares, life cycle, and a check of the decorators."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from aiogram import Dispatcher, Router
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.dispatcher.middlewares.manager import MiddlewareManager
from aiogram.dispatcher.middlewares.user_context import UserContextMiddleware
from aiogram.dispatcher.router import INTERNAL_UPDATE_TYPES

from gp_aiogram.bot.capture import CaptureMiddleware
from gp_aiogram.bot.emit import EmitMiddleware
from gp_aiogram.bot.handlers import marks_of
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.rules import marks_on
from gp_aiogram.tracker import Tracker

logger = logging.getLogger("gp_aiogram")


def setup(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """Add capture, emission, start and close to a dispatcher; harmless when repeated.

    :raises ConfigurationError: when the dispatcher has another tracker already.
    """
    if dispatcher in _trackers:
        if _trackers[dispatcher] is tracker:
            return
        msg = "this dispatcher has another tracker: give one tracker all the destinations"
        raise ConfigurationError(msg)
    _trackers[dispatcher] = tracker
    _install_capture(dispatcher, tracker)
    _install_emission(dispatcher, tracker)

    async def start() -> None:
        # Other plugins add observers of their own until now.
        _install_emission(dispatcher, tracker)
        _report_misplaced(dispatcher)
        await tracker.start()

    async def close() -> None:
        await tracker.close()

    dispatcher.startup.register(start)
    dispatcher.shutdown.register(close)


#: Who has been set up where. Not in the dispatcher's own data, which aiogram copies several times
#: for each update.
_trackers: WeakKeyDictionary[Dispatcher, Tracker] = WeakKeyDictionary()


def _install_capture(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """Put capture right behind the middleware that finds the user, before the bot's own.

    There no throttle or ban of the bot, and no failing FSM storage, can hide a click from it.
    """
    middlewares = dispatcher.update.outer_middleware
    if _installed(middlewares, CaptureMiddleware, tracker):
        return
    behind = [*middlewares]
    while behind and not isinstance(behind[0], UserContextMiddleware):
        del behind[0]
    for middleware in behind[1:]:
        middlewares.unregister(middleware)
    for middleware in (CaptureMiddleware(tracker), *behind[1:]):
        middlewares.register(middleware)


def _install_emission(dispatcher: Dispatcher, tracker: Tracker) -> None:
    """Put emission on every observer; the dispatcher's own serve all routers below it."""
    for router, observer in _observers(dispatcher):
        served_above = router is not dispatcher and observer.event_name in dispatcher.observers
        if not served_above and not _installed(observer.middleware, EmitMiddleware, tracker):
            observer.middleware.register(EmitMiddleware(tracker))


def _report_misplaced(dispatcher: Dispatcher) -> None:
    for _, observer in _observers(dispatcher):
        for handler in observer.handlers:
            seen = marks_of(handler)
            for mark in marks_on(handler.callback):
                if mark not in seen:
                    logger.error(
                        "@track(%r) on %s does nothing: put it below the router's decorator",
                        mark.name,
                        mark.handler,
                    )


def _observers(dispatcher: Dispatcher) -> Iterator[tuple[Router, TelegramEventObserver]]:
    for router in dispatcher.chain_tail:
        for name, observer in router.observers.items():
            if name not in INTERNAL_UPDATE_TYPES:
                yield router, observer


def _installed(manager: MiddlewareManager, kind: type[Any], tracker: Tracker) -> bool:
    return any(isinstance(known, kind) and known.tracker is tracker for known in manager)
