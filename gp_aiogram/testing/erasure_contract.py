"""What every outbox must do when events are erased."""
# ruff: noqa: PLR2004, S101 - it is a test suite

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import DeliveryFilter, Outcome, State
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    ALL,
    BOT,
    LEASE,
    OTHER_BOT,
    OTHER_USER,
    USER,
    claim_all,
    claim_one,
    deliveries_of,
    entry,
    fill,
    ids,
    key,
    sample,
)

DAY = timedelta(days=1)
OF_USER = DeliveryFilter(telegram_id=USER)


class ErasureContract(Contract):
    """``erase`` of an outbox."""

    async def prune(
        self,
        outbox: Outbox,
        clock: Any,
        age: timedelta,
        *states: State,
        limit: int = ALL,
    ) -> int:
        """Erase events that are older and whose deliveries are in these states."""
        before = datetime.fromtimestamp(self.now(clock), timezone.utc) - age
        where = DeliveryFilter(accepted_before=before, states=frozenset(states))
        return await outbox.erase(where, limit=limit)

    async def test_an_erased_user_leaves_no_event(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2", to=["a", "b"])
        await outbox.accept(entry(sample("e3", telegram_id=OTHER_USER)))
        await outbox.settle([Outcome(await claim_one(outbox), "delivered")])
        assert await outbox.erase(OF_USER, limit=ALL) == 2
        assert await outbox.erase(OF_USER, limit=ALL) == 0
        assert await deliveries_of(outbox, "e1") == []
        assert await outbox.counts() == {"a": {"pending": 1}}
        assert ids(await claim_all(outbox)) == ["e3"]
        assert await outbox.bot_of(USER) is None

    async def test_erased_events_are_known_all_the_same(self, outbox: Outbox) -> None:
        await outbox.accept(entry("e1", once=[key("k")]))
        await outbox.erase(OF_USER, limit=ALL)
        assert await outbox.accept(entry("e1")) == "duplicate"
        assert await outbox.accept(entry("e2", once=[key("k")])) == "duplicate"
        assert await outbox.accept(entry("k")) == "stored"
        assert await outbox.accept(entry("e3", once=[key("e1")])) == "stored"

    async def test_erased_events_are_known_by_id_and_name(self, outbox: Outbox) -> None:
        await outbox.accept(entry("e1"))
        await outbox.accept(entry(sample(name="FTD")))
        await outbox.erase(OF_USER, limit=1)
        (left,) = await deliveries_of(outbox, "e1")
        assert left.event.name == "FTD"
        for name, result in (("REG", "duplicate"), ("FTD", "duplicate"), ("Buy", "stored")):
            assert await outbox.accept(entry(sample(name=name))) == result

    async def test_an_outcome_of_an_erased_event_changes_nothing(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        held = await claim_one(outbox)
        await outbox.erase(OF_USER, limit=ALL)
        await fill(outbox, "e2")
        await outbox.settle([Outcome(held, "delivered")])
        await outbox.release([held])
        assert await outbox.counts() == {"a": {"pending": 1}}
        assert ids(await claim_all(outbox)) == ["e2"]

    async def test_an_erased_event_spoils_no_other_of_its_claim(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2")
        claim = await outbox.claim("a", 2, lease=LEASE)
        await outbox.erase(DeliveryFilter(event_id="e1"), limit=ALL)
        await outbox.extend(claim, LEASE)
        await outbox.settle([Outcome(delivery, "delivered") for delivery in claim.deliveries])
        assert await outbox.counts() == {"a": {"delivered": 1}}

    async def test_what_is_erased_at_once_with_a_claim_is_gone(self, outbox: Outbox) -> None:
        await fill(outbox, *(f"e{n}" for n in range(50)))
        claim, *_ = await asyncio.gather(
            outbox.claim("a", 20, lease=LEASE),
            outbox.erase(OF_USER, limit=ALL),
            outbox.claim("a", 20, lease=LEASE),
        )
        await outbox.settle([Outcome(delivery, "dead") for delivery in claim.deliveries])
        assert await outbox.counts() == {}
        assert await outbox.select(DeliveryFilter()) == []

    async def test_what_is_erased_at_once_with_its_outcome_is_gone(self, outbox: Outbox) -> None:
        await fill(outbox, *(f"e{n}" for n in range(50)))
        held = await claim_all(outbox)
        await asyncio.gather(
            *(outbox.settle([Outcome(delivery, "dead")]) for delivery in held[::2]),
            outbox.erase(OF_USER, limit=ALL),
            *(outbox.settle([Outcome(delivery, "dead")]) for delivery in held[1::2]),
        )
        assert await outbox.counts() == {}

    async def test_old_events_are_pruned_by_what_became_of_them(
        self, outbox: Outbox, clock: Any
    ) -> None:
        await fill(outbox, "delivered", "dead", "pending", "skipped")
        await outbox.accept(entry("for nobody", []))
        for delivery in await claim_all(outbox):
            state: Any = delivery.event.event_id
            await outbox.settle([Outcome(delivery, state)])
        await self.advance(clock, DAY.total_seconds())
        await fill(outbox, "young")
        settled: tuple[State, ...] = ("delivered", "skipped")
        assert await self.prune(outbox, clock, 2 * DAY, *settled, "dead") == 0
        assert await self.prune(outbox, clock, DAY / 2, *settled, limit=2) == 2
        assert await self.prune(outbox, clock, DAY / 2, *settled) == 1
        assert await outbox.counts() == {"a": {"dead": 1, "pending": 2}}
        assert await self.prune(outbox, clock, DAY / 2, *settled, "dead") == 1
        assert await outbox.counts() == {"a": {"pending": 2}}
        assert await outbox.accept(entry("delivered")) == "duplicate"
        assert await outbox.accept(entry("for nobody")) == "duplicate"

    async def test_an_event_is_erased_when_all_its_deliveries_are_meant(
        self, outbox: Outbox
    ) -> None:
        await fill(outbox, "both", to=("a", "b"))
        await fill(outbox, "only a")
        await outbox.settle([Outcome(claimed, "delivered") for claimed in await claim_all(outbox)])
        delivered = DeliveryFilter(states=frozenset({"delivered"}))
        assert await outbox.erase(delivered, limit=ALL) == 1
        assert await deliveries_of(outbox, "only a") == []
        assert len(await deliveries_of(outbox, "both")) == 2
        either = DeliveryFilter(states=frozenset({"delivered", "pending"}))
        assert await outbox.erase(either, limit=ALL) == 1
        assert await outbox.counts() == {}

    async def test_events_of_one_destination_are_erased(self, outbox: Outbox) -> None:
        await fill(outbox, "both", to=("a", "b"))
        await fill(outbox, "only a")
        await fill(outbox, "only b", to=("b",))
        assert await outbox.erase(DeliveryFilter(destination="a"), limit=ALL) == 1
        assert await outbox.counts() == {"a": {"pending": 1}, "b": {"pending": 2}}

    async def test_what_may_have_been_delivered_may_be_left(self, outbox: Outbox) -> None:
        await fill(outbox, "maybe", "surely not", "delivered")
        maybe, surely_not, delivered = await claim_all(outbox)
        await outbox.settle(
            [
                Outcome(maybe, "dead", maybe_delivered=True),
                Outcome(surely_not, "dead"),
                Outcome(delivered, "delivered"),
            ],
        )
        where = DeliveryFilter(states=frozenset({"dead"}), maybe_delivered=False)
        assert await outbox.erase(where, limit=ALL) == 1
        assert ids(await outbox.select(DeliveryFilter())) == ["maybe", "delivered"]

    async def test_an_event_without_deliveries_is_meant_by_itself(self, outbox: Outbox) -> None:
        await outbox.accept(entry(sample("mine", bot_id=BOT), [], order="o1"))
        await outbox.accept(entry(sample("others", telegram_id=OTHER_USER), []))
        for where in (
            DeliveryFilter(order="o2"),
            DeliveryFilter(event_id="x"),
            DeliveryFilter(bot_id=OTHER_BOT, order="o1"),
        ):
            assert await outbox.erase(where, limit=ALL) == 0
        where = DeliveryFilter(
            telegram_id=USER, destination="a", states=frozenset({"dead"}), unclaimed=True
        )
        assert await outbox.erase(where, limit=ALL) == 1
        assert await outbox.bot_of(USER) is None
        assert await outbox.accept(entry("mine")) == "duplicate"
        assert await outbox.erase(DeliveryFilter(), limit=ALL) == 1

    async def test_what_is_claimed_may_be_left(self, outbox: Outbox, clock: Any) -> None:
        await fill(outbox, "e1", "e2")
        await claim_one(outbox)
        unclaimed = DeliveryFilter(telegram_id=USER, unclaimed=True)
        assert await outbox.erase(unclaimed, limit=ALL) == 1
        assert ids(await outbox.select(DeliveryFilter())) == ["e1"]
        await self.advance(clock, LEASE + 1)
        assert await outbox.erase(unclaimed, limit=ALL) == 1

    async def test_the_oldest_are_erased_first(self, outbox: Outbox) -> None:
        await fill(outbox, "c", "a", "b", to=("x", "y"))
        assert await outbox.erase(DeliveryFilter(), limit=0) == 0
        assert await outbox.erase(DeliveryFilter(), limit=1) == 1
        assert ids(await outbox.select(DeliveryFilter())) == ["a", "a", "b", "b"]
        assert await outbox.erase(DeliveryFilter(), limit=ALL) == 2

    async def test_the_bot_of_a_user_is_of_what_is_left(self, outbox: Outbox) -> None:
        await outbox.accept(entry(sample("e1", bot_id=BOT)))
        await outbox.accept(entry(sample("e2", bot_id=OTHER_BOT)))
        await outbox.erase(DeliveryFilter(bot_id=OTHER_BOT), limit=ALL)
        assert await outbox.bot_of(USER) == BOT

    async def test_a_capped_delivery_is_erased(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", "e2")
        await outbox.settle(
            [Outcome(claimed, "pending", batch_cap=1) for claimed in await claim_all(outbox)],
        )
        await outbox.erase(DeliveryFilter(event_id="e1"), limit=ALL)
        assert ids(await claim_all(outbox, capped=True)) == ["e2"]
        assert list(await claim_all(outbox, capped=True)) == []

    async def test_what_was_erased_stays_so_when_the_outbox_is_opened_again(
        self, outbox: Outbox
    ) -> None:
        await outbox.open()
        await outbox.accept(entry(sample("e1", bot_id=BOT), once=[key("k")]))
        await outbox.add_keys([key("extra")])
        await outbox.erase(OF_USER, limit=ALL)
        await outbox.close()
        await outbox.open()
        known = await outbox.known_keys([key("k"), key("extra"), key("new")])
        assert known == {key("k"), key("extra")}
        assert await outbox.accept(entry("e1")) == "duplicate"
        assert await outbox.counts() == {}
