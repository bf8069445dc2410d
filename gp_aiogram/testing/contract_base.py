"""What the contracts share: the two fixtures, and how time passes."""

from __future__ import annotations

from typing import Any

import pytest

from gp_aiogram.testing.manual_clock import ManualClock


@pytest.mark.asyncio
class Contract:
    """Override the fixture ``store``.

    Override the rest as well when the store tells the time by the clock of its server.
    """

    @pytest.fixture
    def clock(self) -> Any:
        """The clock that the store is built over."""
        return ManualClock()

    @pytest.fixture
    def store(self, clock: Any) -> Any:
        """The store to test, built over ``clock``: opened before, closed after."""
        msg = "override the fixture `store`: open a store over `clock`, yield it, close it"
        raise NotImplementedError(msg)

    async def advance(self, clock: Any, seconds: float) -> None:
        """Let time pass for the store."""
        clock.advance(seconds)

    async def jump(self, clock: Any, seconds: float) -> None:
        """Set the store's wall clock forth, or back when negative, while no time passes."""
        clock.jump(seconds)

    def now(self, clock: Any) -> float:
        """What the store's wall clock shows, seconds since the Unix epoch."""
        return float(clock.time())
