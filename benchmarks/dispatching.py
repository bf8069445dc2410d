"""What the middlewares cost an update that tracks nothing."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from aiogram import BaseMiddleware, Dispatcher
from aiogram.types import CallbackQuery, Message, TelegramObject, Update

from benchmarks import updates
from benchmarks.table import Row, show
from gp_aiogram import MemoryStore, Tracker
from gp_aiogram.bot import CaptureMiddleware, EmitMiddleware

#: Of both middlewares together: microseconds, and the share of what the update costs without them.
AIM_US, AIM_SHARE = 1.2, 0.043

_BARE = "bare feed_update"
_BOTH = "tracker.setup (both)"

_Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class DoNothing(BaseMiddleware):
    """The least that any middleware costs."""

    def __call__(self, handler: _Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Pass an update on."""
        return handler(event, data)


class AddKey(BaseMiddleware):
    """The least that any middleware costs which offers something to handlers."""

    def __call__(self, handler: _Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Pass an update on with one thing more."""
        data["key"] = None
        return handler(event, data)


async def run(*, quick: bool) -> None:
    """Measure and print."""
    blocks, size = (100, 50) if quick else (600, 100)
    dispatchers = _dispatchers()
    rows = []
    for update in (updates.message(), updates.callback_query()):
        gc.collect()
        gc.freeze()
        taken = await _interleaved(dispatchers, update, blocks, size)
        gc.unfreeze()
        bare = taken[_BARE]
        rows.append(Row(f"{update.event_type}: {_BARE}", [f"{median(bare):.1f}", "", ""]))
        for name in list(taken)[1:]:
            cost = median(mine - other for mine, other in zip(taken[name], bare, strict=True))
            share = cost / median(bare)
            cells = [f"{median(taken[name]):.1f}", f"{cost:+.2f}", f"{share:+.1%}"]
            aim = _aim(cost, share) if name == _BOTH else None
            rows.append(Row(f"{update.event_type}: {name}", cells, aim))
    show(
        "Cost of the middlewares on an update that tracks nothing (CPU)",
        ["us/update", "added us", "added"],
        rows,
    )


def _aim(cost: float, share: float) -> tuple[str, bool]:
    """Judge by the share as well: the microseconds are those of one machine."""
    return f"<= {AIM_US:g} us, {AIM_SHARE:.1%}", cost <= AIM_US or share <= AIM_SHARE


async def _interleaved(
    dispatchers: dict[str, Dispatcher],
    update: Update,
    blocks: int,
    size: int,
) -> dict[str, list[float]]:
    """Feed blocks of updates to the dispatchers in turn; microseconds per update, by block."""
    taken: dict[str, list[float]] = {name: [] for name in dispatchers}
    turns = list(dispatchers.items())
    for _ in range(blocks):
        turns.append(turns.pop(0))
        for name, dispatcher in turns:
            started = time.process_time()
            for _ in range(size):
                await dispatcher.feed_update(updates.BOT, update)
            taken[name].append((time.process_time() - started) / size * 1e6)
    return taken


def _dispatchers() -> dict[str, Dispatcher]:
    """Return the dispatchers to compare, the bare one first."""
    set_up = _dispatcher()
    _tracker().setup(set_up)
    return {
        _BARE: _dispatcher(),
        "an outer middleware that does nothing": _with_outer(DoNothing()),
        "an outer middleware that adds a key": _with_outer(AddKey()),
        "an inner middleware that does nothing": _with_inner(DoNothing()),
        "capture": _with_outer(CaptureMiddleware(_tracker())),
        "emit": _with_inner(EmitMiddleware(_tracker())),
        _BOTH: set_up,
    }


def _dispatcher() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def on_message(message: Message) -> None: ...

    @dispatcher.callback_query()
    async def on_query(query: CallbackQuery) -> None: ...

    return dispatcher


def _with_outer(middleware: BaseMiddleware) -> Dispatcher:
    dispatcher = _dispatcher()
    dispatcher.update.outer_middleware(middleware)
    return dispatcher


def _with_inner(middleware: BaseMiddleware) -> Dispatcher:
    dispatcher = _dispatcher()
    dispatcher.message.middleware(middleware)
    dispatcher.callback_query.middleware(middleware)
    return dispatcher


def _tracker() -> Tracker:
    return Tracker([], store=MemoryStore())
