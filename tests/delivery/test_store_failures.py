"""A store that fails ends no delivery and loses no event."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fixtures.delivery import (
    SOON,
    Picky,
    Scripted,
    WatchedOutbox,
    accept,
    numbered,
    states,
    the,
    until,
)
from gp_aiogram import Event, StoreError
from gp_aiogram.delivery.lane import LEASE

FULL = StoreError("disk full")


def fail_once(
    outbox: WatchedOutbox,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: BaseException = FULL,
) -> list[str]:
    """Have the next call of this method fail, and tell when it has."""
    works, failed = getattr(outbox, name), []

    async def fails(*args: Any, **options: Any) -> Any:
        if not failed:
            failed.append(name)
            raise error
        return await works(*args, **options)

    monkeypatch.setattr(outbox, name, fails)
    return failed


async def test_an_outcome_that_cannot_be_stored_is_stored_later_and_not_sent_again(
    outbox, house, monkeypatch, caplog
):
    failed = fail_once(outbox, monkeypatch, "settle")
    shop = Scripted()
    await accept(outbox, "e1", "e2")
    courier = house(shop)
    await until(lambda: failed)
    assert await courier.flush(SOON)
    assert sorted(shop.taken) == ["e1", "e2"]
    assert await states(outbox) == {"delivered": 2}
    assert "an outcome could not be stored" in caplog.text


@pytest.mark.parametrize("name", ["claim", "settle", "wait"])
async def test_a_store_that_fails_does_not_end_delivery(outbox, house, monkeypatch, caplog, name):
    monkeypatch.setattr("gp_aiogram.delivery.sending.SETTLE_PAUSES", ())
    failed = fail_once(outbox, monkeypatch, name)
    shop = Scripted()
    await accept(outbox, "e1", "e2")
    courier = house(shop)
    await until(lambda: failed)
    await until(lambda: "the store failed, trying again" in caplog.text)
    await accept(outbox, "e3")
    await until(lambda: "e3" in shop.taken)
    # What could not be settled comes back when its lease is over.
    outbox.advance(LEASE + 1)
    await until(lambda: len(shop.taken) >= (4 if name == "settle" else 3))
    assert await courier.flush(SOON)
    assert await states(outbox) == {"delivered": 3}


async def test_a_store_that_fails_during_the_search_loses_nothing(outbox, house, monkeypatch):
    monkeypatch.setattr("gp_aiogram.delivery.sending.SETTLE_PAUSES", ())
    failed = fail_once(outbox, monkeypatch, "settle")
    shop = Picky(["e0002"])
    await accept(outbox, *numbered(8))
    courier = house(shop)
    await until(lambda: failed)
    await until(lambda: not courier.lanes["shop"].busy)
    outbox.advance(LEASE + 1)
    await until(lambda: set(shop.taken) == set(numbered(8)) - {"e0002"})
    assert await courier.flush(SOON)
    assert await states(outbox) == {"delivered": 7, "dead": 1}


async def test_when_settling_fails_the_other_requests_of_the_round_are_still_waited_for(
    outbox, house, monkeypatch
):
    async def slow(_: Sequence[Event]) -> None:
        await asyncio.sleep(0.03)

    failed = fail_once(outbox, monkeypatch, "settle")
    shop = Scripted(None, slow)
    await accept(outbox, "e1", "e2")
    courier = house(shop)
    await until(lambda: failed)
    assert courier.lanes["shop"].busy
    assert await courier.flush(SOON)
    assert (await the(outbox, "e2")).state == "delivered"


async def test_when_the_remains_cannot_be_claimed_the_fresh_events_are_given_back(
    outbox, house, monkeypatch
):
    async def claim(*args: Any, **options: Any) -> Any:
        if options.get("capped"):
            monkeypatch.setattr(outbox, "claim", works)
            raise FULL
        return await works(*args, **options)

    works = outbox.claim
    monkeypatch.setattr(outbox, "claim", claim)
    shop = Scripted()
    await accept(outbox, "e1", "e2")
    house(shop)
    await until(lambda: sorted(shop.taken) == ["e1", "e2"])


@pytest.mark.parametrize("name", ["claim", "settle", "wait"])
async def test_a_store_that_cancels_itself_does_not_end_delivery(
    outbox, house, monkeypatch, caplog, name
):
    failed = fail_once(outbox, monkeypatch, name, asyncio.CancelledError())
    shop = Scripted()
    await accept(outbox, "e1")
    house(shop)
    await until(lambda: failed)
    await accept(outbox, "e2")
    await until(lambda: "e2" in shop.taken)
    assert "shop: delivery ended by itself, starting it again" in caplog.text
