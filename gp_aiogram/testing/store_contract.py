"""The contracts of :mod:`gp_aiogram.stores.contract`, to be subclassed in a test module."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta

from gp_aiogram.model.session import Session, SessionQuery, pick
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.keys import OnceKey
from gp_aiogram.stores.records import ContextQuery, DeliveryFilter, Profile, UserContext
from gp_aiogram.testing.accept_contract import AcceptContract
from gp_aiogram.testing.capped_contract import CappedContract
from gp_aiogram.testing.claim_contract import ClaimContract
from gp_aiogram.testing.erasure_contract import ErasureContract
from gp_aiogram.testing.listing_contract import EventListingContract
from gp_aiogram.testing.oldest_contract import OldestContract
from gp_aiogram.testing.once_keys_contract import OnceKeysContract
from gp_aiogram.testing.profile_store_contract import ProfileStoreContract
from gp_aiogram.testing.samples import (
    ALL,
    BOT,
    CLICK,
    CLICKED_AT,
    OTHER_USER,
    USER,
    entry,
    ids,
    key,
)
from gp_aiogram.testing.select_contract import SelectContract
from gp_aiogram.testing.session_store_contract import SessionStoreContract
from gp_aiogram.testing.settle_contract import SettleContract
from gp_aiogram.testing.transition_contract import TransitionContract
from gp_aiogram.testing.wait_contract import WaitContract

TRAITS = {"meta": {"em": "a" * 64}}
KEYS = (key("k1"), key("k2"))

EARLY = Session(BOT, USER, "gp_a", "start", CLICKED_AT, "gp_a")
LATE = Session(BOT, USER, "gp_b", "invite", CLICKED_AT + timedelta(days=1), "gp_b")


class OutboxContract(
    AcceptContract,
    OnceKeysContract,
    ClaimContract,
    CappedContract,
    WaitContract,
    SettleContract,
    SelectContract,
    EventListingContract,
    OldestContract,
    TransitionContract,
    ErasureContract,
):
    """What every outbox must do."""


class StoreContract(SessionStoreContract, ProfileStoreContract, OutboxContract):
    """What every store must do."""

    async def introduce(self, store: Store) -> None:
        """Store two touches of a user, the click of the first, traits and a once-key."""
        for session in (EARLY, LATE):
            await store.sessions.add(session)
        await store.profiles.add_click("gp_a", CLICK)
        await store.profiles.add_traits(USER, TRAITS)
        await store.outbox.add_keys(KEYS[:1])

    async def load(
        self,
        store: Store,
        query: SessionQuery,
        keys: Collection[OnceKey] = KEYS,
        session_id: str | None = None,
    ) -> UserContext:
        """Load a context that nothing failed in."""
        context = await store.load_context(ContextQuery(query, session_id, keys))
        assert dict(context.failures) == {}
        return context._replace(keys=set(context.keys), failures={})

    async def test_what_is_known_of_a_user_is_told_at_once(self, store: Store) -> None:
        await self.introduce(store)
        queries = [
            SessionQuery(USER, BOT, first=True),
            SessionQuery(USER),
            SessionQuery(USER, BOT, first=True, preferred=["invite"]),
            SessionQuery(USER, BOT, since=EARLY.at, until=EARLY.at),
            SessionQuery(USER, BOT + 1),
            SessionQuery(OTHER_USER, BOT),
        ]
        first, last, preferred, before, foreign, stranger = await asyncio.gather(
            *(self.load(store, query) for query in queries),
        )
        known, nothing = {KEYS[0]}, dict[str, Exception]()
        assert first == before == UserContext(EARLY, Profile(CLICK, TRAITS), known, nothing)
        assert last == preferred == UserContext(LATE, Profile(None, TRAITS), known, nothing)
        assert foreign == UserContext(None, Profile(None, TRAITS), known, nothing)
        assert stranger == UserContext(None, Profile(), known, nothing)

    async def test_a_session_that_is_named_is_not_looked_for(self, store: Store) -> None:
        await self.introduce(store)
        context = await self.load(store, SessionQuery(USER, BOT), session_id="gp_a")
        assert context.session is None
        assert context.profile == Profile(CLICK, TRAITS)
        unknown = await self.load(store, SessionQuery(USER, BOT), session_id="gp_c")
        assert unknown.profile == Profile(None, TRAITS)

    async def test_without_keys_in_question_none_is_known(self, store: Store) -> None:
        await self.introduce(store)
        context = await self.load(store, SessionQuery(USER, BOT), keys=())
        assert context.keys == set()
        assert context.session == LATE

    async def test_the_touch_that_counts_is_the_one_picked(self, store: Store) -> None:
        await self.introduce(store)
        history = await store.sessions.history(USER)
        for query in (
            SessionQuery(USER, BOT),
            SessionQuery(USER, BOT, first=True),
            SessionQuery(USER, first=True, preferred=["invite"]),
            SessionQuery(USER, BOT, until=LATE.at - timedelta(hours=1)),
            SessionQuery(USER, BOT, since=LATE.at + timedelta(hours=1)),
            SessionQuery(USER, BOT + 1),
        ):
            expected = pick(history, query)
            assert await store.find_session(query) == expected
            assert (await self.load(store, query)).session == expected

    async def test_what_one_has_written_another_reads(self, store: Store) -> None:
        async def record(number: int) -> UserContext:
            await store.outbox.accept(entry(f"e{number}", once=[key(f"own {number}")]))
            await store.sessions.add(Session(BOT, number, f"gp_{number}", "start", CLICKED_AT, ""))
            return await self.load(store, SessionQuery(number, BOT), [key(f"own {number}")])

        contexts = await asyncio.gather(*(record(number) for number in range(1, 51)))
        for number, context in enumerate(contexts, 1):
            assert context.session is not None
            assert context.session.session_id == f"gp_{number}"
            assert context.keys == {key(f"own {number}")}

    async def test_a_store_closes_and_opens_as_a_whole(self, store: Store) -> None:
        await store.open()
        await self.introduce(store)
        await store.outbox.accept(entry("e1"))
        await store.close()
        await store.close()
        await store.open()
        context = await self.load(store, SessionQuery(USER, BOT, first=True))
        assert (context.session, context.profile) == (EARLY, Profile(CLICK, TRAITS))
        assert ids(await store.outbox.select(DeliveryFilter(), limit=ALL)) == ["e1"]
