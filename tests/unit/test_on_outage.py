"""``on_outage="journal"``: a payment service whose database is away keeps what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.delivery import until
from fixtures.recorder import Recorder
from gp_aiogram import EventError, MemoryStore, StoreError, StoreUnavailable, Tracker
from gp_aiogram.stores.records import DeliveryFilter

Call = Callable[[Tracker, Any], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "track": lambda tracker, way: tracker.track(
        "Purchase", telegram_id=7, value=5, once="o1", on_outage=way
    ),
    "deposit": lambda tracker, way: tracker.deposit(
        telegram_id=7, value=5, once="o1", on_outage=way
    ),
    "refund": lambda tracker, way: tracker.refund("o1", telegram_id=7, on_outage=way),
}


def fail(store: MemoryStore, patch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Have the store's outbox fail in every call that recording needs."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        raise error

    for name in ("accept", "known_keys", "select", "transition", "add_keys"):
        patch.setattr(store.outbox, name, call)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gp.journal"


def new_tracker(store: MemoryStore, path: Path | None) -> Tracker:
    return Tracker([Recorder()], store=store, journal=path)


async def recorded(store: MemoryStore) -> list[str]:
    found = await store.outbox.select(DeliveryFilter(telegram_id=7))
    return [delivery.event.name for delivery in found]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_an_outage_is_raised_unless_the_journal_is_asked_for(
    store: MemoryStore, path: Path, call: Call
) -> None:
    async with new_tracker(store, path) as tracker:
        with pytest.MonkeyPatch.context() as patch:
            fail(store, patch, StoreUnavailable("away"))
            with pytest.raises(StoreUnavailable, match="away"):
                await call(tracker, "raise")
            assert not path.exists()
            assert (await call(tracker, "journal")).telegram_id == 7
            assert path.exists()
        await until(lambda: not tracker.intake.waiting)
        assert not path.exists()


async def test_a_deposit_is_decided_when_the_store_is_back(store: MemoryStore, path: Path) -> None:
    async with new_tracker(store, path) as tracker:
        with pytest.MonkeyPatch.context() as patch:
            fail(store, patch, StoreUnavailable("away"))
            events = [
                await tracker.deposit(telegram_id=7, value=5, once=order, on_outage="journal")
                for order in ("o1", "o1", "o2")
            ]
        assert [event and event.name for event in events] == ["DEP"] * 3
        await until(lambda: not tracker.intake.waiting)
        assert await recorded(store) == ["FTD", "DEP"]
        assert await CALLS["deposit"](tracker, "journal") is None


async def test_a_store_that_does_not_answer_is_away(
    store: MemoryStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*args: Any, **kwargs: Any) -> Any:
        await asyncio.Event().wait()

    async with new_tracker(store, path) as tracker:
        with monkeypatch.context() as patch:
            patch.setattr(store.outbox, "accept", hang)
            assert await CALLS["track"](tracker, "journal") is not None
            assert path.exists()
        await tracker.intake.close()
    async with new_tracker(store, path) as tracker:
        await until(lambda: not tracker.intake.waiting)
        assert await recorded(store) == ["Purchase"]


@pytest.mark.parametrize("error", [StoreError("wrong password"), ZeroDivisionError()])
async def test_what_is_no_outage_is_raised(
    store: MemoryStore, path: Path, error: Exception
) -> None:
    async with new_tracker(store, path) as tracker:
        with pytest.MonkeyPatch.context() as patch:
            fail(store, patch, error)
            with pytest.raises(type(error)):
                await CALLS["track"](tracker, "journal")
        assert not path.exists()


async def test_a_caller_is_not_told_that_memory_has_it(store: MemoryStore, tmp_path: Path) -> None:
    """The disk fails as well: whoever answers 200 now would lose the payment by a kill."""
    (tmp_path / "file").touch()
    async with new_tracker(store, tmp_path / "file" / "gp.journal") as tracker:
        with pytest.MonkeyPatch.context() as patch:
            fail(store, patch, StoreUnavailable("away"))
            with pytest.raises(StoreUnavailable, match="away"):
                await CALLS["track"](tracker, "journal")
        assert tracker.intake.waiting == 0
        assert tracker.counts["lost"] == 0


async def test_without_a_journal_on_the_disk_it_is_refused(store: MemoryStore) -> None:
    async with new_tracker(store, None) as tracker:
        with pytest.raises(EventError, match="journal"):
            await CALLS["track"](tracker, "journal")


async def test_a_misspelt_way_is_refused(store: MemoryStore, path: Path) -> None:
    async with new_tracker(store, path) as tracker:
        with pytest.raises(EventError, match="'raise' or 'journal', not 'spool'"):
            await CALLS["track"](tracker, "spool")


async def test_what_makes_no_sense_is_raised_all_the_same(store: MemoryStore, path: Path) -> None:
    async with new_tracker(store, path) as tracker:
        with pytest.raises(EventError):
            await tracker.track("Purchase", telegram_id=7, on_outage="journal")


async def test_with_a_transaction_of_the_callers_it_is_refused(
    store: MemoryStore, path: Path
) -> None:
    async with new_tracker(store, path) as tracker:
        with pytest.raises(EventError, match="connection="):
            await tracker.track("REG", telegram_id=7, connection=object(), on_outage="journal")
