"""What Prometheus is told of a tracker."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from fixtures.recorder import Recorder
from gp_aiogram import (
    DeliveryFailed,
    DestinationMisconfigured,
    Event,
    EventRejected,
    EventSkipped,
    MemoryStore,
    StoreError,
    Tracker,
)
from gp_aiogram.metrics import Metrics
from gp_aiogram.testing import ManualClock

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Shop(Recorder):
    """Answers by the name of the event."""

    async def send(self, events: list[Event]) -> None:
        (event,) = events
        answers = {
            "dead": EventRejected("bad"),
            "skipped": EventSkipped("not wanted"),
            "retried": DeliveryFailed("HTTP 503"),
            "refused": DestinationMisconfigured("HTTP 401"),
        }
        if event.name in answers:
            raise answers[event.name]
        await super().send(events)


class House:
    """A tracker with its clock and metrics."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock)
        self.tracker = Tracker([Shop("shop")], store=self.store, clock=self.clock)
        self.metrics = Metrics(self.tracker)

    async def value(self, name: str, **labels: str) -> float | None:
        samples = parsed((await self.metrics.page()).body)
        return samples.get((name, frozenset(labels.items())))


def parsed(body: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    await house.tracker.close(grace=0)


async def test_deliveries_are_counted_by_how_they_ended(house: House) -> None:
    async with house.tracker as tracker:
        for name in ("good", "good", "dead", "skipped", "retried"):
            await tracker.track(name, telegram_id=7)
        assert await tracker.flush(5)
        for state, count in {"delivered": 2, "dead": 1, "skipped": 1}.items():
            total = await house.value(
                "gp_aiogram_deliveries_total", destination="shop", state=state
            )
            assert total == count
        assert await house.value("gp_aiogram_delivery_retries_total", destination="shop") == 1
        assert await house.value("gp_aiogram_pending_deliveries", destination="shop") == 1
        assert await house.value("gp_aiogram_dead_letters", destination="shop") == 1
        assert await house.value("gp_aiogram_events_recorded_total") == 5


async def test_every_series_of_a_destination_is_there_from_the_start(house: House) -> None:
    await house.tracker.start()
    for state in ("delivered", "dead", "skipped"):
        total = await house.value("gp_aiogram_deliveries_total", destination="shop", state=state)
        assert total == 0
    assert await house.value("gp_aiogram_delivery_retries_total", destination="shop") == 0
    assert await house.value("gp_aiogram_oldest_pending_age_seconds", destination="shop") == 0
    assert await house.value("gp_aiogram_payloads_malformed_total") == 0
    assert await house.value("gp_aiogram_errors_total", kind="decorator") == 0


async def test_the_age_at_delivery_is_measured_from_acceptance(house: House) -> None:
    tracker = house.tracker
    await tracker.track("good", telegram_id=7)
    house.clock.advance(200)
    async with tracker:
        assert await tracker.flush(5)
        name, of = "gp_aiogram_delivery_age_seconds", {"destination": "shop"}
        assert await house.value(f"{name}_sum", **of) == 200
        assert await house.value(f"{name}_bucket", **of, le="60.0") == 0
        assert await house.value(f"{name}_bucket", **of, le="300.0") == 1


async def test_the_time_that_the_store_takes_to_accept_is_measured(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = house.store.outbox.accept

    async def slow(entry: Any) -> Any:
        await asyncio.sleep(0.06)
        return await accept(entry)

    monkeypatch.setattr(house.store.outbox, "accept", slow)
    await house.tracker.track("good", telegram_id=7)
    name = "gp_aiogram_accept_duration_seconds"
    assert await house.value(f"{name}_count") == 1
    assert await house.value(f"{name}_bucket", le="0.05") == 0
    assert await house.value(f"{name}_sum") >= 0.06


async def test_a_backlog_has_a_size_and_an_age(house: House) -> None:
    async with house.tracker as tracker:
        await tracker.track("refused", telegram_id=7)
        assert not await tracker.flush(0.2)
        await tracker.track("good", telegram_id=7)
        house.clock.advance(90)
        assert await house.value("gp_aiogram_pending_deliveries", destination="shop") == 2
        age = await house.value("gp_aiogram_oldest_pending_age_seconds", destination="shop")
        assert age == 90


async def test_states_of_pacers_and_pauses_are_told(house: House) -> None:
    async with house.tracker as tracker:

        async def state(name: str) -> float | None:
            name_of = {"destination": "shop", "state": name}
            return await house.value("gp_aiogram_destination_state", **name_of)

        assert (await state("healthy"), await state("refused")) == (1, 0)
        assert await house.value("gp_aiogram_destination_paused", destination="shop") == 0
        await tracker.track("refused", telegram_id=7)
        assert not await tracker.flush(0.2)
        assert (await state("healthy"), await state("refused")) == (0, 1)
        assert (await state("failing"), await state("throttled")) == (0, 0)
        assert await house.value("gp_aiogram_destination_paused", destination="shop") == 1


async def test_what_came_in_and_what_was_ignored_is_counted(house: House) -> None:
    tracker = house.tracker
    await tracker.capture(7, "gp_a", bot_id=42)
    await tracker.capture(7, "gp_{subid}", bot_id=42)
    for _ in range(3):
        await tracker.track("good", telegram_id=7, once="order")
    await tracker.opt_out(8)
    await tracker.track("good", telegram_id=8)
    assert await house.value("gp_aiogram_sessions_captured_total") == 1
    assert await house.value("gp_aiogram_payloads_malformed_total") == 1
    assert await house.value("gp_aiogram_events_ignored_total", reason="duplicate") == 2
    assert await house.value("gp_aiogram_events_ignored_total", reason="opted_out") == 1
    assert await house.value("gp_aiogram_journal_waiting_requests") == 0


async def test_a_store_that_is_away_is_told_and_hides_nothing_else(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        msg = "away"
        raise StoreError(msg)

    async with house.tracker as tracker:
        await tracker.track("good", telegram_id=7)
        assert await house.value("gp_aiogram_store_up") == 1
        monkeypatch.setattr(house.store.outbox, "counts", fail)
        assert await house.value("gp_aiogram_store_up") == 0
        assert await house.value("gp_aiogram_pending_deliveries", destination="shop") is None
        assert await house.value("gp_aiogram_events_recorded_total") == 1
        monkeypatch.undo()
        assert await house.value("gp_aiogram_store_up") == 1


async def test_a_store_that_hangs_holds_up_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gp_aiogram.metrics.metrics._PATIENCE", 0.05)
    monkeypatch.setattr(house.store.outbox, "counts", asyncio.Event().wait)
    async with house.tracker:
        assert await house.value("gp_aiogram_store_up") == 0


async def test_metrics_join_a_registry_of_ones_own(house: House) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(house.tracker, registry)
    assert registry.get_sample_value("gp_aiogram_sessions_captured_total") == 0
    assert metrics.registry is registry
    Metrics(Tracker([Recorder("other")], store=MemoryStore()))
    assert REGISTRY.get_sample_value("gp_aiogram_sessions_captured_total") is None


async def test_openmetrics_is_spoken_to_those_who_ask(house: House) -> None:
    plain = await house.metrics.page()
    open_metrics = await house.metrics.page("application/openmetrics-text; version=1.0.0")
    assert plain.content_type.startswith("text/plain")
    assert open_metrics.content_type.startswith("application/openmetrics-text")
    assert open_metrics.body.endswith(b"# EOF\n")


async def test_no_label_names_a_user_an_event_or_an_order(house: House) -> None:
    tracker = house.tracker
    await tracker.track("good", telegram_id=123_456_789, event_id="the event", once="the order")
    await tracker.capture(123_456_789, "gp_secret", bot_id=42)
    async with tracker:
        assert await tracker.flush(5)
        text = (await house.metrics.page()).body.decode()
    for private in ("123456789", "the event", "the order", "gp_secret"):
        assert private not in text
    labels = {label for _, pairs in parsed(text.encode()) for label, _ in pairs}
    assert labels == {"destination", "state", "le", "reason", "kind"}


async def test_who_only_records_shows_no_state(house: House) -> None:
    async with Tracker([Shop("shop")], store=MemoryStore(), deliver=False) as tracker:
        page = await Metrics(tracker).page()
    assert not any(name == "gp_aiogram_destination_state" for name, _ in parsed(page.body))


async def test_events_of_days_ago_fit_into_the_buckets(house: House) -> None:
    await house.tracker.track("good", telegram_id=7)
    house.clock.advance(timedelta(days=8).total_seconds())
    async with house.tracker as tracker:
        assert await tracker.flush(5)
        name, of = "gp_aiogram_delivery_age_seconds_bucket", {"destination": "shop"}
        assert await house.value(name, **of, le="604800.0") == 0
        assert await house.value(name, **of, le="+Inf") == 1


def test_without_the_package_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; import gp_aiogram.metrics"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "pip install 'gp-aiogram[metrics]'" in ran.stderr
