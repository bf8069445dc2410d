"""The failed tries of a delivery as the text that a store keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gp_aiogram.model.clock import from_ms, to_ms
from gp_aiogram.stores.records import Try

#: What :func:`read_tries` raises of a text that it cannot read.
UNREADABLE = (TypeError, ValueError, KeyError, OverflowError)


def tries_text(tries: Sequence[Try] | None) -> str | None:
    """Return tries as JSON in ASCII, which every database keeps as it is; None for None."""
    if tries is None:
        return None
    return json.dumps([{**one._asdict(), "at": to_ms(one.at)} for one in tries])


def read_tries(text: str) -> tuple[Try, ...]:
    """Return the tries in a text; what later versions have added to them is left out."""
    return tuple(map(_read, json.loads(text)))


def _read(stored: Any) -> Try:
    status = stored["status"]
    return Try(
        int(stored["number"]),
        from_ms(stored["at"]),
        str(stored["outcome"]),
        None if status is None else int(status),
        str(stored["reason"]),
    )
