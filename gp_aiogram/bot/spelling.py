"""Finds the standard event that a misspelt name was meant to be."""

from __future__ import annotations

from gp_aiogram.model.event import REFUND, STANDARD_NAMES

_NAMES = STANDARD_NAMES | {REFUND}

#: Names of so few letters have too many neighbours: only two letters that are swapped count.
_SHORT = 3


def meant_name(name: str) -> str | None:
    """Return the standard name that another one differs from by a letter or by case alone.

    :return: None for a standard name, and for one that resembles none.
    """
    if name in _NAMES:
        return None
    return next((known for known in sorted(_NAMES) if _is_near(name, known)), None)


def _is_near(name: str, known: str) -> bool:
    """Return whether one letter was added, left out or replaced, or two neighbours swapped."""
    ours, theirs = _differing(name.casefold(), known.casefold())
    if not ours and not theirs:
        return True
    if len(ours) == len(theirs) == 2:  # noqa: PLR2004 - a pair of neighbours
        return ours == theirs[::-1]
    # A number at the end makes a name of one's own: FTD2.
    is_letter = len(ours) <= 1 and len(theirs) <= 1 and not ours.isdigit()
    return is_letter and len(known) > _SHORT


def _differing(one: str, other: str) -> tuple[str, str]:
    """Return two texts without what they begin and end with alike."""
    start = _alike(one, other)
    one, other = one[start:], other[start:]
    end = _alike(one[::-1], other[::-1])
    return one[: len(one) - end], other[: len(other) - end]


def _alike(one: str, other: str) -> int:
    """Return how many letters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
