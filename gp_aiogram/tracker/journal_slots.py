"""Gives each process a journal of its own, and finds those that ended processes have left."""

from __future__ import annotations

import logging
import os
import re
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from gp_aiogram.tracker.journal_file import store_of

logger = logging.getLogger("gp_aiogram.journal")

#: Processes that share a folder: many more than any machine runs bots.
_MOST = 1000

#: Slots that a forked process has inherited. They are the parent's: to give up their locks, as
#: some versions of filelock do when nobody holds them any more, would give up the parent's.
_INHERITED: list[Slot] = []


class Slot:
    """Where one process keeps its journal, which is its own until :meth:`release`.

    :param path: of the file for events; touches are next to it.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.events = path
        self.touches = path.with_name(f"{path.name}.touches")
        self._lock = lock

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here."""
        return not self.events.exists() and not self.touches.exists()

    def release(self) -> None:
        """Let others have it."""
        self._lock.release(force=True)


class Slots:
    """The slots of a journal: ``gp.journal``, ``gp.journal.2``, ``gp.journal.3`` and so on.

    The locks are files beside them, which stay: who removed one would let two processes in.

    :param path: of the first.
    :param store: tells the store from others. What waits for another one is left alone.
    """

    def __init__(self, path: Path, store: str) -> None:
        self._path = path
        self._store = store
        self._told: set[Path] = set()
        self._own: Slot | None = None
        self._adopted: list[Slot] = []
        self._turn = threading.Lock()
        self._pid = os.getpid()

    def own(self) -> Slot:
        """Return this process's slot; the first one that is free unless it has any.

        :raises OSError: when there is none, or the folder cannot be written.
        """
        self._check_process()
        with self._turn:
            if self._own is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._own = self._first_free()
            return self._own

    def take_left(self) -> list[Slot]:
        """Take the slots in which ended processes have left something for this store.

        The first time, the last of them becomes this process's own: a restart needs no other.

        :raises OSError: when the folder cannot be read or written.
        """
        self._check_process()
        with self._turn:
            taken = [slot for path in self._used() if (slot := self._take_left(path))]
            self._adopted += taken
            if self._own is None and taken:
                self._own = taken[-1]
            return taken

    def emptied(self, path: Path) -> None:
        """Let others have the slot of a file once nothing waits there; the own one stays."""
        with self._turn:
            for slot in [*self._adopted]:
                if path in {slot.events, slot.touches} and slot.is_empty:
                    self._adopted.remove(slot)
                    if slot is not self._own:
                        slot.release()

    def release_all(self) -> None:
        """Let others have every slot of this process."""
        self._check_process()
        with self._turn:
            held = [*self._adopted] if self._own is None else [*self._adopted, self._own]
            self._own, self._adopted = None, []
            for slot in held:
                slot.release()

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            _INHERITED.extend(slot for slot in (*self._adopted, self._own) if slot is not None)
            self._own, self._adopted = None, []
            self._turn, self._pid = threading.Lock(), os.getpid()

    def _take_left(self, path: Path) -> Slot | None:
        slot = _try_take(path)
        if slot is None:
            return None
        try:
            if not slot.is_empty and not self._is_for_another(slot):
                return slot
        except OSError:
            slot.release()
            raise
        slot.release()
        return None

    def _first_free(self) -> Slot:
        for number in range(1, _MOST + 1):
            slot = _try_take(self._numbered(number))
            if slot is None:
                continue
            if slot.is_empty:
                return slot
            slot.release()
        msg = f"{_MOST} journals are in use beside {self._path}: give this tracker another folder"
        raise OSError(msg)

    def _numbered(self, number: int) -> Path:
        name = self._path.name
        return self._path.with_name(name if number == 1 else f"{name}.{number}")

    def _used(self) -> list[Path]:
        """Return the paths of the slots in which something waits, in order."""
        name = re.compile(rf"{re.escape(self._path.name)}(?:\.([0-9]+))?(?:\.touches)?")
        try:
            names = [name.fullmatch(found.name) for found in self._path.parent.iterdir()]
        except FileNotFoundError:
            return []
        numbers = {int(found[1] or 1) for found in names if found is not None}
        return [self._numbered(number) for number in sorted(numbers)]

    def _is_for_another(self, slot: Slot) -> bool:
        stores = {store_of(path) for path in (slot.events, slot.touches)}
        others = stores - {None, self._store}
        if others and slot.events not in self._told:
            self._told.add(slot.events)
            logger.error(
                "requests wait in %s for another store (%s; this one is %s): a tracker with that "
                "store records them when it starts here",
                slot.events,
                ", ".join(sorted(map(str, others))),
                self._store or "unnamed",
            )
        return bool(others)


def _try_take(path: Path) -> Slot | None:
    """Return a slot unless another process, or another tracker of this one, has it."""
    lock = FileLock(f"{path}.lock", timeout=0, thread_local=False, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        return None
    return Slot(path, lock)
