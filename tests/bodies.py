"""Request bodies with one thing wrong, for the tests of the stand-ins."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Path = tuple[Any, ...]


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Lead to everything within a body, however deep."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from paths(item, (*path, key))


def spoilt(body: dict[str, Any], path: Path) -> dict[str, Any]:
    """Copy a body with null in one place."""
    spoilt = copy.deepcopy(body)
    target: Any = spoilt
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = None
    return spoilt
