"""What an outbox in memory knows for ever: once-keys, and which events it has erased."""

from __future__ import annotations

from collections.abc import Collection

from gp_aiogram.model.event import Event
from gp_aiogram.stores.keys import OnceKey, event_digest, new_salt, once_digest


class OnceKeys:
    """Digests of once-keys and of erased events; they name nobody."""

    def __init__(self) -> None:
        self._salt = new_salt()
        self._keys: set[bytes] = set()
        self._erased: set[bytes] = set()

    def add(self, keys: Collection[OnceKey]) -> int:
        """Make keys known, and return how many were new."""
        new = self._digests(keys).keys() - self._keys
        self._keys |= new
        return len(new)

    def drop(self, keys: Collection[OnceKey]) -> None:
        """Make keys unknown again."""
        self._keys -= self._digests(keys).keys()

    def known(self, keys: Collection[OnceKey]) -> set[OnceKey]:
        """Return those of the keys that are known."""
        return {key for digest, key in self._digests(keys).items() if digest in self._keys}

    def add_erased(self, event: Event) -> None:
        """Remember that an event was there."""
        self._erased.add(event_digest(self._salt, event.event_id, event.name))

    def was_erased(self, event: Event) -> bool:
        """Return whether an event of this id and name was there."""
        return event_digest(self._salt, event.event_id, event.name) in self._erased

    def _digests(self, keys: Collection[OnceKey]) -> dict[bytes, OnceKey]:
        return {once_digest(self._salt, key): key for key in keys}
