"""The contracts of :mod:`gp_aiogram.stores.base`, to be subclassed in a test module."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from gp_aiogram.attribution import Session
from gp_aiogram.stores.base import Known, Profile, Store
from gp_aiogram.testing.accept_contract import AcceptContract
from gp_aiogram.testing.claim_contract import ClaimContract
from gp_aiogram.testing.erasure_contract import ErasureContract
from gp_aiogram.testing.profile_store_contract import ProfileStoreContract
from gp_aiogram.testing.samples import BOT, CLICK, OTHER_USER, USER
from gp_aiogram.testing.session_store_contract import SessionStoreContract
from gp_aiogram.testing.settle_contract import SettleContract

TRAITS = {"meta": {"em": "a" * 64}}


class OutboxContract(AcceptContract, ClaimContract, SettleContract, ErasureContract):
    """What every outbox must do."""


class StoreContract(SessionStoreContract, ProfileStoreContract, OutboxContract):
    """What every store must do."""

    async def test_what_is_known_of_a_user_is_told_at_once(self, store: Store) -> None:
        early = Session(BOT, USER, "gp_a", "start", CLICK.at, "gp_a")
        late = Session(BOT, USER, "gp_b", "invite", CLICK.at + timedelta(days=1), "gp_b")
        for session in (early, late):
            await store.add_session(session)
        await store.add_click("gp_a", CLICK)
        await store.add_traits(USER, TRAITS)
        await store.add_keys(["k1"])

        async def known(telegram_id: int, bot_id: int | None, **which: Any) -> Known:
            return await store.known(telegram_id, bot_id, keys=["k1", "k2"], **which)

        first, last, preferred, before, foreign, stranger = await asyncio.gather(
            known(USER, BOT, first=True),
            known(USER, None),
            known(USER, BOT, first=True, preferred=["invite"]),
            known(USER, BOT, since=early.at, until=early.at),
            known(USER, BOT + 1),
            known(OTHER_USER, BOT),
        )
        assert first == before == Known(early, Profile(CLICK, TRAITS), {"k1"})
        assert last == preferred == Known(late, Profile(None, TRAITS), {"k1"})
        assert foreign == Known(None, Profile(None, TRAITS), {"k1"})
        assert stranger == Known(None, Profile(), {"k1"})
