"""The contracts of :mod:`gp_aiogram.stores.base`, to be subclassed in a test module."""

from __future__ import annotations

from gp_aiogram.testing.accept_contract import AcceptContract
from gp_aiogram.testing.claim_contract import ClaimContract
from gp_aiogram.testing.erasure_contract import ErasureContract
from gp_aiogram.testing.profile_store_contract import ProfileStoreContract
from gp_aiogram.testing.session_store_contract import SessionStoreContract
from gp_aiogram.testing.settle_contract import SettleContract


class OutboxContract(AcceptContract, ClaimContract, SettleContract, ErasureContract):
    """What every outbox must do."""


class StoreContract(SessionStoreContract, ProfileStoreContract, OutboxContract):
    """What every store must do."""
