"""For your tests: recorded events, a clock, and the contracts of stores.

In pytest, the fixtures ``gp_events``, ``gp_sandbox`` and ``gp_clock`` need no import.
Test your own store with a contract:

::

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self, clock):
            store = MyStore(clock=clock)
            await store.open()
            yield store
            await store.close()

With :class:`SessionStoreContract`, :class:`ProfileStoreContract` or :class:`OutboxContract`, the
fixture ``store`` returns that part alone. :class:`TriesContract` is for
outboxes that keep the failed attempts of deliveries.

Needs pytest and pytest-asyncio: ``pip install gp-aiogram[testing]``.
"""

import pytest

# Before the imports, so that a failed assertion of a contract shows its values.
pytest.register_assert_rewrite(
    "gp_aiogram.testing.accept_contract",
    "gp_aiogram.testing.capped_contract",
    "gp_aiogram.testing.claim_contract",
    "gp_aiogram.testing.erasure_contract",
    "gp_aiogram.testing.once_keys_contract",
    "gp_aiogram.testing.oldest_contract",
    "gp_aiogram.testing.profile_store_contract",
    "gp_aiogram.testing.select_contract",
    "gp_aiogram.testing.session_store_contract",
    "gp_aiogram.testing.settle_contract",
    "gp_aiogram.testing.store_contract",
    "gp_aiogram.testing.transition_contract",
    "gp_aiogram.testing.tries_contract",
    "gp_aiogram.testing.wait_contract",
)

from gp_aiogram.testing.catching import (  # noqa: E402 - see above
    assert_not_tracked,
    assert_tracked,
    caught,
)
from gp_aiogram.testing.expected import Expected, tracked  # noqa: E402
from gp_aiogram.testing.manual_clock import ManualClock  # noqa: E402
from gp_aiogram.testing.profile_store_contract import ProfileStoreContract  # noqa: E402
from gp_aiogram.testing.recorded import RecordedEvents  # noqa: E402
from gp_aiogram.testing.recorded_event import RecordedEvent  # noqa: E402
from gp_aiogram.testing.recording_destination import RecordingDestination  # noqa: E402
from gp_aiogram.testing.session_store_contract import SessionStoreContract  # noqa: E402
from gp_aiogram.testing.store_contract import OutboxContract, StoreContract  # noqa: E402
from gp_aiogram.testing.tries_contract import TriesContract  # noqa: E402

__all__ = [
    "Expected",
    "ManualClock",
    "OutboxContract",
    "ProfileStoreContract",
    "RecordedEvent",
    "RecordedEvents",
    "RecordingDestination",
    "SessionStoreContract",
    "StoreContract",
    "TriesContract",
    "assert_not_tracked",
    "assert_tracked",
    "caught",
    "tracked",
]
