"""What every outbox must do with failed tries, if it keeps them."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

from datetime import timedelta

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.records import Change, DeliveryFilter, Outcome, Span, Try
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import (
    ALL,
    NOON,
    claim_all,
    claim_one,
    deliveries_of,
    fill,
)

FIRST = Try(1, NOON + timedelta(milliseconds=123), "failed", 503, "HTTP 503: try later")
SECOND = Try(2, NOON + timedelta(minutes=1), "unsure", None, "no answer within 60 s")
LATER = Try(25, NOON + timedelta(days=1), "rejected", 400, "HTTP 400: no")
#: As no platform should answer, and as no version has written yet.
ODD = Try(1, NOON, "of a later version", None, '"quoted" 🎉, half of one \ud83c, and a nul \0\'')


class TriesContract(Contract):
    """The failed tries of deliveries.

    Keeping them is for outboxes that want to: add this contract to
    :class:`~gp_aiogram.testing.OutboxContract` then. Others show none.
    """

    async def test_what_was_not_tried_has_none(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        (seen,) = await deliveries_of(outbox, "e1")
        assert tuple(seen.tries) == ()
        claimed = await claim_one(outbox)
        assert tuple(claimed.tries) == ()
        await outbox.settle([Outcome(claimed, "delivered")])
        (delivered,) = await deliveries_of(outbox, "e1")
        assert tuple(delivered.tries) == ()

    async def test_failed_tries_are_told_wherever_the_delivery_is(self, outbox: Outbox) -> None:
        await fill(outbox, "e1", to=("a", "b"))
        tried = Outcome(await claim_one(outbox), "pending", attempts=2, tries=(FIRST, SECOND))
        await outbox.settle([tried])
        seen, untried = await deliveries_of(outbox, "e1")
        assert tuple(seen.tries) == (FIRST, SECOND)
        assert tuple(untried.tries) == ()
        (record,) = await outbox.events(DeliveryFilter(), Span())
        assert tuple(record.deliveries[0].tries) == (FIRST, SECOND)
        assert tuple((await claim_one(outbox)).tries) == (FIRST, SECOND)

    async def test_they_may_be_any_text(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "dead", tries=[ODD])])
        (dead,) = await deliveries_of(outbox, "e1")
        assert tuple(dead.tries) == (ODD,)

    async def test_an_outcome_that_names_none_keeps_them(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "pending", tries=(FIRST,))])
        await outbox.settle([Outcome(await claim_one(outbox), "pending", batch_cap=None)])
        await outbox.settle([Outcome(await claim_one(outbox), "delivered", receipt={"id": 1})])
        (delivered,) = await deliveries_of(outbox, "e1")
        assert (delivered.receipt, tuple(delivered.tries)) == ({"id": 1}, (FIRST,))

    async def test_the_last_that_are_named_count(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "pending", tries=(FIRST, SECOND))])
        await outbox.settle([Outcome(await claim_one(outbox), "dead", tries=(FIRST, LATER))])
        (dead,) = await deliveries_of(outbox, "e1")
        assert tuple(dead.tries) == (FIRST, LATER)

    async def test_each_of_many_has_its_own(self, outbox: Outbox) -> None:
        """Events of one request have the same outcome, but not the same history."""
        await fill(outbox, "e1", "e2", "e3", "e4")
        named = [(FIRST,), (FIRST, SECOND), (FIRST,), None]
        await outbox.settle(
            [
                Outcome(delivery, "pending", tries=tries)
                for delivery, tries in zip(await claim_all(outbox), named, strict=True)
            ],
        )
        seen = await outbox.select(DeliveryFilter())
        assert [tuple(one.tries) for one in seen] == [tuple(tries or ()) for tries in named]

    async def test_changes_keep_them(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "dead", tries=(FIRST,))])
        await outbox.transition(DeliveryFilter(), Change("pending", restart=True), limit=ALL)
        replayed = await claim_one(outbox)
        assert (replayed.attempts, tuple(replayed.tries)) == (0, (FIRST,))
        await outbox.settle([Outcome(replayed, "dead", tries=(FIRST, SECOND))])
        await outbox.transition(DeliveryFilter(), Change("skipped", "purged"), limit=ALL)
        (skipped,) = await deliveries_of(outbox, "e1")
        assert (skipped.reason, tuple(skipped.tries)) == ("purged", (FIRST, SECOND))

    async def test_an_outcome_under_an_old_token_names_none(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        old = await claim_one(outbox)
        await outbox.release([old])
        await outbox.settle([Outcome(old, "dead", tries=(FIRST,))])
        (seen,) = await deliveries_of(outbox, "e1")
        assert tuple(seen.tries) == ()

    async def test_they_outlive_closing(self, outbox: Outbox) -> None:
        await fill(outbox, "e1")
        await outbox.settle([Outcome(await claim_one(outbox), "pending", tries=(FIRST, SECOND))])
        await outbox.close()
        await outbox.open()
        assert tuple((await claim_one(outbox)).tries) == (FIRST, SECOND)
