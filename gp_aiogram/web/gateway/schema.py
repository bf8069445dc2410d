"""Fields of request bodies: what each must be, as a check and as JSON Schema, from one source."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gp_aiogram.model import codec
from gp_aiogram.model.event import is_text
from gp_aiogram.model.money import MAX_AMOUNT, iso_codes
from gp_aiogram.model.pii import looks_personal
from gp_aiogram.model.user_data import MAX_DEPTH, MAX_USER_DATA_BYTES
from gp_aiogram.model.wording import describe

#: Bot API, "User": "at most 52 significant bits".
_MAX_TELEGRAM_ID = 2**52 - 1

#: No blanks at the ends, and no control characters, which some databases cannot keep.
_LINE = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$"

#: 2000 and 2100, in unix seconds; what is in milliseconds lies far beyond.
_EARLIEST, _LATEST = 946_684_800, 4_102_444_800

_UUID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"

#: A longer text is not shown in an error.
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class Field:
    """One field of an object.

    :param wanted: what it must be, to be read after "must be a valid".
    :param test: whether a value is that.
    :param schema: the same as JSON Schema.
    :param is_required: whether it must be there.
    """

    wanted: str
    test: Callable[[Any], bool]
    schema: Mapping[str, Any]
    is_required: bool = False

    def describe(self, description: str, example: Any = None) -> Field:
        """Return the field with a description for readers of the schema."""
        told = {"description": description, **({} if example is None else {"examples": [example]})}
        return Field(self.wanted, self.test, {**self.schema, **told}, self.is_required)

    @property
    def required(self) -> Field:
        """The same field, which must be there."""
        return Field(self.wanted, self.test, self.schema, is_required=True)


@dataclass(frozen=True)
class Condition:
    """A field that is required when another one has certain values."""

    field: str
    values: Sequence[str]
    needs: str

    def error(self, body: Mapping[str, Any]) -> str | None:
        """Say what is missing."""
        if body.get(self.field) in self.values and self.needs not in body:
            return f"{self.needs} is required for {body[self.field]}"
        return None

    @property
    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema."""
        applies = {"properties": {self.field: {"enum": list(self.values)}}}
        return {
            "if": {**applies, "required": [self.field]},
            "then": {"required": [self.needs]},
        }


@dataclass(frozen=True)
class Record:
    """An object with fields; others are refused, since they are misspelt ones most often.

    :param fields: by name.
    :param condition: what is required now and then.
    """

    fields: Mapping[str, Field]
    condition: Condition | None = None

    def errors(self, body: object, where: str = "") -> list[str]:
        """Return every flaw of a body in words: what is missing first, then as it was sent.

        :param where: goes before each name, such as ``events[3].``.
        """
        if not isinstance(body, dict):
            return [f"{where.rstrip('.') or 'the body'} must be a JSON object"]
        found = [
            f"{where}{name} is required"
            for name, field in self.fields.items()
            if field.is_required and name not in body
        ]
        found += [flaw for name, value in body.items() if (flaw := self._flaw(name, value, where))]
        if self.condition is not None and (missing := self.condition.error(body)):
            found.append(f"{where}{missing}")
        return found

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the object."""
        whole: dict[str, Any] = {
            "type": "object",
            "properties": {name: dict(field.schema) for name, field in self.fields.items()},
            "required": [name for name, field in self.fields.items() if field.is_required],
            "additionalProperties": False,
        }
        return whole if self.condition is None else whole | self.condition.schema

    def _flaw(self, name: str, value: object, where: str) -> str | None:
        field = self.fields.get(name)
        if field is None:
            return f"there is no field {where}{_shown_name(name)}"
        if field.test(value):
            return None
        return f"{where}{name} must be a valid {field.wanted}, got {_shown(value)}"


def line(longest: int) -> Field:
    """Return a text on one line."""
    pattern = re.compile(_LINE)

    def test(value: Any) -> bool:
        return is_text(value) and len(value) <= longest and pattern.fullmatch(value) is not None

    schema = {"type": "string", "minLength": 1, "maxLength": longest, "pattern": _LINE}
    return Field("string", test, schema)


def choice(*names: str) -> Field:
    """Return one of several texts."""
    return Field(
        f"value ({', '.join(names)})",
        lambda value: isinstance(value, str) and value in names,
        {"type": "string", "enum": list(names)},
    )


def telegram_id() -> Field:
    """Return the id of a user; 7.0 is an integer to JSON Schema, and some languages write it."""

    def test(value: Any) -> bool:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and 0 < value <= _MAX_TELEGRAM_ID and value == int(value)

    schema = {"type": "integer", "format": "int64", "minimum": 1, "maximum": _MAX_TELEGRAM_ID}
    return Field("positive integer", test, schema)


def amount() -> Field:
    """Return an amount of money, in units of its currency."""

    def test(value: Any) -> bool:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and math.isfinite(value) and 0 <= value <= MAX_AMOUNT

    schema = {"type": "number", "minimum": 0, "maximum": int(MAX_AMOUNT)}
    return Field(f"number from 0 to {int(MAX_AMOUNT)}", test, schema)


def currency() -> Field:
    """Return a currency of ISO 4217."""
    codes = frozenset(iso_codes())
    return Field(
        "ISO 4217 code",
        lambda value: isinstance(value, str) and value in codes,
        {"type": "string", "enum": list(iso_codes())},
    )


def workspace_id() -> Field:
    """Return a UUID; whether it is the caller's is another question."""
    pattern = re.compile(_UUID)
    return Field(
        "UUID of the workspace",
        lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None,
        {"type": "string", "format": "uuid", "pattern": _UUID},
    )


def seconds() -> Field:
    """Return a moment in unix seconds."""

    def test(value: Any) -> bool:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and _EARLIEST <= value <= _LATEST

    schema = {"type": "number", "minimum": _EARLIEST, "maximum": _LATEST}
    return Field("moment in unix seconds, not milliseconds", test, schema)


def metadata() -> Field:
    """Return any object that an event can carry."""
    wanted = (
        f"object of at most {MAX_USER_DATA_BYTES} bytes as JSON and {MAX_DEPTH} levels, "
        "of texts that UTF-8 can carry and finite numbers"
    )
    return Field(wanted, _is_metadata, {"type": "object"})


def _is_metadata(value: object) -> bool:
    if not isinstance(value, dict) or not _is_storable([value], MAX_DEPTH):
        return False
    # Escaped as ASCII, which is what counts, it is four times as long at most.
    if len(codec.encode(value)) * 4 <= MAX_USER_DATA_BYTES:
        return True
    return len(json.dumps(value)) <= MAX_USER_DATA_BYTES


def _is_storable(parts: Iterable[object], levels: int) -> bool:
    return all(_is_storable_part(part, levels) for part in parts)


def _is_storable_part(part: object, levels: int) -> bool:
    if isinstance(part, dict):
        return levels > 0 and all(map(is_text, part)) and _is_storable(part.values(), levels - 1)
    if isinstance(part, list):
        return levels > 0 and _is_storable(part, levels - 1)
    if isinstance(part, str):
        return is_text(part)
    return not isinstance(part, float) or math.isfinite(part)


def _shown(value: object) -> str:
    """Return a value as JSON where it is short, and what it is where it may be personal."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    text = json.dumps(value)
    return describe(value) if len(text) > _LONGEST_SHOWN or looks_personal(value) else text


def _shown_name(name: str) -> str:
    if not is_text(name) or len(name) > _LONGEST_SHOWN or looks_personal(name):
        return f"(a name of {len(name)} characters)"
    return name
