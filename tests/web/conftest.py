"""What the tests of the gateway share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fixtures.gateway import Client, gateway_of
from gp_aiogram import Tracker


@pytest.fixture
async def client(tracker: Tracker) -> AsyncIterator[Client]:
    """A client of a gateway on the tracker that delivers to the recorder."""
    async with gateway_of(tracker) as client:
        yield client
