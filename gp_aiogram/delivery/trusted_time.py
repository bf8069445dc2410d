"""Keeps a wall clock that jumps ahead from making events look too old."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

logger = logging.getLogger("gp_aiogram.courier")

#: What a wall clock may gain or lose between two looks without having jumped.
TOLERANCE = timedelta(minutes=10)

#: Time after which a jump ahead that has lasted is taken as right.
CONFIRMED_AFTER = timedelta(minutes=30)


class _Look(NamedTuple):
    """What both clocks showed at one moment."""

    wall: datetime
    monotonic: float

    def elapsed(self, later: _Look) -> timedelta:
        """Return how much time has really passed."""
        return timedelta(seconds=later.monotonic - self.monotonic)

    def drift(self, later: _Look) -> timedelta:
        """Return how far the wall clock has moved beside the time that has really passed."""
        return later.wall - self.wall - self.elapsed(later)


class TrustedTime:
    """Tells the time by which ages are judged: the wall clock's unless it has just jumped ahead.

    The first look is trusted, since nothing is known of the time before: after a real outage of
    40 days, what waited for 40 days is too old. A clock that goes back is trusted at once: it
    makes nothing older.

    :param monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._trusted: _Look | None = None
        self._jump: _Look | None = None

    def judge(self, wall: datetime) -> datetime:
        """Look at the wall clock, and return the time by which ages are judged.

        :param wall: what it shows now.
        """
        look = _Look(wall, self._monotonic())
        if self._trusted is None:
            self._trusted = look
            return wall
        drift = self._trusted.drift(look)
        if drift > TOLERANCE and not self._is_confirmed(look, drift):
            return wall - drift
        self._tell_trust(drift)
        self._trusted, self._jump = look, None
        return wall

    def _is_confirmed(self, look: _Look, drift: timedelta) -> bool:
        """Return whether the wall clock has stayed where it jumped for long enough."""
        if self._jump is None or abs(self._jump.drift(look)) > TOLERANCE:
            self._jump = look
            logger.warning(
                "the wall clock has jumped ahead by %s: nothing is given up as over age because "
                "of it until this has lasted for %s",
                _whole_seconds(drift),
                CONFIRMED_AFTER,
            )
        return self._jump.elapsed(look) >= CONFIRMED_AFTER

    def _tell_trust(self, drift: timedelta) -> None:
        if drift > TOLERANCE:
            logger.warning(
                "the wall clock has been ahead by %s for %s: ages are judged by it from now on",
                _whole_seconds(drift),
                CONFIRMED_AFTER,
            )
        elif self._jump is not None:
            logger.info("the wall clock is back from its jump ahead")
        elif drift < -TOLERANCE:
            logger.warning("the wall clock has gone back by %s", _whole_seconds(-drift))


def _whole_seconds(span: timedelta) -> timedelta:
    return timedelta(seconds=round(span.total_seconds()))
