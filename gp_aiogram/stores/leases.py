"""Claims of a store that one process owns: kept in memory, gone with the process."""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from gp_aiogram.model.clock import Clock

Key = TypeVar("Key", bound=Hashable)


class Leases(Generic[Key]):
    """Who holds what, and until when.

    A crash forgets every lease, which is right: with the only owner gone, nobody holds anything.

    One thread grants and ends leases; others may ask meanwhile: each question takes one look at
    a dict and none relies on a second look finding the same.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # What another store, or this file's owner before a crash, has granted proves nothing here.
        self._prefix = secrets.token_hex(4)
        self._granted = 0
        self._by_key: dict[Key, tuple[str, float]] = {}
        self._by_token: dict[str, Key] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def holds(self, key: Key) -> bool:
        """Tell whether somebody has the key now."""
        lease = self._by_key.get(key)
        return lease is not None and lease[1] > self._clock.monotonic()

    def grant(self, keys: Iterable[Key], seconds: float) -> list[str]:
        """Lease keys and return the tokens that prove it; an earlier token proves nothing."""
        until = self._clock.monotonic() + seconds
        tokens = []
        for key in keys:
            self._forget(key)
            self._granted += 1
            token = f"{self._prefix}-{self._granted}"
            self._by_key[key] = (token, until)
            self._by_token[token] = key
            tokens.append(token)
        return tokens

    def key(self, token: str) -> Key | None:
        """Return the key that the token leases; None when it leases nothing any more."""
        key = self._by_token.get(token)
        lease = None if key is None else self._by_key.get(key)
        if lease is None or lease[0] != token or lease[1] <= self._clock.monotonic():
            return None
        return key

    def end(self, token: str) -> None:
        """Give a lease back."""
        key = self._by_token.get(token)
        if key is not None:
            self._forget(key)

    def revoke(self, key: Key) -> None:
        """End the lease of a key, whoever has it."""
        self._forget(key)

    def clear(self) -> None:
        """End every lease."""
        self._by_key.clear()
        self._by_token.clear()

    def _forget(self, key: Key) -> None:
        if (old := self._by_key.pop(key, None)) is not None:
            del self._by_token[old[0]]
