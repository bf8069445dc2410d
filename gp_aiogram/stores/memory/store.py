"""A store in this process's memory, for tests and experiments: it forgets everything at exit."""

from __future__ import annotations

from collections import defaultdict

from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.keys import new_salt
from gp_aiogram.stores.leases import Leases
from gp_aiogram.stores.memory.outbox import MemoryOutbox
from gp_aiogram.stores.memory.profiles import MemoryProfiles
from gp_aiogram.stores.memory.sessions import MemorySessions


class MemoryStore(MemorySessions, MemoryProfiles, MemoryOutbox, Store):
    """Sessions, profiles and outbox in memory.

    :param clock: what tells the time; this machine's clocks unless a test turns its own.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._touches = {}
        self._clicks = {}
        self._traits = {}
        self._invites = {}
        self._events = {}
        self._users = {}
        self._pending = defaultdict(list)
        self._leases = Leases(self.clock)
        self._salt = new_salt()
        self._once = set()
        self._erased = set()
        self._seq = 0
