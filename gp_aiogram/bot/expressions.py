"""Says which part of an expression came to nothing, and what it looked at, without personal data.

What the bot has written itself is shown: a button's callback data, an invoice's payload, and texts
that only a button of the bot makes. Of other texts the shape is shown: what a person has typed may
be their phone number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from aiogram.types import CallbackQuery, Message
from magic_filter import MagicFilter
from magic_filter.operations import (
    BaseOperation,
    CastOperation,
    GetAttributeOperation,
    GetItemOperation,
)

from gp_aiogram.errors import short_repr

#: A keyword, a separator and an amount: ``deposit:12,50``.
_COMMAND = re.compile(r"/?[A-Za-z_]{2,32}[:=_/ -][\d.,]{1,12}")

_LONGEST = 60


def why_nothing(argument: object, event: object) -> str:
    """Say why an argument of a decorator came to nothing.

    :param argument: a MagicFilter, or a callable.
    :param event: what it looked at.
    """
    if isinstance(argument, MagicFilter):
        return f"{describe_magic(argument)} on {describe_subject(event)}"
    if callable(argument):
        name: object = getattr(argument, "__qualname__", type(argument).__qualname__)
        return f"{name}() returned None"
    return "it is None"


def describe_magic(expression: MagicFilter) -> str:
    """Return an expression as it is in the code, as far as its parts can be read."""
    return "F" + "".join(map(_describe_operation, expression._operations))  # noqa: SLF001 - no public way


def _describe_operation(operation: BaseOperation) -> str:
    if isinstance(operation, GetAttributeOperation):
        return f".{operation.name}"
    if isinstance(operation, GetItemOperation):
        return f"[{_describe_key(operation.key)}]"
    if isinstance(operation, CastOperation):
        return f".cast({_name(operation.func)})"
    return f".{type(operation).__name__.removesuffix('Operation').lower()}(…)"


def _describe_key(key: object) -> str:
    if not isinstance(key, slice):
        return short_repr(key)
    ends = [key.start, key.stop] if key.step is None else [key.start, key.stop, key.step]
    return ":".join("" if end is None else short_repr(end) for end in ends)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", None) or type(function).__name__)


def describe_subject(event: object) -> str:
    """Say what an expression looked at."""
    if isinstance(event, CallbackQuery) and event.data is not None:
        return f"callback data {_short(event.data)!r}"
    if isinstance(event, Message):
        if event.successful_payment is not None:
            return f"a payment with payload {_short(event.successful_payment.invoice_payload)!r}"
        text = event.text or event.caption
        if text:
            return _describe_text(text)
        return f"a message that holds {str(event.content_type).rpartition('.')[2].lower()}"
    return f"{type(event).__name__}"


def _describe_text(text: str) -> str:
    if _COMMAND.fullmatch(text):
        return f"text {_short(text)!r}"
    shape = re.sub(r"\d", "0", re.sub(r"[^\W\d_]", "x", text))
    return f"a text of the shape {_short(shape)!r}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
