"""Keeps requests on the local disk while the store cannot take them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gp_aiogram.tracker.journal_file import JournalFile, Line

logger = logging.getLogger("gp_aiogram.journal")

#: So many lines are kept in memory where the disk fails as well.
IN_MEMORY = 10_000


class Place(Protocol):
    """Says where the files of a journal are."""

    def own(self) -> Path:
        """Return this process's file, which is empty so far unless it was adopted.

        :raises OSError: when there is none.
        """

    def emptied(self, path: Path) -> None:
        """Hear that nothing waits in a file any more."""


class Journal:
    """Lines that are appended at the end and worked off from the start.

    What :meth:`append` has returned from survives ``kill -9`` and power loss, unless the disk
    itself fails: then lines are kept in memory, and the log says so. A line that a crash has torn
    was never acknowledged; it is left out.

    A process that was forked has none of its parent's lines: they are the parent's to record.

    :param place: of the files, which exist only while something waits; None keeps lines in memory.
    :param store: what tells the store that the lines are for.
    """

    def __init__(self, place: Place | None, store: str = "") -> None:
        self._place = place
        self._store = store
        #: Files in which something waits: those of ended processes, then this one's own.
        self._files: list[JournalFile] = []
        self._own: JournalFile | None = None
        #: What the disk did not take, younger than all that is in files.
        self._memory: deque[Line] = deque()
        self._turn = asyncio.Lock()
        self._pid = os.getpid()

    def __len__(self) -> int:
        self._check_process()
        return len(self._memory) + sum(file.waiting for file in self._files)

    async def adopt(self, path: Path) -> int:
        """Take over what an ended process has left in a file: before what is this one's own.

        :return: how many lines wait there.
        :raises OSError: when the file cannot be read.
        """
        async with self._turn:
            file = self._file(path)
            await asyncio.to_thread(file.load)
            if file.waiting and file not in self._files:
                self._files.insert(len(self._files) - (self._own in self._files), file)
            return file.waiting

    async def append(self, line: Line, *, in_memory: bool = True) -> bool:
        """Add a line, and return when it is on the disk.

        :param in_memory: memory will do where the disk fails.
        :return: False when it was not kept.
        """
        self._check_process()
        async with self._turn:
            if self._place is not None and not self._memory:
                try:
                    await asyncio.to_thread(self._append, line)
                except OSError as error:
                    outcome = "requests are kept in memory" if in_memory else "refused a request"
                    logger.error("%s: %s", outcome, error)  # noqa: TRY400 - it says all
                else:
                    return True
            if not in_memory or len(self._memory) >= IN_MEMORY:
                return False
            self._memory.append(line)
            return True

    async def first(self) -> Line | None:
        """Return the line whose turn it is; None when nothing waits.

        :raises OSError: when the file cannot be read.
        """
        async with self._turn:
            if self._files:
                return await asyncio.to_thread(self._files[0].first)
            return self._memory[0] if self._memory else None

    async def drop(self, line: Line | None) -> None:
        """Forget the line whose turn it was.

        It may not be the first any more: its user may have been erased meanwhile, or files that
        were taken over come before it.

        :param line: as :meth:`first` has returned it; None where nothing of a file can be read.
        :raises OSError: when the file cannot be changed.
        """
        async with self._turn:
            for file in self._files:
                if await asyncio.to_thread(file.first) == line:
                    await asyncio.to_thread(self._change, file, JournalFile.drop_first)
                    return
            if self._memory and self._memory[0] == line:
                self._memory.popleft()

    async def matching(self, is_meant: Callable[[Line], bool]) -> list[Line]:
        """Return the waiting lines that are meant, in order.

        :raises OSError: when the file cannot be read.
        """
        self._check_process()
        async with self._turn:
            waiting: list[Line] = []
            for file in self._files:
                waiting += await asyncio.to_thread(file.matching, is_meant)
            return waiting + [line for line in self._memory if is_meant(line)]

    async def erase(self, is_meant: Callable[[Line], bool]) -> None:
        """Erase the waiting lines that are meant.

        :raises OSError: when the file cannot be changed.
        """
        self._check_process()
        async with self._turn:
            self._memory = deque(line for line in self._memory if not is_meant(line))
            for file in [*self._files]:
                await asyncio.to_thread(self._change, file, lambda one: one.erase(is_meant))

    async def close(self) -> None:
        """Let go of the files; what waits there is left to the next process."""
        self._check_process()
        async with self._turn:
            self._files, self._own = [], None

    def _append(self, line: Line) -> None:
        if self._place is None:
            return
        if self._own is None:
            self._own = self._file(self._place.own())
        self._own.append([line])
        if self._own not in self._files:
            self._files.append(self._own)

    def _file(self, path: Path) -> JournalFile:
        """Return the one that counts the lines of a file."""
        known = self._files if self._own is None else [*self._files, self._own]
        return next((file for file in known if file.path == path), JournalFile(path, self._store))

    def _change(self, file: JournalFile, change: Callable[[JournalFile], object]) -> None:
        change(file)
        if not file.waiting:
            self._files.remove(file)
            if self._place is not None:
                self._place.emptied(file.path)

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            self._files, self._own, self._memory = [], None, deque()
            self._turn, self._pid = asyncio.Lock(), os.getpid()
