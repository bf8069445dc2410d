"""How many clicks one address may have."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address

from gp_aiogram.errors import ConfigurationError, short_repr

#: What one subscriber of an IPv6 provider is given at least (RFC 6177): he is one visitor.
_IPV6_PREFIX = 64

_SECONDS = 60.0


class PerIpLimit:
    """A token bucket for each address, in bounded memory.

    :param per_minute: how many an address may have per minute, and at once after a quiet minute;
        None means any number.
    :param monotonic: seconds on a clock that never goes back.
    :param most: addresses remembered; beyond it the one that was quiet longest is forgotten.
    :raises ConfigurationError: when the limit is no positive number.
    """

    def __init__(
        self,
        per_minute: float | None,
        monotonic: Callable[[], float],
        *,
        most: int = 50_000,
    ) -> None:
        if per_minute is not None and not _is_positive(per_minute):
            wrong = short_repr(per_minute)
            msg = f"Landing(per_ip_limit=...) must be a positive number, not {wrong}"
            raise ConfigurationError(msg)
        self._burst = per_minute
        self._monotonic = monotonic
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    @property
    def retry_after(self) -> int:
        """Whole seconds after which an address that is over the limit may have one more."""
        return math.ceil(_SECONDS / self._burst) if self._burst else 0

    def take(self, ip: str | None) -> bool:
        """Tell whether an address may have one more, and count it.

        :param ip: None for a visitor whose address nobody knows; he is not limited.
        """
        if self._burst is None or ip is None:
            return True
        key = _subscriber(ip)
        now = self._monotonic()
        left, since = self._buckets.pop(key, (float(max(self._burst, 1)), now))
        left = min(max(self._burst, 1), left + (now - since) * self._burst / _SECONDS)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return allowed


def _is_positive(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value > 0
    )


def _subscriber(ip: str) -> str:
    if ":" not in ip:
        return ip
    return IPv6Address(ip).packed[: _IPV6_PREFIX // 8].hex()
