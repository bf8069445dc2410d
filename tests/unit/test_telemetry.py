"""The seam for telemetry: what an observer is told, and that it can do no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from fixtures import updates
from fixtures.recorder import Recorder
from gp_aiogram import (
    Attribution,
    DeliveryFailed,
    Event,
    EventError,
    MemoryStore,
    StoreError,
    Tracker,
)
from gp_aiogram.stores.records import Delivery, Outcome
from gp_aiogram.telemetry import Observer


class Diary(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def recording(self, event: Event) -> Iterator[None]:
        self.lines.append(f"recording {event.name}")
        try:
            yield
        except Exception as error:
            self.lines.append(f"failed {type(error).__name__}")
            raise
        self.lines.append("recorded")

    def accepted(self, event: Event, result: str, seconds: float) -> None:
        assert seconds >= 0
        self.lines.append(f"{result} {event.name}")

    @contextmanager
    def sending(self, destination: str, batch: Sequence[Delivery]) -> Iterator[None]:
        self.lines.append(f"sending {len(batch)} to {destination}")
        yield
        self.lines.append("sent")

    def answered(self, answer: Any) -> None:
        self.lines.append(f"answered {answer!r}")

    def settled(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        assert now.tzinfo is not None
        self.lines.append(f"settled {[outcome.state for outcome in outcomes]}")


class Broken(Observer):
    """Fails at everything."""

    def recording(self, event: Event) -> Any:
        raise RuntimeError

    def accepted(self, event: Event, result: str, seconds: float) -> None:
        raise RuntimeError

    @contextmanager
    def sending(self, destination: str, batch: Sequence[Delivery]) -> Iterator[None]:
        yield
        raise RuntimeError

    def answered(self, answer: Any) -> None:
        raise RuntimeError

    def settled(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        raise RuntimeError


async def test_an_observer_is_told_the_whole_way_of_an_event(tracker: Tracker) -> None:
    diary = Diary()
    tracker.observe(diary)
    tracker.observe(diary)
    await tracker.track("REG", telegram_id=7)
    async with tracker:
        assert await tracker.flush(5)
    assert diary.lines == [
        "recording REG",
        "stored REG",
        "recorded",
        "sending 1 to recorder",
        "answered [{}]",
        "sent",
        "settled ['delivered']",
    ]


@pytest.mark.parametrize(
    ("record", "lines"),
    [
        (
            lambda tracker: tracker.deposit(telegram_id=7, value=1),
            ["recording DEP", "stored FTD", "recorded"],
        ),
        (
            lambda tracker: tracker.refund("order", telegram_id=7),
            ["recording Refund", "stored Refund", "recorded"],
        ),
        (
            lambda tracker: tracker.track("REG", telegram_id=7, event_id="known"),
            ["recording REG", "recorded"],
        ),
    ],
)
async def test_every_way_of_recording_is_told(
    tracker: Tracker, record: Callable[[Tracker], Any], lines: list[str]
) -> None:
    await tracker.track("REG", telegram_id=7, event_id="known")
    diary = Diary()
    tracker.observe(diary)
    await record(tracker)
    assert [line.replace("duplicate REG", "recorded") for line in diary.lines][
        : len(lines)
    ] == lines


async def test_a_store_that_fails_is_told(
    tracker: Tracker, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        msg = "disk full"
        raise StoreError(msg)

    diary = Diary()
    tracker.observe(diary)
    monkeypatch.setattr(store.outbox, "accept", fail)
    with pytest.raises(StoreError):
        await tracker.track("REG", telegram_id=7)
    assert diary.lines == ["recording REG", "failed StoreError"]


async def test_what_was_refused_before_is_no_recording(tracker: Tracker) -> None:
    diary = Diary()
    tracker.observe(diary)
    with pytest.raises(EventError):
        await tracker.track("FTD", telegram_id=7)
    assert diary.lines == []


async def test_an_observer_that_fails_costs_no_event(
    recorder: Recorder, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    diary = Diary()
    async with Tracker([recorder], store=store) as tracker:
        tracker.observe(Broken())
        tracker.observe(diary)
        assert await tracker.track("REG", telegram_id=7) is not None
        assert await tracker.flush(5)
    assert len(recorder.events) == 1
    assert diary.lines[-1] == "settled ['delivered']"
    assert caplog.text.count("Broken failed; the event goes on") == 5


async def test_an_observer_that_fails_hides_no_failure(store: MemoryStore) -> None:
    class Failing(Recorder):
        async def send(self, events: list[Event]) -> None:
            msg = "HTTP 503"
            raise DeliveryFailed(msg)

    async with Tracker([Failing()], store=store) as tracker:
        tracker.observe(Broken())
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
        assert (await tracker.stats()).destinations["recorder"].retried == 1


# Payloads that are almost ours


@pytest.mark.parametrize(
    "payload", ["gp_", "gp_a b", "gp_{subid}", "gp_%7B", "gp_é", "gp_" + "a" * 62]
)
async def test_a_payload_that_begins_like_a_session_and_is_none_is_counted(
    tracker: Tracker, caplog: pytest.LogCaptureFixture, payload: str
) -> None:
    caplog.set_level("INFO")
    assert await tracker.capture(7, payload, bot_id=42) is None
    assert tracker.counts == {"malformed_payloads": 1}
    assert "the payload of user 7 begins like a session but is none" in caplog.text
    assert payload not in caplog.text.replace("gp_aiogram", "") or payload == "gp_"


@pytest.mark.parametrize("payload", ["ref_7", "", "GP_a", "promo"])
async def test_a_payload_of_somebody_else_is_not(tracker: Tracker, payload: str) -> None:
    assert await tracker.capture(7, payload, bot_id=42) is None
    assert tracker.counts == {}


async def test_a_malformed_payload_of_a_real_start_is_counted(
    feed: Callable[..., Any], tracker: Tracker
) -> None:
    await feed(updates.start("gp_{{fbclid}}"))
    await feed(updates.start("gp_a1b2c3"))
    assert tracker.counts == {"malformed_payloads": 1, "captured": 1}


@pytest.mark.parametrize(
    ("attribution", "counted"),
    [
        (Attribution(pattern=r"kt-[0-9]+"), 0),
        (Attribution(parse=lambda _: None), 0),
        (Attribution(pattern=r"^gp_[0-9]+"), 1),
    ],
)
async def test_only_a_pattern_of_ours_tells_what_is_malformed(
    attribution: Attribution, counted: int
) -> None:
    tracker = Tracker([], store=MemoryStore(), attribution=attribution)
    await tracker.capture(7, "gp_abc", bot_id=42)
    assert tracker.counts["malformed_payloads"] == counted
