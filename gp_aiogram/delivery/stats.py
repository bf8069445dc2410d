"""What a tracker tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gp_aiogram.delivery.pacing import PacerState
from gp_aiogram.stores.records import State


@dataclass(frozen=True)
class DestinationStats:
    """How one destination is doing.

    :param state: ``open``, ``failing``, ``throttled`` or ``refused``; None when it is known from
        the store only, because this tracker has no destination of that name.
    :param deliveries: how many deliveries the store has in each state.
    :param retried: failed tries since this tracker was made.
    """

    state: PacerState | None
    deliveries: Mapping[State, int]
    retried: int


@dataclass(frozen=True)
class Stats:
    """What happened since this tracker was made, and what the store holds.

    :param counts: touches ``captured``, events ``tracked``, ``duplicates`` that changed nothing,
        events ``dropped`` by ``before_send``, what users who ``opted_out`` did, refunds of which
        a destination knows nothing (``unrefunded``), and what went wrong and was logged:
        ``capture_errors``, ``session_errors`` (a session could not be read), ``profile_errors``
        (traits and click could not), ``decorator_errors`` (a decorator's argument),
        ``auto_errors`` (an update of Telegram's). The landing endpoint adds ``click_errors``,
        ``invite_errors`` and ``clicks_limited``.
    :param destinations: by name.
    """

    counts: Mapping[str, int]
    destinations: Mapping[str, DestinationStats]
