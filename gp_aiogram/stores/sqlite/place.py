"""Where a store's file is: whose it is, and whether it is still there."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from gp_aiogram.errors import StoreLocked

#: Nobody but the bot's own account reads the files.
_MODE = 0o600


class FileId(NamedTuple):
    """What tells a file from others, whatever its name."""

    device: int
    inode: int


class Place:
    """A file that this process owns until :meth:`release`.

    It holds two locks. One is next to the file, where whoever shares the folder meets it. The
    other is among this account's temporary files, under a name made of device and inode: it holds
    for a hard link in another folder, and when the first one was removed. Neither is a lock on
    the file itself: closing any descriptor of it would end those of SQLite.

    :param path: made when missing; the file that it leads to, where it is a link.
    :raises StoreLocked: when another process, or another store of this one, has the file.
    :raises OSError: when the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        #: Whatever folder the process goes to later.
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - a link stays a link
        #: Where SQLite puts its other files.
        self.real_path = Path(os.path.realpath(path))
        self._locks = ExitStack()
        try:
            self.real_path.parent.mkdir(parents=True, exist_ok=True)
            self._lock(f"{self.real_path}.lock")
            _make(self.real_path)
            self._id = _id_of(self.real_path)
            # Without a folder for temporary files the other lock has to do.
            with suppress(OSError):
                self._lock(_lock_by_id(self._id))
        except BaseException:
            self.release()
            raise

    def is_lost(self) -> bool:
        """Return whether the path leads to the file no more: it was deleted, moved or replaced."""
        try:
            return _id_of(self.path) != self._id
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # which says nothing of the file
            return False

    def release(self) -> None:
        """Let others have the file."""
        self._locks.close()

    def _lock(self, name: str) -> None:
        # A new one each time: filelock refuses a lock object that was made before a fork.
        lock = FileLock(name, timeout=0, thread_local=False, mode=_MODE)
        try:
            lock.acquire()
        except Timeout:
            msg = (
                f"another process (or another store of this one) uses {self.path}. One SQLite "
                "file serves one process: stop the other one, give each a file of its own, or "
                "move to PostgreSQL, which serves many: PostgresStore('postgresql://…')"
            )
            raise StoreLocked(msg) from None
        self._locks.callback(lock.release)


def _make(path: Path) -> None:
    # Opened only where it is missing: to close a file ends this process's locks on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _MODE))


def _id_of(path: Path) -> FileId:
    found = os.stat(path)  # noqa: PTH116 - faster, after each transaction
    return FileId(found.st_dev, found.st_ino)


def _lock_by_id(file: FileId) -> str:
    return str(_private_folder() / f"{file.device:x}-{file.inode:x}.lock")


def _private_folder() -> Path:
    """Return a folder for temporary files into which nobody else can have put any.

    :raises OSError: when there is none.
    """
    if not hasattr(os, "getuid"):
        return Path(tempfile.gettempdir())  # of the account, on Windows
    user = os.getuid()
    folder = Path(tempfile.gettempdir(), f"gp_aiogram-{user}")
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o022:
        msg = f"{folder} is somebody else's"
        raise PermissionError(msg)
    return folder
