"""Tells what became of events, and tries again what was given up."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace

from gp_aiogram.delivery.courier import Courier
from gp_aiogram.delivery.pacing import PacerState
from gp_aiogram.delivery.stats import DestinationStats, Stats, TrackerCount
from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.stores.records import Change, Delivery, DeliveryFilter
from gp_aiogram.tracker.intake import Intake
from gp_aiogram.tracker.pages import PAGE, every_page
from gp_aiogram.tracker.privacy import OPTED_OUT

#: Deliveries of one event: more than any tracker has.
_ALL = 1000

#: Why a purged dead letter was skipped.
PURGED = "purged: given up for good by hand"

_DEAD = DeliveryFilter(states=frozenset({"dead"}))


class Deliveries:
    """Reads the outbox for people.

    :param outbox: knows the deliveries.
    :param courier: knows how destinations are doing.
    :param intake: knows how many requests wait in the journal.
    :param counts: what was counted so far.
    :param delivers: whether the courier runs in this process.
    """

    def __init__(
        self,
        outbox: Outbox,
        courier: Courier,
        intake: Intake,
        counts: Counter[TrackerCount],
        delivers: bool,
    ) -> None:
        self._outbox = outbox
        self._courier = courier
        self._intake = intake
        self._counts = counts
        self._delivers = delivers

    async def flush(self, timeout: float) -> bool:
        """Wait until nothing is due, or pending where other processes deliver.

        :param timeout: seconds to wait at most.
        """
        deadline = time.monotonic() + timeout
        if not await self._intake.flush(timeout):
            return False
        wait = self._courier.flush if self._delivers else self._courier.wait_for_others
        return await wait(deadline - time.monotonic())

    def states(self) -> dict[str, PacerState]:
        """How the destinations are doing, as far as this process delivers."""
        if not self._delivers:
            return {}
        return {name: lane.state for name, lane in self._courier.lanes.items()}

    async def stats(self) -> Stats:
        """Tell what happened so far and how the destinations are doing."""
        stored = await self._outbox.counts()
        lanes = self._courier.lanes
        names = sorted({*stored, *lanes})
        states = self.states()
        oldest = await asyncio.gather(*map(self._outbox.oldest_pending, names))
        return Stats(
            counts=dict(self._counts),
            waiting=self._intake.waiting,
            destinations={
                name: DestinationStats(
                    state=states.get(name),
                    deliveries=stored.get(name, {}),
                    retried=lanes[name].counts["retried"] if name in lanes else 0,
                    oldest_pending=age,
                )
                for name, age in zip(names, oldest, strict=True)
            },
        )

    async def of_event(self, event_id: str) -> list[Delivery]:
        """Return the deliveries of the events with this id."""
        return await self._outbox.select(DeliveryFilter(event_id=event_id), limit=_ALL)

    async def dead_letters(self, destination: str | None, limit: int) -> list[Delivery]:
        """Return deliveries that were given up, oldest event first."""
        return await self._outbox.select(replace(_DEAD, destination=destination), limit=limit)

    async def replay(self, where: DeliveryFilter) -> int:
        """Make dead letters due again; those of users who have opted out are skipped.

        :param where: which of them; its states do not matter.
        :return: how many are no dead letters any more.
        """
        dead = replace(where, states=_DEAD.states)
        skipped = await self._skip_opted_out(dead)
        again = Change("pending", restart=True)
        return skipped + await every_page(
            lambda limit: self._outbox.transition(dead, again, limit=limit),
        )

    async def purge(self, destination: str | None, event_id: str | None) -> int:
        """Give dead letters up for good.

        :return: how many are no dead letters any more.
        """
        dead = replace(_DEAD, destination=destination, event_id=event_id)
        purged = Change("skipped", PURGED)
        return await every_page(
            lambda limit: self._outbox.transition(dead, purged, limit=limit),
        )

    def resume(self, destination: str) -> bool:
        """Call a destination at once that is waited for.

        :raises ConfigurationError: when there is none of this name.
        """
        lane = self._courier.lanes.get(destination)
        if lane is None:
            names = ", ".join(self._courier.lanes) or "none"
            msg = f"there is no destination {short_repr(destination)} to resume, only {names}"
            raise ConfigurationError(msg)
        return self._delivers and lane.resume()

    def waits(self) -> dict[str, float]:
        """Seconds until each destination may be called, as far as this process delivers."""
        if not self._delivers:
            return {}
        return {name: lane.wait for name, lane in self._courier.lanes.items()}

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
