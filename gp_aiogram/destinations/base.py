"""The contract between the courier and whatever takes events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal

from gp_aiogram.errors import DeliveryError
from gp_aiogram.model.event import Event

#: What a destination answered for one event; kept with the delivery.
Receipt = Mapping[str, Any]

#: What became of one event of a batch: its receipt, or why it was not taken.
SendOutcome = Receipt | DeliveryError

Ambiguous = Literal["retry", "hold"]


class Destination(ABC):
    """Where events go.

    A subclass sets ``name`` and implements :meth:`send`. It may override :meth:`prepare` and the
    limits below.
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

    #: Whether it sends what ``identify()`` was told: False where the backend knows people itself.
    uses_traits: ClassVar[bool] = True

    #: Seconds for one call of :meth:`send`; after that the try has failed, perhaps unheard.
    send_timeout: float = 60.0

    #: Names of the events that this destination gets; None means all.
    only: Collection[str] | None = None

    #: Codes that are no ISO 4217, such as ``USDT``, which this destination converts.
    convertible_currencies: frozenset[str] = frozenset()

    #: After a failure that may hide a success: send again, or keep as a dead letter to decide on.
    ambiguous: Ambiguous = "retry"

    def accepts(self, event: Event) -> bool:
        """Tell whether this destination gets an event that was recorded without ``to=``.

        It must not block. What it raises is logged, and the event is delivered.
        """
        return self.only is None or event.name in self.only

    def knows_currency(self, currency: str) -> bool:  # noqa: ARG002 - for subclasses
        """Tell whether a value in this currency can be sent; asked of constants at start-up.

        :param currency: ISO 4217 code.
        """
        return True

    def prepare(self, event: Event) -> Any:
        """Build what :meth:`send` gets of an event, without any I/O; by default the event itself.

        What it raises concerns this event alone and says nothing of the destination's health. An
        exception of another kind than these two makes a dead letter, too.

        :raises EventRejected: when the event can never be sent: it becomes a dead letter.
        :raises EventSkipped: when the event is not meant for this destination.
        """
        return event

    async def close(self) -> None:  # noqa: B027 - optional
        """Let go of connections; a later :meth:`send` opens new ones."""

    @abstractmethod
    async def send(self, batch: Sequence[Any]) -> Sequence[SendOutcome] | None:
        """Send what :meth:`prepare` made of events; return when the destination has answered.

        :param batch: 1 to ``batch_size`` prepared events, none of them over age.
        :return: for each of them, in order, a receipt or a :class:`DeliveryError`; None when the
            destination took all of them and there is nothing to remember.
        :raises DeliveryFailed: try again later.
        :raises RateLimited: try again when told.
        :raises DestinationMisconfigured: pause until somebody fixes credentials or address.
        :raises EventRejected: at least one of these events is bad.
        :raises EventSkipped: these events are not meant for this destination.
        """
