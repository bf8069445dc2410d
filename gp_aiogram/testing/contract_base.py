"""What the contracts share: the fixtures to override, and how time passes."""

from __future__ import annotations

from typing import Any

import pytest

from gp_aiogram.stores.contract import Outbox, ProfileStore, SessionStore, Store, UserStore
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
        """What to test, built over ``clock``: opened before, closed after.

        A whole :class:`~gp_aiogram.stores.contract.Store`, or the part that the contract is about.
        """
        msg = "override the fixture `store`: open a store over `clock`, yield it, close it"
        raise NotImplementedError(msg)

    @pytest.fixture
    def sessions(self, store: Any) -> SessionStore:
        """The session store: ``store`` itself, or a part of it."""
        part: SessionStore = store.sessions if isinstance(store, UserStore) else store
        return part

    @pytest.fixture
    def profiles(self, store: Any) -> ProfileStore:
        """The profile store: ``store`` itself, or a part of it."""
        part: ProfileStore = store.profiles if isinstance(store, UserStore) else store
        return part

    @pytest.fixture
    def outbox(self, store: Any) -> Outbox:
        """The outbox: ``store`` itself, or a part of it."""
        part: Outbox = store.outbox if isinstance(store, Store) else store
        return part

    async def advance(self, clock: Any, seconds: float) -> None:
        """Let time pass for the store."""
        clock.advance(seconds)

    async def jump(self, clock: Any, seconds: float) -> None:
        """Set the store's wall clock forth, or back when negative, while no time passes."""
        clock.jump(seconds)

    def now(self, clock: Any) -> float:
        """What the store's wall clock shows, seconds since the Unix epoch."""
        return float(clock.time())
