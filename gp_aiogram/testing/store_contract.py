"""The contracts of :mod:`gp_aiogram.stores.contract`, to be subclassed in a test module."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.records import Acceptance, Known, Profile
from gp_aiogram.testing.accept_contract import AcceptContract
from gp_aiogram.testing.claim_contract import ClaimContract
from gp_aiogram.testing.erasure_contract import ErasureContract
from gp_aiogram.testing.profile_store_contract import ProfileStoreContract
from gp_aiogram.testing.samples import BOT, CLICK, OTHER_USER, USER, sample
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

    async def test_what_is_kept_is_decided_by_what_is_known(self, store: Store) -> None:
        await store.add_keys(["stop 7", "stop 9"])

        def keep(telegram_id: int) -> Any:
            event = sample(f"e{telegram_id}", telegram_id=telegram_id)

            def decide(known: Known) -> Acceptance | None:
                return None if known.keys else Acceptance(event, ["a"], {"k"}, "o")

            return store.accept_knowing(decide, telegram_id, BOT, keys=[f"stop {telegram_id}"])

        (none, refused), (eight, kept), (_, refused_too), (ten, known_key) = [
            await keep(telegram_id) for telegram_id in (7, 8, 9, 10)
        ]
        assert (none, refused, refused_too) == (None, False, False)
        assert (eight.event.event_id, kept) == ("e8", True)
        assert (ten.event.event_id, known_key) == ("e10", False)
        assert await store.known_keys(["k"]) == {"k"}
        assert [one.event for one in await store.claim("a", 9, lease=60)] == [eight.event]
        assert len(await store.cancel("o", "no")) == 1

    async def test_a_decision_that_fails_harms_nobody(self, store: Store) -> None:
        def decide(known: Known) -> Acceptance | None:
            raise LookupError(known)

        wishes = [
            store.accept_knowing(lambda _: Acceptance(sample("e1"), ["a"]), USER, BOT, keys=()),
            store.accept_knowing(decide, USER, BOT, keys=()),
            store.accept_knowing(lambda _: Acceptance(sample("e2"), ["a"]), USER, None, keys=()),
        ]
        first, failure, second = await asyncio.gather(*wishes, return_exceptions=True)
        assert isinstance(failure, LookupError)
        assert not isinstance(first, BaseException)
        assert not isinstance(second, BaseException)
        assert (first[1], second[1]) == (True, True)
        assert await store.counts() == {"a": {"pending": 2}}
