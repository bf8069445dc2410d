"""OpenTelemetry spans of recording and delivery, by its conventions for messaging."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from fixtures.delivery import Batching
from fixtures.recorder import Recorder
from gp_aiogram import DeliveryFailed, Event, EventRejected, MemoryStore, StoreError, Tracker
from gp_aiogram.telemetry.tracing import Tracing


class Traces:
    """What was traced so far."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def only(self, name: str) -> ReadableSpan:
        (span,) = self.spans(name)
        return span


@pytest.fixture
def traces() -> Traces:
    return Traces()


@pytest.fixture
def traced(tracker: Tracker, traces: Traces) -> Tracker:
    tracker.observe(Tracing(traces.provider))
    return tracker


async def test_recording_is_the_span_of_a_producer(traced: Tracker, traces: Traces) -> None:
    event = await traced.track("REG", telegram_id=7)
    span = traces.only("track outbox")
    assert span.kind is SpanKind.PRODUCER
    assert dict(span.attributes) == {
        "messaging.system": "gp_aiogram",
        "messaging.operation.name": "track",
        "messaging.operation.type": "send",
        "messaging.destination.name": "outbox",
        "messaging.message.id": event.event_id,
        "gp_aiogram.event.name": "REG",
        "gp_aiogram.result": "stored",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope.name == "gp_aiogram"


async def test_delivery_is_the_span_of_a_consumer_and_linked(
    traced: Tracker, traces: Traces
) -> None:
    event = await traced.track("REG", telegram_id=7)
    async with traced:
        assert await traced.flush(5)
    span = traces.only("deliver recorder")
    assert span.kind is SpanKind.CONSUMER
    assert dict(span.attributes) == {
        "messaging.system": "gp_aiogram",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.name": "recorder",
        "messaging.message.id": event.event_id,
        "gp_aiogram.event.name": "REG",
    }
    (link,) = span.links
    assert link.context == traces.only("track outbox").context


async def test_a_batch_tells_how_many_and_links_all(store: MemoryStore, traces: Traces) -> None:
    async with Tracker([Batching()], store=store) as tracker:
        tracker.observe(Tracing(traces.provider))
        await tracker.close()
        for _ in range(3):
            await tracker.track("REG", telegram_id=7)
        await tracker.start()
        assert await tracker.flush(5)
    span = traces.only("deliver shop")
    assert span.attributes["messaging.batch.message_count"] == 3
    assert "messaging.message.id" not in span.attributes
    recorded = {span.context.span_id for span in traces.spans("track outbox")}
    assert {link.context.span_id for link in span.links} == recorded


async def test_a_delivery_belongs_to_no_trace_of_whoever_started_the_tracker(
    traced: Tracker, traces: Traces
) -> None:
    tracer = traces.provider.get_tracer("app")
    with tracer.start_as_current_span("startup"):
        await traced.start()
    with tracer.start_as_current_span("request") as request:
        await traced.track("REG", telegram_id=7)
    assert await traced.flush(5)
    assert traces.only("deliver recorder").parent is None
    assert traces.only("track outbox").parent.span_id == request.get_span_context().span_id


async def test_what_a_destination_traces_is_within(store: MemoryStore, traces: Traces) -> None:
    seen = []

    class Shop(Recorder):
        async def send(self, events: list[Event]) -> None:
            seen.append(get_current_span().get_span_context())

    async with Tracker([Shop()], store=store) as tracker:
        tracker.observe(Tracing(traces.provider))
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
    assert seen == [traces.only("deliver recorder").context]


async def test_a_failed_delivery_says_which_kind_of_error_and_no_more(
    store: MemoryStore, traces: Traces
) -> None:
    class Shop(Recorder):
        async def send(self, events: list[Event]) -> None:
            msg = "HTTP 503: mary@example.com"
            raise DeliveryFailed(msg)

    async with Tracker([Shop()], store=store) as tracker:
        tracker.observe(Tracing(traces.provider))
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
    span = traces.only("deliver recorder")
    assert span.attributes["error.type"] == "DeliveryFailed"
    assert span.status.status_code is StatusCode.ERROR
    assert "mary" not in span.to_json()


async def test_a_batch_that_was_taken_in_part_has_not_failed(
    store: MemoryStore, traces: Traces
) -> None:
    shop = Batching([{}, EventRejected("bad")])
    async with Tracker([shop], store=store) as tracker:
        tracker.observe(Tracing(traces.provider))
        await tracker.close()
        for _ in range(2):
            await tracker.track("REG", telegram_id=7)
        await tracker.start()
        assert await tracker.flush(5)
    span = traces.only("deliver shop")
    assert span.attributes["error.type"] == "EventRejected"
    assert span.attributes["gp_aiogram.failed_count"] == 1
    assert span.status.status_code is StatusCode.UNSET


async def test_a_recording_that_fails_says_why(
    traced: Tracker, traces: Traces, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        msg = "disk full"
        raise StoreError(msg)

    monkeypatch.setattr(store.outbox, "accept", fail)
    with pytest.raises(StoreError):
        await traced.track("REG", telegram_id=7)
    span = traces.only("track outbox")
    assert span.attributes["error.type"] == "StoreError"
    assert span.status.status_code is StatusCode.ERROR


async def test_no_span_holds_personal_data(traced: Tracker, traces: Traces) -> None:
    await traced.capture(123_456_789, "gp_secret", bot_id=42)
    await traced.track(
        "FTD",
        telegram_id=123_456_789,
        value="49.90",
        currency="EUR",
        user_data={"email": "mary@example.com", "plan": "gold"},
        once="the order",
    )
    async with traced:
        assert await traced.flush(5)
    told = "".join(
        span.to_json()
        for name in ("track outbox", "deliver recorder")
        for span in traces.spans(name)
    )
    for private in ("123456789", "gp_secret", "49.9", "EUR", "mary", "gold", "the order"):
        assert private not in told


async def test_links_are_remembered_for_so_many_events(
    traced: Tracker, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gp_aiogram.telemetry.tracing._REMEMBERED", 2)
    ids = [(await traced.track("REG", telegram_id=7)).event_id for _ in range(3)]
    async with traced:
        assert await traced.flush(5)
    linked = {
        span.attributes["messaging.message.id"]: len(span.links)
        for span in traces.spans("deliver recorder")
    }
    assert linked == {ids[0]: 0, ids[1]: 1, ids[2]: 1}


AUTOMATIC = """
import asyncio, json
from gp_aiogram import MemoryStore, Tracker

async def main():
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracker = Tracker([], store=MemoryStore())
    await tracker.track("before", telegram_id=7)
    trace.set_tracer_provider(provider)
    await tracker.track("after", telegram_id=7)
    spans = exporter.get_finished_spans()
    print(json.dumps([span.attributes["gp_aiogram.event.name"] for span in spans]))

asyncio.run(main())
"""

ABSENT = """
import asyncio, sys
sys.modules["opentelemetry"] = None
from gp_aiogram import MemoryStore, Tracker

async def main():
    assert await Tracker([], store=MemoryStore()).track("REG", telegram_id=7) is not None

asyncio.run(main())
"""


def test_a_tracker_traces_by_itself_once_a_provider_is_set() -> None:
    ran = subprocess.run([sys.executable, "-c", AUTOMATIC], capture_output=True, check=True)
    assert json.loads(ran.stdout) == ["after"]


def test_it_works_without_opentelemetry() -> None:
    subprocess.run([sys.executable, "-c", ABSENT], check=True)


async def test_two_providers_get_spans_of_their_own(traced: Tracker, traces: Traces) -> None:
    others = Traces()
    traced.observe(Tracing(others.provider))
    await traced.track("REG", telegram_id=7)
    async with traced:
        assert await traced.flush(5)
    for each in (traces, others):
        recording = each.only("track outbox")
        assert recording.attributes["gp_aiogram.result"] == "stored"
        (link,) = each.only("deliver recorder").links
        assert link.context == recording.context


async def test_a_span_of_the_users_own_is_left_alone(tracker: Tracker, traces: Traces) -> None:
    with traces.provider.get_tracer("app").start_as_current_span("request"):
        await tracker.track("REG", telegram_id=7)
    assert dict(traces.only("request").attributes) == {}
