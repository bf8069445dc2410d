"""What Metrica demands of an upload and of a form, as its documentation has it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from email import message_from_string
from typing import NamedTuple

#: The columns of which an upload has exactly one.
IDS = ("ClientId", "UserId", "yclid", "PurchaseId")

_REQUIRED = ("Target", "DateTime")
_OPTIONAL = ("Price", "Currency")

HOUR, DAY = 3600.0, 86_400.0

#: How far back the Measurement Protocol reaches, and how old an offline conversion's visit may be.
MEASURED, VISITED = 12 * HOUR, 21 * DAY

#: What a form must have, by its ``t``, and with ``pa=purchase``.
_OF_FORMS = {"pageview": ("dl", "dr", "dt"), "event": ("ea",)}
_OF_PURCHASES = ("ti", "tr")


class Line(NamedTuple):
    """A line of an upload.

    :param number: counted from the header, which is 1.
    """

    number: int
    fields: Mapping[str, str]


class Flawed(Exception):  # noqa: N818 - reads as what happened
    """A parameter is invalid.

    :param location: which.
    """

    def __init__(self, message: str, location: str) -> None:
        super().__init__(message)
        self.location = location


def csv_of(content_type: str, body: object) -> str:
    """Return the file of a multipart form.

    :raises Flawed: when there is none.
    """
    message = message_from_string(f"Content-Type: {content_type}\n\n{body}")
    parts = message.get_payload() if message.is_multipart() else []
    for part in parts if isinstance(parts, list) else []:
        if not isinstance(part, str) and part.get_param("name", header="content-disposition") == (
            "file"
        ):
            return str(part.get_payload())
    msg = "the multipart form has no part of the name file"
    raise Flawed(msg, "file")


def lines_of(text: str, now: float) -> tuple[str, list[Line]]:
    """Read an upload.

    :param now: Unix seconds.
    :return: the column that names visitors, and the lines behind the header.
    :raises Flawed: when a column is missing, or a line is no conversion of the past.
    """
    rows = list(csv.reader(io.StringIO(text)))
    header = rows[0] if rows else []
    ids = [name for name in header if name in IDS]
    unknown = set(header) - {*IDS, *_REQUIRED, *_OPTIONAL}
    if len(ids) != 1 or not set(_REQUIRED) <= set(header) or unknown:
        msg = f"the header must have one of {', '.join(IDS)}, and Target, DateTime: {header}"
        raise Flawed(msg, "file")
    lines = [
        Line(number, dict(zip(header, row, strict=False)))
        for number, row in enumerate(rows[1:], start=2)
        if row
    ]
    for line in lines:
        if flaw := _flaw(line.fields, ids[0], now):
            msg = f"line {line.number}: {flaw}"
            raise Flawed(msg, "file")
    if not lines:
        msg = "the file has no lines"
        raise Flawed(msg, "file")
    return ids[0], lines


def form_flaw(form: Mapping[str, str], now: float) -> str | None:
    """Return what is wrong with a form of the Measurement Protocol."""
    kind = form.get("t", "")
    if kind not in _OF_FORMS:
        return f"t must be pageview or event, not {kind!r}"
    required = ("cid", *_OF_FORMS[kind])
    if form.get("pa") == "purchase":
        required += _OF_PURCHASES
    if missing := [name for name in required if not form.get(name)]:
        return f"missing: {', '.join(missing)}"
    at = form.get("et", str(int(now)))
    if not at.isdecimal() or not now - MEASURED <= int(at) <= now + 1:
        return f"et must be Unix seconds of the last 12 hours, not {at}"
    return None


def _flaw(fields: Mapping[str, str], id_column: str, now: float) -> str | None:
    if not fields.get(id_column):
        return f"{id_column} is empty"
    if not fields.get("Target"):
        return "Target is empty"
    at = fields.get("DateTime", "")
    if not at.isdecimal() or int(at) > now:
        return f"DateTime must be Unix seconds of the past, not {at!r}"
    price = fields.get("Price", "")
    if price and not price.replace(".", "", 1).isdecimal():
        return f"Price must be a number, not {price!r}"
    return None
