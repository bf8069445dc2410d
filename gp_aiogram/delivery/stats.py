"""What a tracker tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gp_aiogram.delivery.pacing import PacerState
from gp_aiogram.stores.records import State

#: What is counted of deliveries: those that ended, by state, and failed tries.
DeliveryCount = Literal["delivered", "skipped", "dead", "retried"]

#: What is counted of a tracker; see :attr:`Stats.counts`.
TrackerCount = Literal[
    "captured",
    "malformed_payloads",
    "tracked",
    "in_transactions",
    "duplicates",
    "dropped",
    "opted_out",
    "unrefunded",
    "journaled",
    "lost",
    "capture_errors",
    "session_errors",
    "profile_errors",
    "history_errors",
    "decorator_errors",
    "handler_errors",
    "auto_errors",
    "click_errors",
    "invite_errors",
    "clicks_limited",
    "postbacks_refused",
    "postback_errors",
    "unmatched",
    "unmatched_expired",
]


@dataclass(frozen=True)
class DestinationStats:
    """How one destination is doing.

    :param state: ``healthy``, ``failing``, ``throttled`` or ``refused``; None when this process
        does not deliver to it: other processes do, or only the store knows its name.
    :param deliveries: how many deliveries the store has in each state.
    :param retried: failed tries of this process since this tracker was made.
    :param oldest_pending: how many seconds ago the pending delivery whose turn is next was
        accepted, or replayed; None when nothing is pending.
    """

    state: PacerState | None
    deliveries: Mapping[State, int]
    retried: int
    oldest_pending: float | None = None


@dataclass(frozen=True)
class Stats:
    """What happened since this tracker was made, and what the store holds.

    :param counts: touches ``captured``, ``malformed_payloads`` that begin like a session and hold
        none, events ``tracked``, events stored ``in_transactions`` of callers and recorded if
        these commit, ``duplicates`` that changed nothing, events ``dropped`` by ``before_send``,
        what users did who have ``opted_out``, refunds of
        which a destination knows nothing (``unrefunded``), requests that the store did not take in
        time (``journaled``), and what went wrong and was logged: requests that are ``lost``,
        ``capture_errors``, ``session_errors`` (a session could not be read), ``profile_errors``
        (traits and click could not), ``history_errors`` (the history of sessions could not be
        asked), ``decorator_errors`` (a decorator's argument),
        ``handler_errors`` (a call of ``gp`` in a handler),
        ``auto_errors`` (an update of Telegram's). The landing endpoint adds ``click_errors``,
        ``invite_errors`` and ``clicks_limited``; what is told by postbacks adds
        ``postbacks_refused``, ``postback_errors``, and conversions that were kept because nobody
        had come by their click (``unmatched``) or given up (``unmatched_expired``).
    :param destinations: by name.
    :param waiting: requests in the journal, which the store has not taken yet.
    """

    counts: Mapping[TrackerCount, int]
    destinations: Mapping[str, DestinationStats]
    waiting: int = 0
