"""The two halves of a tracker's journal: what is known of users, and what they have done."""

from __future__ import annotations

from pathlib import Path

from gp_aiogram.model.session import Session
from gp_aiogram.tracker import lines
from gp_aiogram.tracker.journal import Journal


class Journals:
    """What waits for either half of a store.

    Either half of a store may be away alone; what goes to the other does not wait for it.

    :param path: of the file for events; touches are next to it. None keeps both in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.events = Journal(path)
        self.touches = Journal(None if path is None else path.with_name(f"{path.name}.touches"))

    async def touches_of(self, telegram_id: int) -> list[Session]:
        """Return the touches of a user that the store does not know yet."""
        if not len(self.touches):
            return []
        waiting = await self.touches.of_user(telegram_id)
        return [lines.touch_of(line) for line in waiting if line["kind"] == "touch"]
