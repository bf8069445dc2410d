"""Descriptions of JSON bodies, and the flaws of a body held against one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

_HEX_64 = re.compile(r"[0-9a-f]{64}")


class Flaw(NamedTuple):
    """Something wrong in a body.

    :param kind: the field is missing, unknown to the schema, or there and wrong.
    :param path: the keys and indices that lead to it.
    :param wanted: what should be there, to be read after "a valid".
    """

    kind: Literal["missing", "unknown", "wrong"]
    path: tuple[str | int, ...] = ()
    wanted: str = "value"

    def within(self, *keys: str | int) -> Flaw:
        """The same flaw, seen from further out.

        :param keys: what leads from there to here.
        """
        return self._replace(path=(*keys, *self.path))


#: Finds the flaws of one value; a value without flaws is good.
Check = Callable[[Any], Iterable[Flaw]]


def leaf(wanted: str, test: Callable[[Any], object]) -> Check:
    """Check a value that is looked at as a whole.

    :param wanted: its name, to be read after "a valid".
    :param test: is the value good?
    """
    flaws = (Flaw("wrong", wanted=wanted),)
    return lambda value: () if test(value) else flaws


def choice(*names: str) -> Check:
    """Check for one of a few words.

    :param names: the words.
    """
    return leaf(f"value ({', '.join(names)})", lambda value: value in names)


def text(wanted: str, pattern: str) -> Check:
    """Check for a string of some form.

    :param wanted: the name of the form.
    :param pattern: a regular expression for the whole string.
    """
    compiled = re.compile(pattern)
    return leaf(wanted, lambda value: isinstance(value, str) and compiled.fullmatch(value))


def array(item: Check) -> Check:
    """Check for an array.

    :param item: checks each element.
    """

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, list):
            yield Flaw("wrong", wanted="array")
            return
        for index, element in enumerate(value):
            for flaw in item(element):
                yield flaw.within(index)

    return check


def one_or_many(item: Check) -> Check:
    """Check for a value or a non-empty array of such values.

    :param item: checks the value and each element.
    """
    many = array(item)
    return lambda value: many(value) if isinstance(value, list) and value else item(value)


def record(
    fields: Mapping[str, Check], *, required: Collection[str] = (), others: bool = False
) -> Check:
    """Check for an object; missing fields are found first, the others in the order sent.

    :param fields: checks the fields by name.
    :param required: the names that must be there.
    :param others: may there be other names?
    """

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, dict):
            yield Flaw("wrong", wanted="object")
            return
        for name in required:
            if name not in value:
                yield Flaw("missing", (name,))
        for name, content in value.items():
            if name in fields:
                for flaw in fields[name](content):
                    yield flaw.within(name)
            elif not others:
                yield Flaw("unknown", (name,))

    return check


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


INTEGER = leaf("integer", _is_integer)
NUMBER = leaf("number", _is_number)
BOOLEAN = leaf("boolean", lambda value: isinstance(value, bool))
#: An empty string is none: every field here is left out rather than sent empty.
STRING = leaf("string", lambda value: isinstance(value, str) and value.strip())
#: Milliseconds, the usual mistake, are none: they would lie beyond the year 5000.
SECONDS = leaf("integer", lambda value: _is_integer(value) and 0 < value < 10**11)

DIGEST_WANTED = "SHA-256 digest in lower-case hex"
DIGEST = leaf(DIGEST_WANTED, lambda value: isinstance(value, str) and _HEX_64.fullmatch(value))
