"""For the tests of those who use gp_aiogram: a clock to turn, and what every store must do.

::

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self, clock):
            store = MyStore(clock=clock)
            await store.open()
            yield store
            await store.close()

With :class:`SessionStoreContract`, :class:`ProfileStoreContract` or :class:`OutboxContract` the
fixture ``store`` gives that part alone.

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
    "gp_aiogram.testing.profile_store_contract",
    "gp_aiogram.testing.select_contract",
    "gp_aiogram.testing.session_store_contract",
    "gp_aiogram.testing.settle_contract",
    "gp_aiogram.testing.store_contract",
    "gp_aiogram.testing.transition_contract",
    "gp_aiogram.testing.wait_contract",
)

from gp_aiogram.testing.manual_clock import ManualClock  # noqa: E402 - see above
from gp_aiogram.testing.profile_store_contract import ProfileStoreContract  # noqa: E402
from gp_aiogram.testing.session_store_contract import SessionStoreContract  # noqa: E402
from gp_aiogram.testing.store_contract import OutboxContract, StoreContract  # noqa: E402

__all__ = [
    "ManualClock",
    "OutboxContract",
    "ProfileStoreContract",
    "SessionStoreContract",
    "StoreContract",
]
