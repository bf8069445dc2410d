from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fixtures.delivery import WatchedOutbox, middle
from gp_aiogram import Destination
from gp_aiogram.delivery.courier import Courier
from gp_aiogram.testing import ManualClock


class House:
    """Couriers that are stopped when the test ends."""

    def __init__(self, outbox: WatchedOutbox) -> None:
        self.outbox = outbox
        self.couriers: list[Courier] = []

    def __call__(self, *destinations: Destination, started: bool = True) -> Courier:
        courier = Courier(destinations, self.outbox, clock=self.outbox.clock, random=middle)
        self.couriers.append(courier)
        if started:
            courier.start()
        return courier


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def outbox(clock: ManualClock) -> WatchedOutbox:
    return WatchedOutbox(clock)


@pytest.fixture
async def house(outbox: WatchedOutbox, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("gp_aiogram.delivery.courier._CLOSING", 0.05)
    monkeypatch.setattr("gp_aiogram.delivery.courier._RESTART_PAUSE", 0.01)
    monkeypatch.setattr("gp_aiogram.delivery.lane.STORE_PAUSE", 0.01)
    house = House(outbox)
    yield house
    for courier in house.couriers:
        await courier.stop(grace=0)
