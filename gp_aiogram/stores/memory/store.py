"""A store in this process's memory, for tests and experiments: it forgets everything at exit."""

from __future__ import annotations

from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.memory.outbox import MemoryOutbox
from gp_aiogram.stores.memory.profiles import MemoryProfiles
from gp_aiogram.stores.memory.sessions import MemorySessions


class MemoryStore(Store):
    """Sessions, profiles and outbox in memory.

    :param clock: the clock to use; tests may pass their own.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        super().__init__(
            sessions=MemorySessions(),
            profiles=MemoryProfiles(),
            outbox=MemoryOutbox(self.clock),
        )
