"""The two halves of a tracker's journal: what is known of users, and what they have done."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection
from pathlib import Path

from gp_aiogram.model.click import Click
from gp_aiogram.tracker import lines
from gp_aiogram.tracker.journal import Journal
from gp_aiogram.tracker.journal_slots import Slots
from gp_aiogram.tracker.request import NewTouch

logger = logging.getLogger("gp_aiogram.journal")


class Journals:
    """What waits for either half of a store.

    Either half of a store may be away alone; what goes to the other does not wait for it.

    :param path: of the file for events; touches are next to it. None keeps both in memory.
    :param store: where the requests belong: an absolute path, or another name. It is written into
        the files, so that no other store gets them.
    """

    def __init__(self, path: Path | None, store: str = "") -> None:
        if path is not None and os.path.isabs(store):  # noqa: PTH117 - may be of no file
            # Both may be moved together.
            store = os.path.relpath(store, path.absolute().parent)
        self._slots = slots = None if path is None else Slots(path, store)
        self._told: str | None = None
        self.events = Journal(None if slots is None else Events(slots), store)
        self.touches = Journal(None if slots is None else Touches(slots), store)

    @property
    def is_on_disk(self) -> bool:
        """Whether what waits survives this process."""
        return self._slots is not None

    async def adopt(self) -> int:
        """Take over what ended processes have left, and return how many requests wait there."""
        if self._slots is None:
            return 0
        found = 0
        try:
            for slot in await asyncio.to_thread(self._slots.take_left):
                found += await self.touches.adopt(slot.touches)
                found += await self.events.adopt(slot.events)
                self._slots.emptied(slot.events)
        except OSError as error:
            if self._told != str(error):
                self._told = str(error)
                logger.error("a journal cannot be read: %s", error)  # noqa: TRY400 - it says all
        return found

    async def close(self) -> None:
        """Let go of the files; what waits there is left to other processes."""
        await self.touches.close()
        await self.events.close()
        if self._slots is not None:
            self._slots.release_all()

    async def erase(self, telegram_id: int) -> None:
        """Erase what waits of a user.

        :raises OSError: when a file cannot be changed.
        """
        if not len(self.touches) and not len(self.events):
            return
        own = {new.session.session_id for new in await self.touches_of(telegram_id)}
        others = await self.touches.matching(
            lambda line: line["kind"] == "touch" and line["telegram_id"] != telegram_id
        )
        # As in the store, a click goes with the last user who came by it.
        await self.erase_clicks(own - {line["session_id"] for line in others})
        for journal in (self.touches, self.events):
            await journal.erase(lambda line: line["telegram_id"] == telegram_id)

    async def erase_clicks(self, session_ids: Collection[str]) -> None:
        """Erase clicks that wait.

        :raises OSError: when a file cannot be changed.
        """
        if len(self.touches) and session_ids:
            await self.touches.erase(
                lambda line: line["kind"] == "click" and line["session_id"] in session_ids
            )

    async def touches_of(self, telegram_id: int) -> list[NewTouch]:
        """Return the touches of a user that the store does not know yet.

        :raises OSError: when a file cannot be read.
        """
        if not len(self.touches):
            return []
        waiting = await self.touches.matching(
            lambda line: line["kind"] == "touch" and line["telegram_id"] == telegram_id
        )
        return [lines.touch_of(line) for line in waiting]

    async def click_of(self, session_id: str) -> Click | None:
        """Return a click that the store does not know yet.

        :raises OSError: when a file cannot be read.
        """
        if not len(self.touches):
            return None
        waiting = await self.touches.matching(
            lambda line: line["kind"] == "click" and line["session_id"] == session_id
        )
        return lines.click_of(waiting[0]).click if waiting else None


class Events:
    """Where the journals for events are."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def own(self) -> Path:
        """Return this process's file.

        :raises OSError: when there is none.
        """
        return self._slots.own().events

    def emptied(self, path: Path) -> None:
        """Let others have the slot once nothing waits there."""
        self._slots.emptied(path)


class Touches(Events):
    """Where the journals for touches are."""

    def own(self) -> Path:
        """Return this process's file.

        :raises OSError: when there is none.
        """
        return self._slots.own().touches
