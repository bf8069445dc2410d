"""Writes statements as a driver wants them: parameters by name, tables with their schema.

In the text of a statement ``{gp}`` stands for the schema and ``:name`` for a parameter. Types are
told by ``CAST``, which asyncpg and SQLAlchemy's ``text()`` read alike.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

#: Runs a statement with parameters, and returns its rows.
Run = Callable[[str, Mapping[str, Any]], Awaitable[Sequence[Any]]]

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")


class Numbered(NamedTuple):
    """A statement with ``$1``, ``$2`` …, and the names of these parameters in their order."""

    text: str
    names: tuple[str, ...]


@lru_cache(maxsize=512)
def with_schema(statement: str, schema: str) -> str:
    """Name the schema."""
    return statement.replace("{gp}", f'"{schema}"')


@lru_cache(maxsize=512)
def numbered(statement: str, schema: str) -> Numbered:
    """Name the schema, and number the parameters as asyncpg does."""
    text = with_schema(statement, schema)
    names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    return Numbered(_PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", text), names)
