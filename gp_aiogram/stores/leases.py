"""Claims of a store that one process owns: kept in memory, gone with the process."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

from gp_aiogram.model.clock import Clock

Key = TypeVar("Key", bound=Hashable)


class _Lease(NamedTuple):
    token: str
    until: float


class Leases(Generic[Key]):
    """Which keys are claimed, under which token, and until when.

    A crash forgets every lease. That is right: with the only owner gone, nobody holds anything.

    One thread grants and ends leases. Others may ask meanwhile: a question takes a single look at
    the dictionary.

    :param clock: its monotonic time ends leases.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # A token of another store, or of this file's owner before a crash, proves nothing here.
        self._prefix = secrets.token_hex(4)
        self._granted = 0
        self._leases: dict[Key, _Lease] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def grant(self, keys: Collection[Key], seconds: float) -> str:
        """Lease keys; earlier leases of theirs end.

        :return: the token that proves it.
        """
        self._granted += 1
        token = f"{self._prefix}-{self._granted}"
        self._lease(keys, token, seconds)
        return token

    def extend(self, keys: Iterable[Key], token: str, seconds: float) -> None:
        """Let what the token still holds end ``seconds`` from now."""
        self._lease([key for key in keys if self.proves(token, key)], token, seconds)

    def holds(self, key: Key) -> bool:
        """Return whether somebody has claimed the key."""
        lease = self._leases.get(key)
        return lease is not None and lease.until > self._clock.monotonic()

    def proves(self, token: str, key: Key) -> bool:
        """Return whether the token still holds the key."""
        lease = self._leases.get(key)
        return lease is not None and lease.token == token and lease.until > self._clock.monotonic()

    def end(self, key: Key, token: str) -> None:
        """Give a key back; a token that does not hold it changes nothing."""
        lease = self._leases.get(key)
        if lease is not None and lease.token == token:
            del self._leases[key]

    def revoke(self, key: Key) -> None:
        """End the lease of a key, whoever holds it."""
        self._leases.pop(key, None)

    def clear(self) -> None:
        """End every lease."""
        self._leases.clear()

    def _lease(self, keys: Collection[Key], token: str, seconds: float) -> None:
        lease = _Lease(token, self._clock.monotonic() + seconds)
        self._leases.update(dict.fromkeys(keys, lease))
