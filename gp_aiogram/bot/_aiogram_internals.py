"""All that this package knows of aiogram beyond its documented interface."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from aiogram import Bot, Dispatcher, Router
from aiogram.dispatcher.event.handler import HandlerObject
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.dispatcher.router import INTERNAL_UPDATE_TYPES
from aiogram.filters import Command
from aiogram.fsm.scene import SceneHandlerWrapper
from aiogram.types import User
from magic_filter import MagicFilter
from magic_filter.operations import ComparatorOperation

#: What a scene writes on a function that it has taken.
_TAKEN = ("__aiogram_action__", "__aiogram_handler__")


def username_of(bot: Bot) -> str | None:
    """Return a bot's username without asking Telegram; None while aiogram has not learned it."""
    me: User | None = getattr(bot, "_me", None)
    return None if me is None else me.username


def observers(dispatcher: Dispatcher) -> Iterator[tuple[Router, TelegramEventObserver]]:
    """Yield every observer of a bot's updates, with its router; aiogram's own are left out."""
    for router in dispatcher.chain_tail:
        for name, observer in router.observers.items():
            if name not in INTERNAL_UPDATE_TYPES:
                yield router, observer


def is_taken_by_scene(function: object) -> bool:
    """Return whether a scene calls this function; it never calls a wrapper put above it later."""
    return any(hasattr(function, attribute) for attribute in _TAKEN)


def beneath_scene(callback: Any) -> Any:
    """Return what a scene calls when aiogram calls this; a callback of no scene is returned."""
    return callback.handler.callback if isinstance(callback, SceneHandlerWrapper) else callback


def takes_text_only(handler: HandlerObject) -> bool:
    """Return whether a handler's filters are sure to let nothing but texts through."""
    return any(
        isinstance(each.callback, Command) or _asks_for_text(each.magic)
        for each in handler.filters or ()
    )


def _asks_for_text(magic: MagicFilter | None) -> bool:
    """Return whether a filter is ``F.text`` or compares it with a text."""
    operations = () if magic is None else magic._operations  # noqa: SLF001 - no public way
    if not operations or getattr(operations[0], "name", None) != "text":
        return False
    return all(
        isinstance(each, ComparatorOperation) and isinstance(each.right, str)
        for each in operations[1:]
    )


def wrap_handler(
    chain: Any,
    handler: HandlerObject,
    wrap: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> Any:
    """Return a chain of middlewares in which the handler's own call is wrapped.

    aiogram makes the chain anew for each update: a ``partial`` for each middleware, around a
    function that wraps the handler's ``call``. A chain of another make is left as it is.
    """
    if isinstance(chain, functools.partial) and chain.args:
        *others, inner = chain.args
        inner = wrap_handler(inner, handler, wrap)
        return functools.partial(chain.func, *others, inner, **chain.keywords)
    if getattr(getattr(chain, "__wrapped__", None), "__self__", None) is handler:
        return wrap(chain)
    return chain
