"""The outbox in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

from gp_aiogram.model.clock import Clock, from_ms
from gp_aiogram.model.event import Event
from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import OnceKey
from gp_aiogram.stores.leases import Leases
from gp_aiogram.stores.memory.once_keys import OnceKeys
from gp_aiogram.stores.memory.table import EventTable, Key, StoredEvent, key_of
from gp_aiogram.stores.notifier import Notifier
from gp_aiogram.stores.records import (
    MAX_DELAY,
    AcceptResult,
    Change,
    Claim,
    Delivery,
    DeliveryFilter,
    Entry,
    EventRecord,
    Outcome,
    Span,
    State,
)


class MemoryOutbox(Outbox):
    """The part of :class:`~gp_aiogram.MemoryStore` that keeps events.

    :param clock: its wall clock tells what is due, its monotonic time ends claims.
    """

    one_process = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: Leases[Key] = Leases(clock)
        self._table = EventTable(self._leases)
        self._once = OnceKeys()
        self._notifier = Notifier(self._next_due)
        self._last_seq = 0

    async def accept(self, entry: Entry) -> AcceptResult:
        """Keep an event and its deliveries."""
        if self._once.known(entry.unless):
            return "blocked"
        if self._is_known(entry.event) or self._once.known(entry.once):
            return "duplicate"
        self._once.add([*entry.once, *entry.marks])
        self._add(entry)
        self._notifier.notify(entry.destinations)
        return "stored"

    async def claim(
        self,
        destination: str,
        limit: int,
        *,
        lease: float,
        capped: bool = False,
    ) -> Claim:
        """Claim due deliveries."""
        now = self._now()
        due = self._free(destination, self._table.pending(destination, capped=capped).due(now))
        chosen = list(islice(_one_batch(due) if capped else due, limit))
        token = self._leases.grant([key_of(delivery) for delivery in chosen], lease)
        return Claim([delivery._replace(token=token) for delivery in chosen], now, token)

    async def extend(self, claim: Claim, lease: float) -> None:
        """Let a claim end later."""
        self._leases.extend(map(key_of, claim.deliveries), claim.token, lease)

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes."""
        for outcome in outcomes:
            key, token = key_of(outcome.delivery), outcome.delivery.token
            if not self._leases.proves(token, key):
                continue
            if not outcome.provisional:
                self._leases.end(key, token)
            self._record(outcome, self._table[key])
        self._notify(outcome.delivery for outcome in outcomes)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give claimed deliveries back."""
        for delivery in deliveries:
            self._leases.end(key_of(delivery), delivery.token)
        self._notify(deliveries)

    async def wait(self, destination: str, timeout: float) -> bool:
        """Wait until a delivery is due."""
        return await self._notifier.wait(destination, timeout)

    async def add_keys(self, keys: Collection[OnceKey]) -> int:
        """Make once-keys known."""
        return self._once.add(keys)

    async def drop_keys(self, keys: Collection[OnceKey]) -> None:
        """Make once-keys unknown again."""
        self._once.drop(keys)

    async def known_keys(self, keys: Collection[OnceKey]) -> set[OnceKey]:
        """Return those of the once-keys that are known."""
        return self._once.known(keys)

    async def select(
        self,
        where: DeliveryFilter,
        *,
        limit: int = 100,
        after: Delivery | None = None,
    ) -> list[Delivery]:
        """Return deliveries, oldest event first."""
        found = self._table.deliveries(where)
        if after is not None:
            found = (delivery for delivery in found if key_of(delivery) > key_of(after))
        return list(islice(found, limit))

    async def events(self, where: DeliveryFilter, span: Span) -> list[EventRecord]:
        """Return events with their deliveries."""
        return self._table.records(where, span)

    async def transition(self, where: DeliveryFilter, change: Change, *, limit: int) -> int:
        """Change deliveries."""
        now = self._now()
        changed = (_changed(delivery, change, now) for delivery in self._table.deliveries(where))
        chosen = list(islice((delivery for delivery in changed if delivery is not None), limit))
        for delivery in chosen:
            self._table.put(delivery)
        self._notify(chosen)
        return len(chosen)

    async def erase(self, where: DeliveryFilter, *, limit: int) -> int:
        """Erase events with their deliveries."""
        chosen = list(islice(self._table.events(where), limit))
        for stored in chosen:
            self._erase(stored)
        return len(chosen)

    async def counts(self) -> dict[str, dict[State, int]]:
        """How many deliveries each destination has in each state."""
        return self._table.counts()

    async def oldest_pending(self, destination: str) -> float | None:
        """How long the pending delivery has been tried whose turn is next."""
        queues = (self._table.pending(destination, capped=capped) for capped in (False, True))
        first = [next(iter(queue)) for queue in queues if queue]
        ages = (self._now() - self._table[seq, destination].since for seq in first)
        return max((max(0.0, age.total_seconds()) for age in ages), default=None)

    async def bot_of(self, telegram_id: int) -> int | None:
        """Return the bot of the user's newest event that names one."""
        bots = (stored.event.bot_id for stored in reversed(self._table.of_user(telegram_id)))
        return next((bot_id for bot_id in bots if bot_id is not None), None)

    # Events

    def _is_known(self, event: Event) -> bool:
        names = {stored.event.name for stored in self._table.with_id(event.event_id)}
        return event.name in names or self._once.was_erased(event)

    def _add(self, entry: Entry) -> None:
        self._last_seq += 1
        event, seq, now = entry.event, self._last_seq, self._now()
        self._table.add(StoredEvent(seq, event, entry.order, accepted=now))
        for destination in sorted(set(entry.destinations)):
            self._table.put(Delivery(event, destination, "pending", 0, now, now, seq=seq))

    def _erase(self, stored: StoredEvent) -> None:
        for delivery in stored.deliveries.values():
            self._leases.revoke(key_of(delivery))
        self._table.remove(stored)
        self._once.add_erased(stored.event)

    # Deliveries

    def _record(self, outcome: Outcome, delivery: Delivery) -> None:
        if delivery.state == "skipped" and outcome.state == "pending":
            return
        self._table.put(
            delivery._replace(
                state=outcome.state,
                due=self._now(ahead=min(outcome.delay, MAX_DELAY)),
                attempts=outcome.attempts,
                reason=outcome.reason,
                receipt=outcome.receipt,
                maybe_delivered=outcome.maybe_delivered,
                batch_cap=outcome.batch_cap,
                tries=delivery.tries if outcome.tries is None else tuple(outcome.tries),
            ),
        )

    # What is due

    def _free(self, destination: str, seqs: Iterable[int]) -> Iterator[Delivery]:
        """Yield those deliveries that nobody has claimed."""
        keys = ((seq, destination) for seq in seqs)
        return (self._table[key] for key in keys if not self._leases.holds(key))

    async def _next_due(self, destination: str) -> float | None:
        waits = [self._seconds_to_next(destination, capped=capped) for capped in (False, True)]
        return min((wait for wait in waits if wait is not None), default=None)

    def _seconds_to_next(self, destination: str, *, capped: bool) -> float | None:
        queue, now = self._table.pending(destination, capped=capped), self._now()
        if next(self._free(destination, queue.due(now)), None) is not None:
            return 0.0
        soonest = next(self._free(destination, queue), None)
        return None if soonest is None else (soonest.due - now).total_seconds()

    def _notify(self, deliveries: Iterable[Delivery]) -> None:
        self._notifier.notify({delivery.destination for delivery in deliveries})

    def _now(self, ahead: float = 0.0) -> datetime:
        return from_ms(round((self._clock.time() + ahead) * 1000))


def _one_batch(due: Iterator[Delivery]) -> Iterator[Delivery]:
    """Yield as many as fit into one batch with the first."""
    first = next(due, None)
    if first is None or first.batch_cap is None:
        return
    yield first
    fitting = (delivery for delivery in due if (delivery.batch_cap or 0) >= first.batch_cap)
    yield from islice(fitting, first.batch_cap - 1)


def _changed(delivery: Delivery, change: Change, now: datetime) -> Delivery | None:
    """Return a delivery as a change wants it; None when it is so already."""
    reason = delivery.reason if change.reason is None else change.reason
    changed = delivery._replace(state=change.state, reason=reason)
    if change.restart and not (changed == delivery and _is_fresh(delivery, now)):
        changed = changed._replace(attempts=0, batch_cap=None, since=now, due=now)
    return None if changed == delivery else changed


def _is_fresh(delivery: Delivery, now: datetime) -> bool:
    """Return whether a delivery is as if just accepted."""
    is_untried = delivery.attempts == 0 and delivery.batch_cap is None
    return is_untried and delivery.since == delivery.due <= now
