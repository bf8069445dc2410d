"""Learns what a handler has returned, from within the middlewares around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiogram.dispatcher.event.bases import REJECTED, UNHANDLED
from aiogram.dispatcher.event.handler import HandlerObject

from gp_aiogram.bot._aiogram_internals import wrap_handler


class HandlerProbe:
    """Watches one call of a handler.

    A throttle among the middlewares may drop the update, another may hide a failure; what comes
    out of them all shows neither.

    :param handler: as aiogram holds it.
    """

    def __init__(self, handler: HandlerObject) -> None:
        self._handler = handler
        self._is_in_place = False
        self._result: Any = UNHANDLED

    def wrap(self, chain: Any) -> Any:
        """Return a chain of middlewares with the probe at its end, around the handler.

        A chain that aiogram has not made is left as it is.
        """
        return wrap_handler(chain, self._handler, self._probed)

    def result(self, answer: Any) -> Any:
        """Return what the handler has returned; ``UNHANDLED`` when it has not succeeded.

        :param answer: what came out of the middlewares.
        """
        result = self._result if self._is_in_place else answer
        failed = any(value is sign for value in (result, answer) for sign in (UNHANDLED, REJECTED))
        return UNHANDLED if failed else result

    def _probed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        self._is_in_place = True

        async def probed(event: Any, data: dict[str, Any]) -> Any:
            self._result = await call(event, data)
            return self._result

        return probed
