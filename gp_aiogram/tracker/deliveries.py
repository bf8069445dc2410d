"""Tells what became of events, and tries again what was given up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from gp_aiogram.delivery.courier import Courier
from gp_aiogram.delivery.stats import DestinationStats, Stats, TrackerCount
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.stores.records import Change, Delivery, DeliveryFilter
from gp_aiogram.tracker.intake import Intake
from gp_aiogram.tracker.pages import PAGE, every_page
from gp_aiogram.tracker.privacy import OPTED_OUT

#: Deliveries of one event: more than any tracker has.
_ALL = 1000

_DEAD = DeliveryFilter(states=frozenset({"dead"}))


class Deliveries:
    """Reads the outbox for people.

    :param outbox: knows the deliveries.
    :param courier: knows how destinations are doing.
    :param intake: knows how many requests wait in the journal.
    :param counts: what was counted so far.
    """

    def __init__(
        self,
        outbox: Outbox,
        courier: Courier,
        intake: Intake,
        counts: Counter[TrackerCount],
    ) -> None:
        self._outbox = outbox
        self._courier = courier
        self._intake = intake
        self._counts = counts

    async def stats(self) -> Stats:
        """Tell what happened so far and how the destinations are doing."""
        stored = await self._outbox.counts()
        lanes = self._courier.lanes
        return Stats(
            counts=dict(self._counts),
            waiting=self._intake.waiting,
            destinations={
                name: DestinationStats(
                    state=lanes[name].state if name in lanes else None,
                    deliveries=stored.get(name, {}),
                    retried=lanes[name].counts["retried"] if name in lanes else 0,
                )
                for name in sorted({*stored, *lanes})
            },
        )

    async def of_event(self, event_id: str) -> list[Delivery]:
        """Return the deliveries of the events with this id."""
        return await self._outbox.select(DeliveryFilter(event_id=event_id), limit=_ALL)

    async def dead_letters(self, destination: str | None, limit: int) -> list[Delivery]:
        """Return deliveries that were given up, oldest event first."""
        return await self._outbox.select(replace(_DEAD, destination=destination), limit=limit)

    async def replay(self, destination: str | None, event_id: str | None) -> int:
        """Make dead letters due again; those of users who have opted out are skipped.

        :return: how many are no dead letters any more.
        """
        dead = replace(_DEAD, destination=destination, event_id=event_id)
        skipped = await self._skip_opted_out(dead)
        again = Change("pending", restart=True)
        return skipped + await every_page(
            lambda limit: self._outbox.transition(dead, again, limit=limit),
        )

    async def _skip_opted_out(self, dead: DeliveryFilter) -> int:
        skipped = 0
        last: Delivery | None = None
        while page := await self._outbox.select(dead, limit=PAGE, after=last):
            last = page[-1]
            users = {delivery.event.telegram_id for delivery in page}
            for key in await self._outbox.known_keys({opt_out_key(user) for user in users}):
                skipped += await self._skip(replace(dead, telegram_id=int(key.value)))
        return skipped

    async def _skip(self, dead: DeliveryFilter) -> int:
        opted_out = Change("skipped", OPTED_OUT)
        return await every_page(
            lambda limit: self._outbox.transition(dead, opted_out, limit=limit),
        )
