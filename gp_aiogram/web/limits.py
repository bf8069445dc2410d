"""How many clicks one address may have, and all of them in a day."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address

from gp_aiogram.errors import ConfigurationError, short_repr

#: What one subscriber of an IPv6 provider is given at least (RFC 6177): they are one visitor.
_IPV6_PREFIX = 64

_SECONDS = 60.0
_SECONDS_OF_DAY = 24 * 60 * 60


class PerIpLimit:
    """A token bucket for each address, in bounded memory.

    :param per_minute: how many an address may have per minute, and at once after a quiet minute;
        None means any number.
    :param monotonic: seconds on a clock that never goes back.
    :param most: addresses remembered; beyond it the one that was quiet longest is forgotten.
    :param argument: as which the caller was given the limit.
    :raises ConfigurationError: when the limit is no positive number.
    """

    def __init__(
        self,
        per_minute: float | None,
        monotonic: Callable[[], float],
        *,
        most: int = 50_000,
        argument: str = "Landing(per_ip_limit=...)",
    ) -> None:
        if per_minute is not None and not _is_positive(per_minute):
            wrong = short_repr(per_minute)
            msg = f"{argument} must be a positive number, not {wrong}"
            raise ConfigurationError(msg)
        self.per_minute = per_minute
        self._monotonic = monotonic
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    @property
    def retry_after(self) -> int:
        """Whole seconds after which an address that is over the limit may have one more."""
        return math.ceil(_SECONDS / self.per_minute) if self.per_minute else 0

    def take(self, address: str) -> bool:
        """Return whether an address may have one more, and count it."""
        if self.per_minute is None:
            return True
        key = _subscriber(address)
        now = self._monotonic()
        most = max(self.per_minute, 1.0)
        left, since = self._buckets.pop(key, (most, now))
        left = min(most, left + (now - since) * self.per_minute / _SECONDS)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return allowed


class DailyLimit:
    """Counts what there is in a day (UTC).

    :param per_day: how many there may be; None means any number.
    :param time: seconds since the Unix epoch.
    :raises ConfigurationError: when the limit is no positive whole number.
    """

    def __init__(self, per_day: int | None, time: Callable[[], float]) -> None:
        if per_day is not None and not (_is_positive(per_day) and isinstance(per_day, int)):
            wrong = short_repr(per_day)
            msg = f"Landing(clicks_per_day=...) must be a positive whole number, not {wrong}"
            raise ConfigurationError(msg)
        self.per_day = per_day
        self._time = time
        self._day = 0
        self._taken = 0

    @property
    def retry_after(self) -> int:
        """Whole seconds until the next day."""
        return math.ceil(_SECONDS_OF_DAY - self._time() % _SECONDS_OF_DAY)

    @property
    def is_first_refusal(self) -> bool:
        """Whether what was refused last was the first of its day."""
        return self.per_day is not None and self._taken == self.per_day + 1

    def take(self) -> bool:
        """Return whether there may be one more today, and count it."""
        if self.per_day is None:
            return True
        day = int(self._time() // _SECONDS_OF_DAY)
        if day != self._day:
            self._day, self._taken = day, 0
        self._taken += 1
        return self._taken <= self.per_day


def _is_positive(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value > 0
    )


def _subscriber(address: str) -> str:
    if ":" not in address:
        return address
    return IPv6Address(address).packed[: _IPV6_PREFIX // 8].hex()
