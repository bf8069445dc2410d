"""Watches a handler run, from within the middlewares around it.

A throttle among them may drop the update, another may hide a failure, and what comes out of them
all says neither.
"""

from __future__ import annotations

import functools
from typing import Any

from aiogram.dispatcher.event.bases import REJECTED, UNHANDLED
from aiogram.dispatcher.event.handler import HandlerObject


class Run:
    """One run of a handler.

    :param handler: as aiogram holds it.
    """

    def __init__(self, handler: HandlerObject) -> None:
        self._handler = handler
        self._watched = False
        self._result: Any = UNHANDLED

    def watched(self, chain: Any) -> Any:
        """Return a chain of middlewares with one more right before the handler.

        aiogram makes the chain of a handler anew for each update: a ``partial`` for each
        middleware, around a function that wraps the handler's ``call``. A chain of another make
        is left as it is.
        """
        if isinstance(chain, functools.partial) and chain.args:
            *others, inner = chain.args
            return functools.partial(chain.func, *others, self.watched(inner), **chain.keywords)
        if getattr(getattr(chain, "__wrapped__", None), "__self__", None) is not self._handler:
            return chain
        self._watched = True

        async def watch(event: Any, data: dict[str, Any]) -> Any:
            self._result = await chain(event, data)
            return self._result

        return watch

    def result(self, answer: Any) -> Any:
        """Return what the handler has returned; ``UNHANDLED`` when it has not succeeded.

        :param answer: what came out of the middlewares.
        """
        result = self._result if self._watched else answer
        failed = any(one is sign for one in (result, answer) for sign in (UNHANDLED, REJECTED))
        return UNHANDLED if failed else result
