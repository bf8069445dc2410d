"""The contract between the courier and whatever takes events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal, Union

from gp_aiogram.destinations.preview import Preview, plain
from gp_aiogram.errors import DeliveryError
from gp_aiogram.model import codec
from gp_aiogram.model.event import Event

#: What a destination answered for one event; kept with the delivery.
Receipt = Mapping[str, Any]


@dataclass(frozen=True)
class Processing:
    """The destination took an event and tells later what became of it.

    The event stays pending with this receipt, in the store, so that a crash forgets nothing. When
    the time has come, :meth:`Destination.follow_up` is asked instead of sending again.

    :param receipt: what the question needs, as JSON values; not empty.
    :param check_after: seconds until then, at most two hours.
    """

    receipt: Receipt
    check_after: float


#: What became of one event of a batch: its receipt, or why it was not taken.
SendOutcome = Union[Receipt, Processing, DeliveryError]  # noqa: UP007 - evaluated on Python 3.10

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
    batch_size: int = 1
    concurrency: int = 16

    #: Seconds that an event waits at most for others to fill a batch, where calls are precious.
    #: It waits in the store; ``flush()`` sends at once what has gathered.
    gather_for: float = 0.0

    #: Whether it sends what you gave ``identify()``: False where the backend knows people itself.
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
        """Return whether this destination gets an event that was recorded without ``to=``.

        It must not block. If it raises, the error is logged and the event is delivered.
        """
        return self.only is None or event.name in self.only

    def knows_currency(self, currency: str) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether a value in this currency can be sent. Constants are checked at start.

        :param currency: ISO 4217 code.
        """
        return True

    def prepare(self, event: Event) -> Any:
        """Build what :meth:`send` gets for an event, without I/O. By default, the event itself.

        Its errors concern only this event, and do not count against the destination's health. Any
        other exception makes a dead letter as well.

        :raises EventRejected: when the event can never be sent: it becomes a dead letter.
        :raises EventSkipped: when the event is not for this destination.
        """
        return event

    def kind_of(self, prepared: Any) -> Hashable:  # noqa: ARG002 - for subclasses
        """Return what must be equal for events to share a batch. By default, all may share one.

        :param prepared: the result of :meth:`prepare`.
        """
        return None

    async def preview(self, event: Event) -> Preview:
        """Return what would be sent for an event, for display: without secrets, sending nothing.

        By default, this is the result of :meth:`prepare`. Override it if that holds secrets.
        """
        try:
            return Preview(item=_shown(self.prepare(event)))
        except Exception as error:  # noqa: BLE001 - a user's destination; it is shown
            return Preview(refusal=str(error) or type(error).__name__)

    async def follow_up(self, receipts: Sequence[Receipt]) -> Sequence[SendOutcome]:
        """Ask for the outcome of events for which :meth:`send` returned :class:`Processing`.

        Errors mean the same as those of :meth:`send`, but the event is not sent again: it is asked
        about again later. :class:`EventRejected` makes a dead letter.

        :param receipts: of 1 to ``batch_size`` events.
        :return: for each of them, in order, its final receipt, :class:`Processing` again, or an
            error.
        """
        return receipts

    async def close(self) -> None:  # noqa: B027 - optional
        """Close connections; a later :meth:`send` opens new ones."""

    @abstractmethod
    async def send(self, batch: Sequence[Any]) -> Sequence[SendOutcome] | None:
        """Send prepared events, and return when the destination has answered.

        :param batch: 1 to ``batch_size`` prepared events, none of them too old.
        :return: for each of them, in order, a receipt, :class:`Processing` or a
            :class:`DeliveryError`; None when the destination accepted all of them and there are no
            receipts to keep.
        :raises DeliveryFailed: try again later.
        :raises RateLimited: try again after the given time.
        :raises DestinationMisconfigured: pause until credentials or address are fixed.
        :raises EventRejected: at least one of these events is bad.
        :raises EventSkipped: these events are not for this destination.
        """


def _shown(prepared: Any) -> Any:
    return codec.decode(prepared.to_json()) if isinstance(prepared, Event) else plain(prepared)
