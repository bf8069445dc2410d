"""The bot that test_journal.py kills while its store is away.

Importing aiogram takes seconds, so one process imports everything and forks a bot for each line
that names a folder. The bot reads updates, a line of JSON each, and says how long each has held it
up, until an empty line. What it delivers it appends to a file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiogram import Bot, Dispatcher, F
from aiogram.filters import CommandStart
from aiogram.types import CallbackQuery, Message

from gp_aiogram import Destination, Event, SQLiteStore, Store, Tracker, UserTracker, track


class Away:
    """A part of a store that hangs or fails while a file says so."""

    def __init__(self, part: Any, sign: Path) -> None:
        self._part = part
        self._sign = sign

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            while self._sign.exists():
                if self._sign.read_text() == "raise":
                    raise ConnectionError
                await asyncio.sleep(0.01)
            return await method(*args, **kwargs)

        return call


class Appending(Destination):
    """Appends events to a file."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self.path = path

    async def send(self, events: Sequence[Event]) -> None:
        with self.path.open("a") as file:
            for event in events:
                told = [event.event_id, event.name, event.telegram_id, event.session_id]
                file.write(json.dumps(told) + "\n")


def new_store(folder: Path) -> Store:
    store = SQLiteStore(folder / "gp.sqlite3")
    sign = folder / "away"
    parts = (store.sessions, store.profiles, store.outbox)
    sessions, profiles, outbox = (Away(part, sign) for part in parts)
    return Store(sessions=sessions, profiles=profiles, outbox=outbox)  # type: ignore[arg-type]


def new_bot(tracker: Tracker) -> Dispatcher:
    dp = Dispatcher()

    @dp.message(CommandStart())
    @track("REG", once="user")
    async def start(message: Message, gp: UserTracker) -> None:
        await gp.identify(email=f"ada{gp.telegram_id}@example.org")

    @dp.callback_query(F.data == "deposit")
    @track.deposit(value=5)
    async def deposit(call: CallbackQuery) -> None: ...

    tracker.setup(dp)
    return dp


async def live(folder: Path) -> None:
    tracker = Tracker(
        [Appending(folder / "delivered")],
        store=new_store(folder),
        journal=folder / "gp.journal",
    )
    dp, bot = new_bot(tracker), Bot("42:TEST")
    await dp.emit_startup()
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        began = time.monotonic()
        await dp.feed_raw_update(bot, json.loads(line))
        print(time.monotonic() - began, flush=True)
    assert await tracker.flush(20)
    await dp.emit_shutdown()


def main() -> None:
    while folder := sys.stdin.readline().strip():
        pid = os.fork()
        if pid == 0:
            logging.basicConfig(filename=f"{folder}/log", level=logging.INFO)
            asyncio.run(live(Path(folder)))
            os._exit(0)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print("ended", status, flush=True)


if __name__ == "__main__":
    main()
