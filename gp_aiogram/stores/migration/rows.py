"""What is moved, row by row, as every store can keep it.

SQLite keeps any value in any column. A row that the SQLite store itself could not read becomes
what that store makes of it: a touch is left out, a pending delivery is a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gp_aiogram.stores.spoilt import DELIVERY_IS_SPOILT, is_sound

#: What PostgreSQL's INTEGER takes.
_MOST = 2**31 - 1


class Touch(NamedTuple):
    """A touch of a user."""

    bot_id: int | None
    telegram_id: int
    session_id: str
    source: str
    at_ms: int
    payload: str


class StoredClick(NamedTuple):
    """A click, with its JSON."""

    session_id: str
    at_ms: int
    body: bytes


class ClickId(NamedTuple):
    """An id that the click of a session holds."""

    value: str
    session_id: str


class Trait(NamedTuple):
    """A trait of a user for a platform."""

    telegram_id: int
    platform: str
    field: str
    value: str


class Invite(NamedTuple):
    """An invite link, and the session that it carries."""

    link: str
    session_id: str


class Waiting(NamedTuple):
    """A conversion whose user has not turned up, with its JSON."""

    key: str
    click_id: str
    at_ms: int
    body: bytes


class Seen(NamedTuple):
    """A digest of a once-key, or of an event that was erased."""

    digest: bytes
    at_ms: int


class StoredEvent(NamedTuple):
    """An event, with its JSON."""

    seq: int
    event_id: str
    name: str
    telegram_id: int
    bot_id: int | None
    accepted_ms: int
    order_digest: bytes | None
    body: bytes


class Identity(NamedTuple):
    """What tells an event from others, and when it was accepted."""

    event_id: str
    name: str
    at_ms: int


class StoredDelivery(NamedTuple):
    """A delivery."""

    seq: int
    destination: str
    state: str
    since_ms: int
    due_ms: int
    attempts: int
    reason: str | None
    receipt: str | None
    tries: str | None
    maybe_delivered: bool
    batch_cap: int | None


Row = (
    Touch
    | StoredClick
    | ClickId
    | Trait
    | Invite
    | Waiting
    | Seen
    | StoredEvent
    | Identity
    | StoredDelivery
)


def touch(row: Sequence[Any]) -> Touch:
    """Read a touch; as the other functions, of the columns in the order of its class.

    :raises TypeError: when a value is of the wrong kind.
    """
    bot_id, telegram_id, session_id, source, at_ms, payload = row
    return Touch(
        None if bot_id is None else _number(bot_id),
        _number(telegram_id),
        _text(session_id),
        _text(source),
        _number(at_ms),
        _text(payload),
    )


def click(row: Sequence[Any]) -> StoredClick:
    """Read a click."""
    session_id, at_ms, body = row
    return StoredClick(_text(session_id), _number(at_ms), body)


def click_id(row: Sequence[Any]) -> ClickId:
    """Read an id of a click."""
    return ClickId(*map(_text, row))


def trait(row: Sequence[Any]) -> Trait:
    """Read a trait."""
    telegram_id, *texts = row
    return Trait(_number(telegram_id), *map(_text, texts))


def invite(row: Sequence[Any]) -> Invite:
    """Read an invite link."""
    return Invite(*map(_text, row))


def waiting(row: Sequence[Any]) -> Waiting:
    """Read a conversion that waits."""
    key, click_id, at_ms, body = row
    return Waiting(_text(key), _text(click_id), _number(at_ms), body)


def seen(row: Sequence[Any]) -> Seen:
    """Read a digest."""
    digest, at_ms = row
    if not isinstance(digest, bytes):
        raise TypeError
    return Seen(digest, _number(at_ms))


def event(row: Sequence[Any]) -> StoredEvent:
    """Read an event, whatever is in its JSON."""
    seq, event_id, name, telegram_id, bot_id, accepted_ms, order_digest, body = row
    return StoredEvent(
        seq,
        _text(event_id),
        _text(name),
        _number(telegram_id),
        None if bot_id is None else _number(bot_id),
        _number(accepted_ms),
        order_digest if isinstance(order_digest, bytes) else None,
        body,
    )


def identity(row: Sequence[Any]) -> Identity:
    """Read what tells an event from others; not as it is kept, but as it was told."""
    _, event_id, name, accepted_ms = row
    if not isinstance(event_id, str) or not isinstance(name, str):
        raise TypeError
    return Identity(event_id, name, _number(accepted_ms))


def delivery(row: Sequence[Any]) -> StoredDelivery:
    """Read a delivery."""
    seq, destination, state, attempts, since_ms, due_ms, reason, receipt, tries, maybe, cap = row
    if not is_sound(row):
        state = "dead" if state == "pending" else state
        reason, attempts, since_ms, due_ms, cap = DELIVERY_IS_SPOILT, 0, 0, 0, None
    return StoredDelivery(
        _number(seq),
        _text(destination),
        _text(state),
        since_ms,
        due_ms,
        min(attempts, _MOST),
        _text(reason) if isinstance(reason, str) else None,
        _text(receipt) if isinstance(receipt, str) else None,
        _text(tries) if isinstance(tries, str) else None,
        bool(maybe),
        None if cap is None else min(cap, _MOST),
    )


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value


def _text(value: object) -> str:
    r"""Return a text, with NUL escaped: PostgreSQL keeps none."""
    if not isinstance(value, str):
        raise TypeError
    return value.replace("\0", r"\x00")
