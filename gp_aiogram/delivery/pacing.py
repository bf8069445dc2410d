"""When a destination may be called, and with how many events: retry delays and the breaker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Literal

logger = logging.getLogger("gp_aiogram.courier")

#: Seconds. The nth retry of an event waits 2 s x 3^n, give or take half, and at most an hour.
RETRY_BASE, RETRY_FACTOR, RETRY_CAP = 2.0, 3.0, 3600.0

#: Transient failures in a row that open the breaker.
FAILURES_TO_OPEN: Final = 5

#: Seconds between probes while the breaker is open: the first, and the longest after doubling.
PROBE_FIRST, PROBE_LONGEST = 5.0, 300.0

#: Seconds between probes while a destination refuses its credentials.
PROBE_REFUSED = 180.0

#: Seconds to wait when a destination asks to wait: by default, at least, and at most.
THROTTLE_DEFAULT, THROTTLE_LEAST, THROTTLE_MOST = 60.0, 1.0, 3600.0

#: How many events go out after each success once the destination is back; then all.
RAMP: Final = (1, 10, 100)

PacerState = Literal["healthy", "failing", "throttled", "refused"]


def retry_delay(failures: int, random: Callable[[], float]) -> float:
    """Seconds to wait before an event is tried again.

    :param failures: how many counted tries have failed before this one.
    :param random: draws from [0, 1).
    """
    # The exponent is bounded before the power is taken: 3.0 ** 700 is no float.
    delay = min(RETRY_CAP, RETRY_BASE * RETRY_FACTOR ** min(failures, 50))
    return float(delay * (0.5 + random()))


class Pacer:
    """Decides when one destination may be called, from how it has answered.

    ``healthy`` is the normal state. ``failing``: the breaker has tripped, one event probes now and
    then. ``throttled``: it asked to wait. ``refused``: credentials or address are wrong, one event
    probes now and then. From ``failing`` and ``refused`` a success leads back up the ramp.

    :param name: the destination, for the log.
    :param monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, name: str, monotonic: Callable[[], float]) -> None:
        self._name = name
        self._monotonic = monotonic
        self._not_before = 0.0
        self._failures = 0
        self._probe_wait = PROBE_FIRST
        self._ramp = len(RAMP)
        self.state: PacerState = "healthy"

    @property
    def wait(self) -> float:
        """Seconds until the destination may be called."""
        return max(0.0, self._not_before - self._monotonic())

    def allowance(self, most: int) -> int:
        """Return how many events may go out now.

        :param most: how many the destination takes at full speed.
        """
        if self.wait > 0:
            return 0
        return most if self._ramp == len(RAMP) else min(most, RAMP[self._ramp])

    def succeeded(self) -> None:
        """Note that the destination has read a request and judged it, for good or ill."""
        self._failures = 0
        if self.state == "throttled" and self.wait > 0:
            return
        self._probe_wait = PROBE_FIRST
        self._ramp = min(self._ramp + 1, len(RAMP))
        self._not_before = 0.0
        if self.state != "healthy":
            logger.warning("%s answers again", self._name)
            self.state = "healthy"

    def failed(self, reason: str) -> None:
        """Note a transient failure; after several in a row the breaker opens."""
        self._failures += 1
        if self._failures < FAILURES_TO_OPEN and self.state != "failing":
            return
        if self.wait > 0:
            return  # one of several requests that were under way together
        if self.state != "failing":
            logger.error("%s fails, its events wait: %s", self._name, reason)
        self._close_for(self._probe_wait, "failing")
        self._probe_wait = min(self._probe_wait * 2, PROBE_LONGEST)

    def throttled(self, seconds: float | None, reason: str) -> None:
        """Note that the destination asks to wait.

        :param seconds: None when it did not say how long.
        """
        wait = THROTTLE_DEFAULT if seconds is None else seconds
        wait = min(max(wait, THROTTLE_LEAST), THROTTLE_MOST)
        if self.state != "throttled":
            logger.warning("%s asks to wait for %.0f s: %s", self._name, wait, reason)
        self._not_before = max(self._not_before, self._monotonic() + wait)
        self.state = "throttled"

    def resume(self) -> bool:
        """Have the destination called at once, with one event, although its wait is not over.

        :return: False when nothing was waited for.
        """
        if self.wait <= 0:
            return False
        self._not_before = 0.0
        self._probe_wait = PROBE_FIRST
        self._ramp = 0
        return True

    def refused(self, reason: str) -> None:
        """Note that credentials or address are wrong."""
        if self.state != "refused":
            logger.error(
                "%s is paused and keeps its events, fix its settings: %s",
                self._name,
                reason,
            )
        self._close_for(PROBE_REFUSED, "refused")

    def _close_for(self, seconds: float, state: PacerState) -> None:
        self._not_before = self._monotonic() + seconds
        self._ramp = 0
        self.state = state
