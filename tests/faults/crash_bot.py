"""The bot that test_crash.py kills.

Importing aiogram takes seconds, so one process imports everything and forks a bot for each life.
Its standard input has a line for each birth and one for each death; it answers how a bot ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.filters import CommandStart
from aiogram.types import CallbackQuery, Message

from fixtures import updates
from gp_aiogram import Event, GramPixel, SQLiteStore, Tracker, UserTracker, track
from gp_aiogram.model.clock import SystemClock
from gp_aiogram.stores import from_url
from gp_aiogram.tracker.request import EventRequest

API_KEY, WORKSPACE = "key", "0f8fad5b-d9cb-469f-a165-70867728950e"

#: Orders are paid by users of their own, whose ids begin here; other users are named after the
#: update that they send.
PAYERS = 10**9

#: Seconds after which a bot ends by itself, in case that the test is no longer there to kill it.
LONGEST_LIFE = 120

FEEDERS, WEBHOOKS = 4, 2


@dataclass(frozen=True)
class Life:
    """What a bot is born with.

    :param first_update: Telegram delivers updates from here; some were delivered before.
    :param first_order: the payment provider reports orders from here; likewise.
    :param date: of all updates, seconds since the Unix epoch.
    :param store: its URL.
    :param journal: its path.
    :param draining: this bot gets no updates: it delivers what there is, and ends.
    :param aim: the bot kills itself when the store, or the destination, is asked to do this ...
    :param turn: ... for this time ...
    :param delay: ... so many seconds after, while it is at it.
    """

    number: int
    url: str
    store: str
    journal: str
    first_update: int
    first_order: int
    date: int
    draining: bool = False
    aim: str | None = None
    turn: int = 1
    delay: float = 0


class AckingTracker(Tracker):
    """Tells the test of every event as soon as ``track()`` has returned."""

    def __init__(self, life: Life, acks: int) -> None:
        clock = AnHourAhead() if life.draining else SystemClock()
        store = from_url(life.store)
        if isinstance(store, SQLiteStore):
            store = SQLiteStore(store.path, clock=clock)
        destination = GramPixel(API_KEY, WORKSPACE, base_url=life.url)
        super().__init__([destination], store=store, journal=life.journal, clock=clock)
        if life.aim is not None:
            aim(life, destination if life.aim == "send" else store.outbox)
        self._life = life.number
        self._acks = acks
        record = self.intake.track

        async def acked(request: EventRequest) -> Event | None:
            return self._acked(await record(request))

        self.intake.track = acked  # type: ignore[method-assign] - what handlers record

    async def track(self, name: str, **fields: Any) -> Event | None:
        return self._acked(await super().track(name, **fields))

    def _acked(self, event: Event | None) -> Event | None:
        if event is not None:
            os.write(self._acks, f"{self._life} {event.event_id} {event.telegram_id}\n".encode())
        return event


def aim(life: Life, part: Any) -> None:
    """Have the bot kill itself in the middle of what one of its parts does."""
    assert life.aim is not None
    works, calls = getattr(part, life.aim), count(1)

    async def do(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == life.turn:
            threading.Thread(target=die, args=(life.delay,)).start()
        return await works(*args, **kwargs)

    setattr(part, life.aim, do)


def die(delay: float) -> None:
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)


class AnHourAhead(SystemClock):
    """Finds every retry due."""

    def time(self) -> float:
        return super().time() + 3600


def new_dispatcher() -> Dispatcher:
    dispatcher = Dispatcher()

    @dispatcher.message(CommandStart())
    @track("REG", once="user")
    async def start(message: Message, gp: UserTracker) -> None:
        await gp.track("Lead")

    @dispatcher.callback_query()
    @track("Subscribe")
    @track("Vote")
    async def press(query: CallbackQuery) -> None: ...

    return dispatcher


async def live(life: Life, tracker: Tracker, bot: Bot) -> None:
    """Record events from updates and from a payment webhook until killed."""
    dispatcher = new_dispatcher()
    tracker.setup(dispatcher)
    await dispatcher.emit_startup(bot=bot)
    numbers, orders = count(life.first_update), count(life.first_order)
    await asyncio.gather(
        *(feed(dispatcher, bot, numbers, life.date) for _ in range(FEEDERS)),
        *(take_payments(tracker, orders) for _ in range(WEBHOOKS)),
    )


async def feed(dispatcher: Dispatcher, bot: Bot, numbers: Iterator[int], date: int) -> None:
    for number in numbers:
        about = {"user_id": number, "update_id": number}
        if number % 2:
            update = updates.start(f"gp_{number}", date=date, **about)
        else:
            update = updates.click("vote", **about)
        await dispatcher.feed_raw_update(bot, update)
        await breathe()


async def take_payments(tracker: Tracker, orders: Iterator[int]) -> None:
    for order in orders:
        await tracker.track(
            "Purchase",
            telegram_id=PAYERS + order,
            value="9.90",
            currency="EUR",
            once=order,
        )
        await breathe()


async def breathe() -> None:
    await asyncio.sleep(random.uniform(0, 0.01))


async def drain(tracker: Tracker) -> None:
    async with tracker:
        assert await tracker.flush(50)


def be_born(life: Life, bot: Bot, acks: int) -> None:
    """Be the forked process; ends it."""
    code = 1
    try:
        signal.alarm(LONGEST_LIFE)
        random.seed(life.number)
        tracker = AckingTracker(life, acks)
        asyncio.run(drain(tracker) if life.draining else live(life, tracker, bot))
        code = 0
    except BaseException:  # noqa: BLE001 - for the test to show
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    logging.basicConfig(level=logging.CRITICAL)
    acks, bot = int(sys.argv[1]), Bot("42:TEST")
    for line in iter(sys.stdin.readline, ""):
        assert threading.active_count() == 1, "a process with threads must not be forked"
        pid = os.fork()
        if pid == 0:
            be_born(Life(**json.loads(line)), bot, acks)
        # A bot with an aim kills itself. Of others only who has not collected a child yet can be
        # sure whom this pid means.
        if sys.stdin.readline() == "kill\n":
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
