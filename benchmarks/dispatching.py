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

#: Of one middleware: microseconds, and the share of what the update costs without it.
AIM_US, AIM_SHARE = 1.0, 0.03

_BARE = "bare feed_update"


class DoNothing(BaseMiddleware):
    """The least that any middleware costs."""

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Pass an update on."""
        return await handler(event, data)


class AddKey(BaseMiddleware):
    """The least that any middleware costs which offers something to handlers."""

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Pass an update on with one thing more."""
        data["key"] = None
        return await handler(event, data)


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
        for name, middlewares in _MIDDLEWARES.items():
            cost = median(mine - other for mine, other in zip(taken[name], bare, strict=True))
            share = cost / median(bare)
            cells = [f"{median(taken[name]):.1f}", f"{cost:+.2f}", f"{share:+.1%}"]
            rows.append(Row(f"{update.event_type}: {name}", cells, _aim(cost, share, middlewares)))
    show(
        "Cost of the middlewares on an update that tracks nothing (CPU)",
        ["us/update", "added us", "added"],
        rows,
    )


def _aim(cost: float, share: float, middlewares: int) -> tuple[str, bool] | None:
    """Judge a cost by the number of our middlewares that it pays for."""
    if not middlewares:
        return None
    most_us, most_share = AIM_US * middlewares, AIM_SHARE * middlewares
    return f"<= {most_us:g} us, {most_share:.0%}", cost <= most_us and share <= most_share


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


#: How many of our middlewares each dispatcher has.
_MIDDLEWARES = {
    "an outer middleware that does nothing": 0,
    "an outer middleware that adds a key": 0,
    "an inner middleware that does nothing": 0,
    "capture": 1,
    "emit": 1,
    "tracker.setup (both)": 2,
}


def _dispatchers() -> dict[str, Dispatcher]:
    set_up = _dispatcher()
    _tracker().setup(set_up)
    return {
        _BARE: _dispatcher(),
        "an outer middleware that does nothing": _with_outer(DoNothing()),
        "an outer middleware that adds a key": _with_outer(AddKey()),
        "an inner middleware that does nothing": _with_inner(DoNothing()),
        "capture": _with_outer(CaptureMiddleware(_tracker())),
        "emit": _with_inner(EmitMiddleware(_tracker())),
        "tracker.setup (both)": set_up,
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
