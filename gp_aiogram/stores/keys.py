"""Idempotency keys, and the digests by which a store remembers them.

A once-key admits a single event, permanently. A store keeps digests only: BLAKE2b, keyed with
random bytes of the store's own. Whoever has no copy of the store learns nothing from a digest, and
a digest names nobody, so that it may outlive a user who asked to be forgotten.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, NamedTuple

#: Bytes of a store's own key, and of a digest.
SALT_SIZE, DIGEST_SIZE = 32, 16

KeyKind = Literal[
    "user", "order", "deposit", "claimed_order", "event_id", "opt_out", "request", "alert"
]


class OnceKey(NamedTuple):
    """An idempotency key. Its parts stay separate, so that two claims never meet in one key.

    :param kind: what the key guards: one event per ``user``, per ``order``, one ``deposit`` per
        order, one event per ``event_id``, whatever its name. ``claimed_order`` marks an order
        whose bot was named, ``opt_out`` a user who wants nothing recorded, ``request`` a request
        that came with an ``Idempotency-Key``, ``alert`` a trouble that admins were told of.
    :param value: the order's number, the event id, the ``Idempotency-Key``, or the user's Telegram
        id, as text.
    :param name: event name; empty where the kind is enough.
    :param bot_id: None means whichever bot.
    :param telegram_id: of a key that holds for one user only; None where the value tells.
    """

    kind: KeyKind
    value: str
    name: str = ""
    bot_id: int | None = None
    telegram_id: int | None = None

    @property
    def legacy_text(self) -> str | None:
        """What this key was before keys had parts; a migrated store still knows keys by it.

        :return: None when no such key could have been written.
        """
        if self.kind == "opt_out":
            return f"opted out:{self.value}"
        if self.kind == "user":
            return f"user:{self.bot_id or 0}:{self.value}:{self.name}"
        if self.telegram_id is not None or self.kind in ("event_id", "request", "alert"):
            return None
        return f"key:{self.name or self.kind}:{self.value}"


def user_key(bot_id: int | None, telegram_id: int, name: str) -> OnceKey:
    """Return the key that admits one event of a name per user of a bot.

    :param bot_id: None means of no bot that is known; with FTD, of any bot.
    """
    return OnceKey("user", str(telegram_id), name, bot_id)


def order_key(bot_id: int | None, order: str, name: str) -> OnceKey:
    """Return the key that admits one event of a name per order of a bot."""
    return OnceKey("order", order, name, bot_id)


def deposit_key(bot_id: int | None, order: str) -> OnceKey:
    """Return the key that admits one deposit, FTD or DEP, per order of a bot."""
    return OnceKey("deposit", order, bot_id=bot_id)


def opt_out_key(telegram_id: int) -> OnceKey:
    """Return the key of a user who wants nothing recorded, whichever bot they talk to."""
    return OnceKey("opt_out", str(telegram_id))


def alert_key(trouble: str) -> OnceKey:
    """Return the key of a trouble that admins were told of, so that they are told once."""
    return OnceKey("alert", trouble)


def request_keys(scope: str, key: str, digest: str) -> tuple[OnceKey, OnceKey]:
    """Return the key of a request, which lets one event through, and that of what it held.

    :param scope: within which idempotency keys differ, such as a workspace.
    :param key: the ``Idempotency-Key``.
    :param digest: of what was asked for.
    """
    return OnceKey("request", key, scope), OnceKey("request", key, f"{scope} {digest}")


def new_salt() -> bytes:
    """Draw the random key of a new store."""
    return secrets.token_bytes(SALT_SIZE)


def once_digest(salt: bytes, key: OnceKey) -> bytes:
    """Return what a store remembers of a once-key: 16 bytes."""
    kind, value, name, bot_id, telegram_id = key
    # With their lengths, so that no part runs into the next.
    text = f"{kind} {len(value)} {value} {len(name)} {name} {bot_id} {telegram_id}"
    return _digest(salt, b"o", text)


def order_digest(salt: bytes, order: str) -> bytes:
    """Return by what a store finds the events of an order: 16 bytes."""
    return _digest(salt, b"k", order)


def event_digest(salt: bytes, event_id: str, name: str) -> bytes:
    """Return what a store remembers of an event that it has erased: 16 bytes.

    Id and name together tell an event from others, as with Meta and TikTok.
    """
    return _digest(salt, b"n", f"{len(event_id)} {event_id} {name}")


def legacy_once_digest(salt: bytes, text: str) -> bytes:
    """Return the digest of a key of before keys had parts."""
    return _digest(salt, b"k", text)


def legacy_event_digest(salt: bytes, event_id: str) -> bytes:
    """Return the digest of an erased event of before names counted."""
    return _digest(salt, b"e", event_id)


def _digest(salt: bytes, kind: bytes, text: str) -> bytes:
    digest = _keyed(salt, kind).copy()
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()


@lru_cache(maxsize=16)
def _keyed(salt: bytes, kind: bytes) -> blake2b:
    """Return the state that a digest starts from; a copy is cheaper than keying another."""
    return blake2b(key=salt, digest_size=DIGEST_SIZE, person=kind)
