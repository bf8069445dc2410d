"""The seam at which metrics, traces and users' own counters learn what happens to events."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from gp_aiogram.destinations.base import SendOutcome
from gp_aiogram.errors import DeliveryError
from gp_aiogram.model.event import Event
from gp_aiogram.stores.records import AcceptResult, Delivery, Outcome

#: What surrounds nothing; it may be entered any number of times.
NOTHING: AbstractContextManager[None] = nullcontext()


class Observer:
    """Is told what happens to events, in the event loop: it must not block.

    Override what is of interest. What an observer raises is logged, and does no harm.
    """

    def recording(self, event: Event) -> AbstractContextManager[None]:  # noqa: ARG002
        """Surround the recording of an event, from the check to the store.

        :param event: as far as it is known; its session and click come from the store.
        """
        return NOTHING

    def accepted(self, event: Event, result: AcceptResult, seconds: float) -> None:
        """Note what the store made of an event; called within :meth:`recording`.

        :param seconds: that the store took.
        """

    def sending(
        self,
        destination: str,  # noqa: ARG002
        batch: Sequence[Delivery],  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Surround one request to a destination."""
        return NOTHING

    def answered(self, answer: Sequence[SendOutcome] | DeliveryError) -> None:
        """Note a destination's answer; called within :meth:`sending`.

        :param answer: for each event of the batch, or for all of them.
        """

    def settled(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Note what became of deliveries of one destination; the store has it.

        :param outcomes: those that are provisional stand only if no other follows.
        :param now: the present time, in UTC.
        """
