"""A destination for tests that keeps what it gets."""

from __future__ import annotations

from collections.abc import Sequence

from gp_aiogram.destinations.base import Destination
from gp_aiogram.model.event import Event
from gp_aiogram.testing.recorded import RecordedEvents
from gp_aiogram.testing.recorded_event import RecordedEvent


class RecordingDestination(Destination):
    """Accepts every event and keeps it, so that a test sees what was delivered.

    ::

        recording = RecordingDestination()
        async with Tracker([recording], store=MemoryStore()) as tracker:
            await tracker.track("REG", telegram_id=7)
            await tracker.flush()
        recording.assert_tracked("REG", telegram_id=7)

    :param name: each destination of a tracker needs its own.
    :ivar events: the events it got, oldest first.
    """

    batch_size = 1000

    def __init__(self, name: str = "recording") -> None:
        self.name = name
        self.events = RecordedEvents()

    async def send(self, batch: Sequence[Event]) -> None:
        """Keep events."""
        for event in batch:
            self.events.add(RecordedEvent(event, (self.name,), {self.name: self.prepare}))

    def assert_tracked(
        self, name: str, *, times: int | None = None, **fields: object
    ) -> RecordedEvent:
        """As :meth:`RecordedEvents.assert_tracked`."""
        __tracebackhide__ = True
        return self.events.assert_tracked(name, times=times, **fields)

    def assert_not_tracked(self, name: str, **fields: object) -> None:
        """As :meth:`RecordedEvents.assert_not_tracked`."""
        __tracebackhide__ = True
        self.events.assert_not_tracked(name, **fields)
