"""For the tests of those who use gp_aiogram: a clock to turn, and what every store must do.

::

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self, clock):
            store = MyStore(clock=clock)
            await store.open()
            yield store
            await store.close()

Needs pytest and pytest-asyncio: ``pip install gp-aiogram[testing]``.
"""

import pytest

# Before the import, so that a failed assertion of the contract shows its values.
pytest.register_assert_rewrite("gp_aiogram.testing.store_contract")

from gp_aiogram.testing.manual_clock import ManualClock  # noqa: E402 - see above
from gp_aiogram.testing.store_contract import (  # noqa: E402 - see above
    OutboxContract,
    SessionStoreContract,
    StoreContract,
)

__all__ = ["ManualClock", "OutboxContract", "SessionStoreContract", "StoreContract"]
