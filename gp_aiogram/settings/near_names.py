"""Finds the setting that a misspelt ``GP_*`` variable was meant to be."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

#: How alike two names must be, from 0 to 1: of any variable, and of one that begins with the name
#: of a setting or group, and so is hardly another program's.
_ALIKE, _ALIKE_BEHIND_A_SETTING = 0.8, 0.6


def near_name(variable: str, known: Collection[str]) -> str | None:
    """Return the known variable that an unknown one resembles; None when it resembles none.

    How many underscores there are makes no difference.

    :param variable: in upper case, as are those of ``known``.
    """
    behind = [name for name in known if variable.startswith(f"{name}_")]
    if behind:
        group = max(behind, key=len)
        own = [name for name in known if name.startswith(group)]
        # A setting of the group is meant rather than one of another, however alike.
        return _nearest(variable, own, _ALIKE_BEHIND_A_SETTING) or _nearest(
            variable, known, _ALIKE_BEHIND_A_SETTING
        )
    return _nearest(variable, known, _ALIKE)


def _nearest(variable: str, known: Collection[str], cutoff: float) -> str | None:
    by_letters = {_letters(name): name for name in known}
    near = get_close_matches(_letters(variable), by_letters, n=1, cutoff=cutoff)
    return by_letters[near[0]] if near else None


def _letters(variable: str) -> str:
    """Return what is behind ``GP_``, without underscores."""
    return variable.partition("_")[2].replace("_", "")
