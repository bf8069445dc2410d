"""One id under two names is two events: shops use the order's number for checkout and purchase."""

from __future__ import annotations

from fixtures.recorder import Recorder
from gp_aiogram import MemoryStore, Tracker


async def test_id_and_name_together_tell_events_apart(recorder: Recorder) -> None:
    order = {"telegram_id": 7, "bot_id": 42, "value": 50, "event_id": "order-1001"}
    async with Tracker([recorder], store=MemoryStore()) as tracker:
        assert await tracker.track("InitiateCheckout", **order) is not None
        assert await tracker.track("Purchase", **order) is not None
        assert await tracker.track("Purchase", **order) is None
        assert await tracker.flush(5)
    assert [event.name for event in recorder.events] == ["InitiateCheckout", "Purchase"]
