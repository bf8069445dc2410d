"""Everything gp_aiogram raises, one tree.

::

    GPError
    ├── ConfigurationError      a constructor argument or setting is wrong
    ├── EventError              an event cannot be built from what was given
    ├── StoreError              the store could not do what was asked
    │   ├── StoreLocked         another process owns the file
    │   └── StoreMismatch       the file is not ours, or a newer version wrote it
    └── DeliveryError           a destination did not take events (only destinations raise it)
        ├── Unreachable         no usable answer: try again later
        ├── Throttled           asked to wait: try again when told, count no attempt
        ├── Refused             credentials or address are wrong: keep the events, pause
        ├── Rejected            these events will never be taken
        └── Skipped             these events are not meant for this destination
"""

from __future__ import annotations


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


class StoreMismatch(StoreError):  # noqa: N818
    """The file belongs to another program or was written by a newer version."""


class DeliveryError(GPError):
    """A destination did not take events.

    :param reason: what happened, without secrets: it is logged and kept with the delivery.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        #: A text whatever was given, so that any store can keep it.
        self.reason = str(reason)


class Unreachable(DeliveryError):  # noqa: N818
    """No usable answer came; the courier tries again later.

    :param reason: what happened.
    :param ambiguous: the events may have been taken although no answer says so.
    """

    def __init__(self, reason: str, *, ambiguous: bool = False) -> None:
        super().__init__(reason)
        self.ambiguous = ambiguous


class Throttled(DeliveryError):  # noqa: N818
    """The destination asks to wait. No attempt is counted.

    :param reason: what happened.
    :param retry_after: seconds to wait; None when the destination did not say.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Refused(DeliveryError):  # noqa: N818
    """Credentials or address are wrong: the destination pauses and keeps its events."""


class Rejected(DeliveryError):  # noqa: N818
    """The destination read these events and will never take them as they are.

    Of several events sent together the courier finds the bad ones by halving.
    """


class Skipped(DeliveryError):  # noqa: N818
    """These events are not meant for this destination; they are settled without being sent."""


def shown(value: object) -> str:
    """Return a value as an error message may show it: short, and safe for any object."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a broken repr must not hide the real error
        return f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_SHOWN = 60
