"""Makes what a destination says of a failure fit for a log and a store."""

from __future__ import annotations

from gp_aiogram.errors import DeliveryError


def reason_of(error: DeliveryError) -> str:
    r"""Return why a destination did not take an event, on one line.

    What could forge a line of the log, drive a terminal or not be written to a file is escaped as
    in Python: a line feed becomes ``\n``.
    """
    if error.reason.isprintable():
        return error.reason
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in error.reason)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
