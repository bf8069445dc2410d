"""Makes once-keys, and digests of them and of event ids that name nobody.

A store remembers for ever what it has seen, also of users who asked to be forgotten. What it
remembers is a BLAKE2b digest keyed with random bytes of the store's own: only somebody who has the
whole store and guesses both the user and the event can check the guess.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from hashlib import blake2b

#: Bytes of a store's own key, and of a digest.
SALT_SIZE, DIGEST_SIZE = 32, 16


def opt_out_key(telegram_id: int) -> str:
    """Return the once-key of a user who wants nothing to be recorded."""
    return f"opted out:{telegram_id}"


def new_salt() -> bytes:
    """Draw the random key of a new store."""
    return secrets.token_bytes(SALT_SIZE)


def key_digest(salt: bytes, key: str) -> bytes:
    """Return what a store remembers of a once-key: 16 bytes."""
    return _digest(salt, b"k", key)


def id_digest(salt: bytes, event_id: str) -> bytes:
    """Return what a store remembers of the id of an event that it has erased: 16 bytes."""
    return _digest(salt, b"e", event_id)


def _digest(salt: bytes, kind: bytes, text: str) -> bytes:
    digest = _keyed(salt, kind).copy()
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()


@lru_cache(maxsize=16)
def _keyed(salt: bytes, kind: bytes) -> blake2b:
    """Return what a digest starts as: to copy it is cheaper than to key another."""
    return blake2b(key=salt, digest_size=DIGEST_SIZE, person=kind)
