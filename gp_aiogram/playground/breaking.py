"""The ways in which the playground breaks a platform."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from gp_aiogram.sandbox import DestinationSandbox, Fault

#: Seconds that a platform asks to wait by 429: long enough to see it, short enough to wait for.
ASKED_TO_WAIT = 10


def _refusal(status: HTTPStatus, *, retry_after: float | None = None) -> Fault:
    """Answer as the proxy in front of a platform would."""
    return Fault.status(status, body=f"{status.value} {status.phrase}", retry_after=retry_after)


#: By the names that the page uses.
FAULTS = {
    "503": _refusal(HTTPStatus.SERVICE_UNAVAILABLE),
    "timeout": Fault.hang(),
    "401": _refusal(HTTPStatus.UNAUTHORIZED),
    "429": _refusal(HTTPStatus.TOO_MANY_REQUESTS, retry_after=ASKED_TO_WAIT),
}

WORKS = "works"


class Switch:
    """Breaks a stand-in and mends it.

    :param stand_in: what it breaks.
    """

    def __init__(self, stand_in: DestinationSandbox[Any]) -> None:
        self._stand_in = stand_in
        self.position = WORKS

    def turn(self, position: str) -> None:
        """Have the stand-in fail in one way until it is turned again, or work.

        :param position: one of :data:`FAULTS`, or :data:`WORKS`.
        :raises LookupError: when it is neither.
        """
        if position != WORKS and position not in FAULTS:
            msg = f"a platform can be turned to {', '.join([WORKS, *FAULTS])}, not {position!r}"
            raise LookupError(msg)
        self._stand_in.recover()
        if position != WORKS:
            self._stand_in.fail(FAULTS[position], times=None)
        self.position = position
