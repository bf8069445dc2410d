"""Offline conversions: the CSV that is uploaded, and what Metrica tells of an upload.

Source: Metrica, "Offline data", methods ``upload`` and ``uploading/{id}``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx

from gp_aiogram.destinations.metrica.visitors import IdKind, Visitor

#: Names of an upload's fields that a receipt keeps, and what it calls them.
_TOLD = {
    "id": "uploading",
    "status": "status",
    "line_quantity": "line_quantity",
    "linked_quantity": "linked_quantity",
    "error": "error",
    "errors": "errors",
    "message": "message",
}

#: Statuses after which nothing more happens. The documents that we have do not list them all, so
#: any other is asked about again, :data:`MOST_CHECKS` times.
_FINAL = ("PROCESSED", "LINKAGE_FAILURE")

#: How often an upload is asked about; at the default pace that is a day.
MOST_CHECKS = 12

#: Uploads that one call asks about: of many, the rest waits for the next call.
CHECKED_AT_ONCE = 10


class Conversion(NamedTuple):
    """One line of an upload.

    :param at: Unix seconds.
    :param price: in units of the currency; empty without a value.
    """

    visitor: Visitor
    target: str
    at: int
    price: str
    currency: str


class File(NamedTuple):
    """A multipart form with one file."""

    content: bytes
    content_type: str


def upload_file(conversions: Sequence[Conversion], now: float) -> File:
    """Write conversions, all with the same kind of id, as Metrica wants to get them.

    :param now: Unix seconds. Metrica takes the past only; what is dated later happened just now.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    kind: IdKind = conversions[0].visitor.kind
    writer.writerow([kind, "Target", "DateTime", "Price", "Currency"])
    for one in conversions:
        at = min(one.at, int(now) - 1)
        writer.writerow([one.visitor.id, one.target, at, one.price, one.currency])
    form = httpx.Request(
        "POST",
        "https://metrica.invalid",
        files={"file": ("conversions.csv", text.getvalue().encode(), "text/csv")},
    )
    return File(form.read(), form.headers["content-type"])


def told_of(answer: Mapping[str, Any]) -> dict[str, object]:
    """Return what an answer tells of an upload; empty when it is none of Metrica's."""
    uploading = answer.get("uploading")
    if not isinstance(uploading, Mapping):
        return {}
    return {theirs: uploading.get(ours) for ours, theirs in _TOLD.items()}


def is_final(told: Mapping[str, object]) -> bool:
    """Return whether an upload has been worked off."""
    return told.get("status") in _FINAL


def went_wrong(told: Mapping[str, object]) -> bool:
    """Return whether Metrica names an error of an upload."""
    status = str(told.get("status"))
    named = any(told.get(name) for name in ("error", "errors"))
    return named or "FAIL" in status or "ERROR" in status
