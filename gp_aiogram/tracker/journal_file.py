"""One file of a journal: lines that are appended at the end and worked off from the start."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from gp_aiogram.model import codec

#: A request as JSON values; its user is under ``telegram_id``, None for a click.
Line = Mapping[str, Any]

#: Nobody but the bot's own account reads the files.
_MODE = 0o600

#: Under which a line in a file names the store that it is for.
_STORE = "store"


class JournalFile:
    """A file that exists only while something waits. Its methods block; one runs at a time.

    Lines are not removed one by one: the file goes with its last line. Whoever works lines off
    again after a crash finds that the store knows them.

    :param store: what tells the store that the lines are for.
    """

    def __init__(self, path: Path, store: str) -> None:
        self.path = path
        #: Lines that wait.
        self.waiting = 0
        self._store = store
        #: Bytes of the lines that were worked off.
        self._start = 0

    def load(self) -> None:
        """Find what was left; a file without a whole line is removed.

        :raises OSError: when the file cannot be read.
        """
        self._unfinished.unlink(missing_ok=True)
        if self.path.exists():
            self._count_or_remove()

    def append(self, lines: Collection[Line]) -> None:
        """Add lines, and return when they are on the disk.

        :raises OSError: when the disk does not take them; none of them is there then.
        """
        data = self._encoded(lines)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, _MODE)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data  # a crash has torn the last line
            try:
                _write(descriptor, data)
                os.fsync(descriptor)
                if not size:
                    _sync_folder(self.path.parent)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        self.waiting += len(lines)

    def first(self) -> Line | None:
        """Return the line whose turn it is.

        :raises OSError: when the file cannot be read.
        """
        return next((line for _, line in self._lines()), None)

    def matching(self, is_meant: Callable[[Line], bool]) -> list[Line]:
        """Return the lines that are meant, in order.

        :raises OSError: when the file cannot be read.
        """
        return [line for _, line in self._lines() if is_meant(line)]

    def drop_first(self) -> None:
        """Forget the line whose turn it was.

        :raises OSError: when the file cannot be changed.
        """
        self._start = next((end for end, _ in self._lines()), self._start)
        self.waiting -= 1
        if not self.waiting:
            # A disk that fails may have kept a line that it refused, and not let go of it.
            self._count_or_remove()

    def erase(self, is_meant: Callable[[Line], bool]) -> None:
        """Erase the lines that are meant.

        :raises OSError: when the file cannot be changed.
        """
        kept = self.matching(lambda line: not is_meant(line))
        if len(kept) == self.waiting:
            return
        if not kept:
            self._remove()
            return
        # The others stay on the disk at any moment: the new file takes the place of the old one.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        descriptor = os.open(self._unfinished, flags, _MODE)
        try:
            _write(descriptor, self._encoded(kept))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._unfinished.replace(self.path)
        _sync_folder(self.path.parent)
        self._start, self.waiting = 0, len(kept)

    @property
    def _unfinished(self) -> Path:
        return self.path.with_name(f"{self.path.name}.new")

    def _encoded(self, lines: Collection[Line]) -> bytes:
        return b"".join(codec.encode({**line, _STORE: self._store}) + b"\n" for line in lines)

    def _lines(self) -> Iterator[tuple[int, Line]]:
        """Yield each line that waits, and where it ends; a torn or spoilt one is left out."""
        end = self._start
        with self.path.open("rb") as file:
            file.seek(end)
            for text in file:
                end += len(text)
                line = _parsed(text)
                if line is not None:
                    yield end, line

    def _count_or_remove(self) -> None:
        self.waiting = sum(1 for _ in self._lines())
        if not self.waiting:
            self._remove()

    def _remove(self) -> None:
        self.path.unlink(missing_ok=True)
        _sync_folder(self.path.parent)
        self._start = self.waiting = 0


def store_of(path: Path) -> str | None:
    """Return which store a file's lines are for; None when nothing tells.

    :raises OSError: when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            first = next((line for text in file if (line := _parsed(text))), {})
    except FileNotFoundError:
        return None
    store = first.get(_STORE)
    return store if isinstance(store, str) else None


def _parsed(text: bytes) -> Line | None:
    try:
        line = codec.decode(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "telegram_id" in line else None


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
