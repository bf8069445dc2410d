"""Claims are back soon when their worker is gone; who has lost a claim does not send."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fixtures.delivery import (
    Batching,
    Scripted,
    WatchedOutbox,
    accept,
    lane_to,
    numbered,
    rounds,
    states,
    the,
)
from gp_aiogram import Event
from gp_aiogram.delivery.lane import LEASE, LONE_LEASE
from gp_aiogram.delivery.lease import Lease
from gp_aiogram.model.clock import SystemClock
from gp_aiogram.stores.records import Outcome
from gp_aiogram.testing import ManualClock

STOOD_STILL = "are not sent now: this process or the store stood still"


class Stalling(Batching):
    """Stands still while it prepares its first event, as a blocked event loop does."""

    def __init__(self, clock: ManualClock, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._clock = clock
        self._seconds = seconds

    def prepare(self, event: Event) -> Event:
        self._clock.advance(self._seconds)
        self._seconds = 0
        return event


async def test_a_killed_workers_claims_are_delivered_by_another_within_a_minute(outbox):
    await accept(outbox, *numbered(20))
    await outbox.claim("shop", 20, lease=LEASE)  # and this worker is gone
    shop = Batching()
    lane, began = lane_to(shop, outbox), outbox.clock.monotonic()
    while not shop.taken:
        pause = await lane.run_once()
        assert not await outbox.wait("shop", 0)  # nobody wakes the lane before
        outbox.clock.advance(pause)
    assert shop.taken == numbered(20)
    assert outbox.clock.monotonic() - began < 60


@pytest.mark.parametrize("seconds", [LEASE * 0.7, LEASE, 10 * LEASE])
async def test_who_stood_still_before_the_request_leaves_it_to_others(
    outbox, clock, caplog, seconds
):
    await accept(outbox, *numbered(3))
    slow = Stalling(clock, seconds)
    lane = lane_to(slow, outbox)
    await lane.run_once()
    assert slow.requests == []
    assert f"shop: 3 event(s) {STOOD_STILL}" in caplog.text
    other = Batching()
    await lane_to(other, outbox).run_once()
    assert other.taken == numbered(3)
    await rounds(lane, outbox, 100)
    assert slow.requests == []
    assert lane.counts == {}


async def test_a_short_pause_costs_nothing(outbox, clock):
    await accept(outbox, "e1")
    slow = Stalling(clock, LEASE / 2)
    await lane_to(slow, outbox).run_once()
    assert slow.taken == ["e1"]


async def test_who_stood_still_delivers_later_when_nobody_else_did(outbox, clock):
    await accept(outbox, "e1")
    slow = Stalling(clock, LEASE)
    lane = lane_to(slow, outbox)
    await rounds(lane, outbox, 100)
    assert slow.taken == ["e1"]


async def test_an_event_that_must_not_be_doubted_stays_pending_when_the_store_stood_still(
    outbox, clock, monkeypatch, caplog
):
    settle = outbox.settle

    async def slow(outcomes: Sequence[Outcome]) -> None:
        await settle(outcomes)
        if outcomes[0].provisional:
            clock.advance(LEASE * 0.8)
            monkeypatch.setattr(outbox, "settle", settle)

    monkeypatch.setattr(outbox, "settle", slow)
    shop = Scripted(ambiguous="hold")
    await accept(outbox, "e1")
    lane = lane_to(shop, outbox)
    await lane.run_once()
    assert STOOD_STILL in caplog.text
    assert shop.requests == []
    delivery = await the(outbox, "e1")
    assert (delivery.state, delivery.maybe_delivered) == ("pending", False)
    await lane.run_once()
    assert shop.taken == ["e1"]


async def test_an_outcome_that_comes_after_the_claim_changes_nothing_of_the_next_ones(
    outbox, clock
):
    """The process stood still while its request was under way, and another sent it, too."""
    other = lane_to(Batching(), outbox)

    async def stall(_: Sequence[Event]) -> None:
        clock.advance(2 * LEASE)
        await other.run_once()
        msg = "lost"
        raise RuntimeError(msg)

    await accept(outbox, "e1")
    await lane_to(Batching(stall), outbox).run_once()
    assert await states(outbox) == {"delivered": 1}


@pytest.mark.parametrize(("alone", "seconds"), [(True, LONE_LEASE), (False, LEASE)])
async def test_who_is_alone_with_a_store_may_stand_still_for_longer(
    outbox, clock, monkeypatch, alone, seconds
):
    monkeypatch.setattr(outbox, "one_process", alone)

    async def stall(_: Sequence[Event]) -> None:
        clock.advance(seconds - 1)

    shop = Batching(stall)
    await accept(outbox, "e1")
    await lane_to(shop, outbox).run_once()
    assert await states(outbox) == {"delivered": 1}
    assert shop.requests == [["e1"]]


# The lease itself


def test_a_lease_is_safe_until_a_third_of_it_is_left():
    clock = ManualClock()
    lease = Lease(clock.monotonic, 30)
    clock.advance(19.9)
    assert lease.is_safe
    clock.advance(0.2)
    assert not lease.is_safe


def test_a_renewal_counts_from_when_it_was_asked_for():
    clock = ManualClock()
    lease = Lease(clock.monotonic, 30)
    clock.advance(10)
    asked = clock.monotonic()
    clock.advance(15)
    assert not lease.is_safe
    lease.renewed(asked)
    assert lease.is_safe
    clock.advance(5.1)
    assert not lease.is_safe


def test_a_renewal_that_comes_too_late_proves_nothing():
    clock = ManualClock()
    lease = Lease(clock.monotonic, 30)
    clock.advance(29)
    asked = clock.monotonic()
    clock.advance(2)
    lease.renewed(asked)
    assert not lease.is_safe


async def test_extensions_keep_a_long_round_safe(monkeypatch):
    """Batches of one round may begin long after its claim, as long as that is extended."""
    monkeypatch.setattr("gp_aiogram.delivery.lane.LEASE", 0.3)
    outbox = WatchedOutbox(SystemClock())
    shop = Batching()
    lane = lane_to(shop, outbox)
    await accept(outbox, "e1")
    prepare = lane._sender._prepare

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(0.6)
        return await prepare(*arguments)

    monkeypatch.setattr(lane._sender, "_prepare", slowly)
    await lane.run_once()
    assert shop.taken == ["e1"]
