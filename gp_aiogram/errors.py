"""Everything gp_aiogram raises, one tree.

::

    GPError
    ├── ConfigurationError              a constructor argument or setting is wrong
    ├── EventError                      an event cannot be built from what was given
    ├── StoreError                      the store could not do what was asked
    │   ├── StoreLocked                 another process owns the file
    │   ├── StoreMismatch               the file is not ours, or a newer version wrote it
    │   └── StoreUnavailable            locked, full or slow for the moment: it heals by itself
    └── DeliveryError                   a destination did not take an event
        ├── DeliveryFailed              no usable answer: tried again later
        ├── RateLimited                 asked to wait: tried again when told, no attempt counted
        ├── DestinationMisconfigured    the call is wrong, not the event: the destination pauses
        ├── EventRejected               this event will never be taken: a dead letter
        └── EventSkipped                this event is not meant for this destination

``Unreachable``, ``Throttled``, ``Refused``, ``Rejected`` and ``Skipped`` are earlier names of the
last five. They stay until 1.0.
"""

from __future__ import annotations

import math
from collections.abc import Collection


class GPError(Exception):
    """Root of every error of this library."""


class ConfigurationError(GPError, ValueError):
    """A constructor argument or a setting is wrong; the text says which and what it should be."""


class EventError(GPError, ValueError):
    """An event cannot be built from what was given; the text names the rule."""


class StoreError(GPError):
    """The store could not do what was asked."""


class StoreLocked(StoreError):  # noqa: N818 - reads as what happened
    """Another process owns the store's file."""


class StoreMismatch(StoreError):  # noqa: N818 - reads as what happened
    """The file belongs to another program or was written by a newer version."""


class StoreUnavailable(StoreError):  # noqa: N818 - reads as what happened
    """The store cannot work right now: it is locked, the disk is full, or it does not answer."""


class DeliveryError(GPError):
    """A destination did not accept an event.

    :param reason: what happened, without secrets. It is logged and stored with the delivery.
    :param status: HTTP status of the answer, stored with the delivery; None if there is none.
    """

    # On the class as well, for subclasses that do not call this constructor.
    reason = ""
    status: int | None = None

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        #: Always text, so that any store can keep it.
        self.reason = str(reason)
        self.status = status


class DeliveryFailed(DeliveryError):  # noqa: N818 - reads as what happened
    """No usable answer came; the courier tries again later.

    :param reason: what happened.
    :param ambiguous: the destination may have accepted the events, although no answer says so.
    :param status: HTTP status of the answer.
    """

    ambiguous = False

    def __init__(
        self,
        reason: str,
        *,
        ambiguous: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(reason, status=status)
        self.ambiguous = ambiguous


class RateLimited(DeliveryError):  # noqa: N818 - reads as what happened
    """The destination asks you to wait. It does not count as an attempt.

    :param reason: what happened.
    :param retry_after: seconds to wait; None when the destination did not say, or did not give a
        number.
    :param status: HTTP status of the answer.
    """

    retry_after: float | None = None

    def __init__(
        self,
        reason: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(reason, status=status)
        is_number = isinstance(retry_after, (int, float)) and not math.isnan(retry_after)
        self.retry_after = retry_after if is_number else None


class DestinationMisconfigured(DeliveryError):  # noqa: N818 - reads as what happened
    """Credentials, address or API version are wrong: the destination pauses, its events wait."""


class EventRejected(DeliveryError):  # noqa: N818 - reads as what happened
    """The destination will never accept this event as it is.

    For a batch it means that at least one event is bad and that none was accepted. The events that
    the destination names are tried again one by one, and the others together. If it names none,
    the courier finds the bad events by halving the batch.

    :param reason: what happened.
    :param positions: positions in the batch of the events that the destination names, from 0.
    :param status: HTTP status of the answer.
    """

    positions: Collection[int] = ()

    def __init__(
        self,
        reason: str,
        *,
        positions: Collection[int] = (),
        status: int | None = None,
    ) -> None:
        super().__init__(reason, status=status)
        self.positions = frozenset(positions)


class EventSkipped(DeliveryError):  # noqa: N818 - reads as what happened
    """This event is not for this destination. It is settled without being sent."""


# Earlier names; they stay until 1.0.
Unreachable = DeliveryFailed
Throttled = RateLimited
Refused = DestinationMisconfigured
Rejected = EventRejected
Skipped = EventSkipped


def short_repr(value: object) -> str:
    """Return a repr for an error message: short, and safe for any object."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a broken repr must not hide the real error
        return f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}…"


_LONGEST_REPR = 60
