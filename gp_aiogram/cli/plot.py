"""Draws numbers as bars, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

#: A bar's last character has eighths.
_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"


class Bar(NamedTuple):
    """A number with its name, and how it is written."""

    label: str
    number: Decimal | int
    text: str


def plot(title: str, bars: Sequence[Bar], width: int) -> list[str]:
    """Return a chart, a line for each bar.

    :param width: characters of a line.
    """
    most = max((bar.number for bar in bars), default=0)
    if most <= 0:
        return []
    labels = max(len(bar.label) for bar in bars)
    room = max(1, width - labels - max(len(bar.text) for bar in bars) - 3)
    return [title] + [
        f"{bar.label:<{labels}}  {_drawn(bar.number, most, room)} {bar.text}" for bar in bars
    ]


def _drawn(number: Decimal | int, most: Decimal | int, room: int) -> str:
    eighths = int(max(Decimal(number), Decimal(0)) * room * 8 / Decimal(most))
    if number > 0:
        eighths = max(eighths, 1)
    return (_FULL * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()
