"""Keeps requests on the local disk while the store cannot take them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gp_aiogram.model import codec

logger = logging.getLogger("gp_aiogram.journal")

#: A request as JSON values; its user is under ``telegram_id``.
Line = Mapping[str, Any]

#: So many lines are kept in memory where the disk fails as well.
IN_MEMORY = 10_000


class Journal:
    """Lines that are appended at the end and worked off from the start.

    What :meth:`append` has returned from survives ``kill -9`` and power loss, unless the disk
    itself fails: then lines are kept in memory, and the log says so. A line that a crash has torn
    was never acknowledged; it is left out.

    :param path: of the file, which exists only while something waits; None keeps lines in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else _File(path)
        self._memory: deque[Line] = deque()
        self._turn = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._memory) + (0 if self._file is None else self._file.waiting)

    async def load(self) -> None:
        """Find what an earlier process has left."""
        async with self._turn:
            if self._file is not None:
                await asyncio.to_thread(self._file.load)

    async def append(self, line: Line) -> bool:
        """Add a line, and return when it is on the disk.

        :return: False when it was lost: the disk fails and memory is full.
        """
        async with self._turn:
            if self._file is not None and not self._memory:
                try:
                    await asyncio.to_thread(self._file.append, [line])
                except OSError as error:
                    logger.error("requests are kept in memory: %s", error)  # noqa: TRY400 - it says all
                else:
                    return True
            if len(self._memory) >= IN_MEMORY:
                return False
            self._memory.append(line)
            return True

    async def first(self) -> Line | None:
        """Return the line whose turn it is; None when nothing waits.

        :raises OSError: when the file cannot be read.
        """
        async with self._turn:
            if self._file is not None and self._file.waiting:
                return await asyncio.to_thread(self._file.first)
            return self._memory[0] if self._memory else None

    async def drop_first(self) -> None:
        """Forget the line whose turn it was.

        :raises OSError: when the file cannot be changed.
        """
        async with self._turn:
            if self._file is not None and self._file.waiting:
                await asyncio.to_thread(self._file.drop_first)
            else:
                self._memory.popleft()

    async def of_user(self, telegram_id: int) -> list[Line]:
        """Return what waits of a user, in order.

        :raises OSError: when the file cannot be read.
        """
        async with self._turn:
            waiting = [*self._memory]
            if self._file is not None and self._file.waiting:
                waiting += await asyncio.to_thread(self._file.all)
            return [line for line in waiting if line["telegram_id"] == telegram_id]

    async def erase(self, telegram_id: int) -> None:
        """Erase what waits of a user.

        :raises OSError: when the file cannot be changed.
        """
        async with self._turn:
            self._memory = deque(_of_others(self._memory, telegram_id))
            if self._file is not None and self._file.waiting:
                await asyncio.to_thread(self._file.erase, telegram_id)

    async def close(self) -> None:
        """Let go of the file; what waits there is left to the next process."""
        async with self._turn:
            if self._file is not None:
                self._file.close()


class _File:
    """The journal's file. Its methods block, and are called one at a time.

    Lines are not removed one by one: the file goes with its last line. Whoever works lines off
    again after a crash finds that the store knows them.
    """

    def __init__(self, path: Path) -> None:
        #: Lines that wait.
        self.waiting = 0
        self._path = path
        #: Bytes of the lines that were worked off.
        self._start = 0
        self._lock: FileLock | None = None

    def load(self) -> None:
        if self._lock is None and self._path.exists():
            self._acquire()
            self.waiting = sum(1 for _ in self._lines())

    def append(self, lines: Iterable[Line]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._acquire()
        data = b"".join(codec.encode(line) + b"\n" for line in lines)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data  # a crash has torn the last line
            _write(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        finally:
            os.close(descriptor)
        if not size:
            _sync_folder(self._path.parent)
        self.waiting += data.count(b"\n") - data.startswith(b"\n")

    def first(self) -> Line | None:
        return next((line for _, line in self._lines()), None)

    def all(self) -> list[Line]:
        return [line for _, line in self._lines()]

    def drop_first(self) -> None:
        self._start = next((end for end, _ in self._lines()), self._start)
        self.waiting -= 1
        if not self.waiting:
            self._remove()

    def erase(self, telegram_id: int) -> None:
        kept = [*_of_others(self.all(), telegram_id)]
        if len(kept) == self.waiting:
            return
        self._remove()
        if kept:
            self.append(kept)

    def close(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def _acquire(self) -> None:
        if self._lock is not None:
            return
        lock = FileLock(f"{self._path}.lock", timeout=0, thread_local=False, mode=0o600)
        try:
            lock.acquire()
        except Timeout:
            msg = (
                f"another process uses {self._path}: give this tracker a journal of its own, "
                "Tracker(journal=...)"
            )
            raise OSError(msg) from None
        self._lock = lock

    def _lines(self) -> Iterator[tuple[int, Line]]:
        """Yield each line that waits, and where it ends; a torn or spoilt one is left out."""
        end = self._start
        with self._path.open("rb") as file:
            file.seek(end)
            for text in file:
                end += len(text)
                line = _parsed(text)
                if line is not None:
                    yield end, line

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)
        _sync_folder(self._path.parent)
        self._start = self.waiting = 0


def _parsed(text: bytes) -> Line | None:
    try:
        line = codec.decode(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "telegram_id" in line else None


def _of_others(lines: Iterable[Line], telegram_id: int) -> Iterator[Line]:
    return (line for line in lines if line["telegram_id"] != telegram_id)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_folder(folder: Path) -> None:
    """Have the disk know of a file that was made or removed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
