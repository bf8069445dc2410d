"""What the gateway takes at most: of one request, and of one key in a minute."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gp_aiogram.errors import ConfigurationError, short_repr

_MINUTE = 60.0


@dataclass(frozen=True)
class GatewayLimits:
    """Limits of a :class:`~gp_aiogram.web.Gateway`. The documents name none; we chose these.

    :param max_body: bytes of a request's body, unpacked.
    :param max_batch: events in one batch.
    :param per_minute: events per minute and key; all of them may come at once. None sets no
        limit.
    :param body_timeout: seconds that a body may take to arrive.
    :param store_timeout: seconds that the store may take to make an event durable.
    :raises ConfigurationError: when one of them is not positive.
    """

    max_body: int = 1024 * 1024
    max_batch: int = 500
    per_minute: float | None = 6000
    body_timeout: float = 10.0
    store_timeout: float = 5.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None and name == "per_minute":
                continue
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value) or value <= 0:
                msg = f"GatewayLimits({name}=...) must be positive, not {short_repr(value)}"
                raise ConfigurationError(msg)


class KeyLimit:
    """A token bucket for each key.

    A batch takes as many tokens as it has events, also where there are fewer: then its key waits
    longer for the next request.

    :param per_minute: tokens per minute, and in a full bucket; None means any number.
    :param monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, per_minute: float | None, monotonic: Callable[[], float]) -> None:
        self._per_second = None if per_minute is None else per_minute / _MINUTE
        self._full = max(1.0, per_minute or 0.0)
        self._monotonic = monotonic
        self._buckets: dict[str, tuple[float, float]] = {}

    def seconds_to_wait(self, key_id: str) -> int:
        """Take one token, or tell after how many whole seconds there is one."""
        if self._per_second is None:
            return 0
        left = self._left(key_id, self._per_second)
        if left < 1:
            return math.ceil((1 - left) / self._per_second)
        self._take(key_id, left, 1)
        return 0

    def charge(self, key_id: str, tokens: int) -> None:
        """Take more tokens, for what has been let in already."""
        if self._per_second is not None:
            self._take(key_id, self._left(key_id, self._per_second), tokens)

    def _left(self, key_id: str, per_second: float) -> float:
        left, since = self._buckets.get(key_id, (self._full, 0.0))
        return min(self._full, left + (self._monotonic() - since) * per_second)

    def _take(self, key_id: str, left: float, tokens: int) -> None:
        self._buckets[key_id] = (left - tokens, self._monotonic())
