"""What the log tells of deliveries, and what it must not."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from fixtures.delivery import (
    DAY,
    Batching,
    Scripted,
    accept,
    dead_letters,
    lane_to,
    numbered,
    rounds,
    the,
)
from gp_aiogram import (
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    EventSkipped,
    RateLimited,
)
from gp_aiogram.destinations.redaction import printable


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "gp_aiogram")
    return caplog


def told(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    assert {record.name for record in log.records} <= {"gp_aiogram.courier"}
    return [(record.levelname, record.getMessage()) for record in log.records]


async def test_each_delivered_batch_is_told(outbox, log):
    shop = Batching()
    lane = lane_to(shop, outbox)
    for count in (3, 1):
        await accept(outbox, *(f"{count}-{number}" for number in range(count)))
        await lane.run_once()
    assert told(log) == [
        ("INFO", "shop: 3 event(s) delivered"),
        ("INFO", "shop: 1 event(s) delivered"),
    ]


async def test_where_nothing_happens_nothing_is_told(outbox, log):
    lane = lane_to(Scripted(), outbox)
    await rounds(lane, outbox, DAY)
    assert log.records == []


async def test_retries_are_told_when_they_begin_and_when_they_end(outbox, log):
    log.set_level(logging.DEBUG, "gp_aiogram")
    shop = Batching(DeliveryFailed("HTTP 502"), DeliveryFailed("HTTP 503"))
    await accept(outbox, *numbered(2))
    lane = lane_to(shop, outbox)
    await rounds(lane, outbox, 3)
    await accept(outbox, "fresh")
    outbox.clock.advance(5.5)
    await lane.run_once()
    assert told(log) == [
        ("INFO", "shop: 2 event(s) failed and will be tried again: HTTP 502"),
        ("DEBUG", "shop: 2 event(s) failed again: HTTP 503"),
        ("INFO", "shop: 3 event(s) delivered, 2 of them after failed tries"),
    ]


async def test_a_batch_with_several_outcomes_is_told_by_outcome_and_reason(outbox, log):
    shop = Batching(
        [
            {},
            EventRejected("HTTP 400"),
            EventSkipped("no click"),
            EventSkipped("no click"),
            DeliveryFailed("HTTP 503"),
            {},
        ]
    )
    await accept(outbox, *numbered(6))
    await lane_to(shop, outbox).run_once()
    assert told(log) == [
        ("INFO", "shop: 2 event(s) delivered"),
        ("ERROR", "shop: 1 event(s) given up: HTTP 400"),
        ("INFO", "shop: 2 event(s) skipped: no click"),
        ("INFO", "shop: 1 event(s) failed and will be tried again: HTTP 503"),
    ]


async def test_what_waits_for_its_destination_is_told_once_and_its_recovery(outbox, log):
    shop = Scripted(*[DestinationMisconfigured("HTTP 401")] * 20, RateLimited("HTTP 429"))
    await accept(outbox, "e1")
    await rounds(lane_to(shop, outbox), outbox, DAY)
    assert [message for _, message in told(log)] == [
        "shop is paused and keeps its events, fix its settings: HTTP 401",
        "shop asks to wait for 60 s: HTTP 429",
        "shop answers again",
        "shop: 1 event(s) delivered",
    ]


async def test_a_held_success_is_told_as_one(outbox, log):
    await accept(outbox, "e1")
    await lane_to(Scripted(ambiguous="hold"), outbox).run_once()
    assert told(log) == [("INFO", "shop: 1 event(s) delivered")]


# Control characters

FORGED = "bad\nERROR root: all is lost\x1b[2J\r\u2028\ud800 ключ é"
HARMLESS = r"bad\nERROR root: all is lost\x1b[2J\r\u2028\ud800 ключ é"


@pytest.mark.parametrize(
    "kind", [DeliveryFailed, RateLimited, DestinationMisconfigured, EventRejected, EventSkipped]
)
def test_control_characters_of_a_reason_are_escaped(kind):
    assert printable(kind(FORGED).reason) == HARMLESS
    assert printable(kind(HARMLESS).reason) == HARMLESS


@pytest.mark.parametrize("in_batch", [False, True])
@pytest.mark.parametrize(
    "kind", [DeliveryFailed, RateLimited, DestinationMisconfigured, EventRejected, EventSkipped]
)
async def test_a_reason_reaches_no_log_and_no_row_unescaped(outbox, log, kind, in_batch):
    trouble: Any = [kind(FORGED), {}] if in_batch else kind(FORGED)
    await accept(outbox, *numbered(2))
    await lane_to(Batching(*[trouble] * 5), outbox).run_once()
    assert HARMLESS in log.text
    for event_id in numbered(2):
        assert ((await the(outbox, event_id)).reason or "").isprintable()
    assert all(record.getMessage().isprintable() for record in log.records)


@pytest.mark.parametrize("kind", [EventRejected, EventSkipped])
async def test_a_reason_of_preparing_reaches_no_log_and_no_row_unescaped(outbox, log, kind):
    class Unable(Scripted):
        def prepare(self, event: Any) -> Any:
            raise kind(FORGED)

    await accept(outbox, "e1")
    await lane_to(Unable(), outbox).run_once()
    assert (await the(outbox, "e1")).reason == HARMLESS
    assert HARMLESS in log.text


async def test_a_failure_reaches_the_reason_of_what_is_given_up_escaped(outbox, log):
    shop = Scripted(*[DeliveryFailed(FORGED)] * 100)
    shop.retry_for = timedelta(hours=1)
    await accept(outbox, "e1")
    await rounds(lane_to(shop, outbox), outbox, DAY)
    (letter,) = await dead_letters(outbox)
    assert letter.reason.endswith(HARMLESS)
    assert all(record.getMessage().isprintable() for record in log.records)


async def test_the_breaker_names_the_reason_escaped(outbox, log):
    await accept(outbox, *numbered(5))
    await lane_to(Scripted(*[DeliveryFailed(FORGED)] * 5), outbox).run_once()
    assert f"shop fails, its events wait: {HARMLESS}" in log.messages
