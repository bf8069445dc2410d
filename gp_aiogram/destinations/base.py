"""The contract between the courier and whatever takes events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal

from gp_aiogram.model.event import Event

#: What a destination answered for one event; kept with the delivery.
Receipt = Mapping[str, Any]

Ambiguous = Literal["retry", "hold"]


class Destination(ABC):
    """Where events go.

    A subclass sets ``name``, implements :meth:`send`, and may override the limits below.
    """

    #: Tells this destination from the tracker's others, in the store and in ``to=``.
    name: str

    #: The platform's own limit: events older than this, by event time, become dead letters
    #: instead of being sent. None where the platform has none.
    max_age: timedelta | None = None

    #: How long an event is tried before it becomes a dead letter.
    retry_for: timedelta = timedelta(days=30)

    #: Events in one call of :meth:`send`, and calls at the same time.
    batch_size: ClassVar[int] = 1
    concurrency: ClassVar[int] = 16

    #: Names of the events that this destination gets; None means all.
    only: Collection[str] | None = None

    #: After a failure that may hide a success: send again, or keep as a dead letter to decide on.
    ambiguous: Ambiguous = "retry"

    def wants(self, event: Event) -> bool:
        """Tell whether this destination gets an event that was recorded without ``to=``.

        It is asked for each event, by whichever thread keeps it, and must not wait for anything.
        """
        return self.only is None or event.name in self.only

    def knows_currency(self, currency: str) -> bool:  # noqa: ARG002 - for subclasses
        """Tell whether a value in this currency can be sent; asked of constants at start-up.

        :param currency: ISO 4217 code.
        """
        return True

    async def close(self) -> None:  # noqa: B027 - optional
        """Let go of connections; a later :meth:`send` opens new ones."""

    @abstractmethod
    async def send(self, events: Sequence[Event]) -> Sequence[Receipt] | None:
        """Send events, all or none; return when the destination has taken them.

        :param events: 1 to ``batch_size`` events, none of them over age.
        :return: a receipt for each event, in order, or None when there is nothing to remember.
        :raises Unreachable: try again later.
        :raises Throttled: try again when told.
        :raises Refused: pause until somebody mends credentials or address.
        :raises Rejected: at least one of these events is bad.
        :raises Skipped: these events are not meant for this destination.
        """
