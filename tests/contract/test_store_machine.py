"""Whatever is done to an outbox, crashes included, it stays in the state of a simple model."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fixtures.outbox_model import OutboxModel, key_of
from fixtures.postgres import DSN, ServerClock, drop_schema, empty, make_schema, require_server
from gp_aiogram.model.clock import from_ms
from gp_aiogram.stores.keys import OnceKey
from gp_aiogram.stores.memory import MemoryStore
from gp_aiogram.stores.postgres import PostgresStore
from gp_aiogram.stores.records import (
    MAX_DELAY,
    STATES,
    Change,
    Claim,
    Delivery,
    DeliveryFilter,
    Entry,
    Outcome,
)
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.testing import ManualClock
from gp_aiogram.testing.samples import ALL, sample

DESTINATIONS = ("a", "b")
DAY = 24 * 60 * 60
EVERYTHING = DeliveryFilter()

#: Chosen from few, so that they meet; an index is used modulo what there is to choose from.
event_ids = st.integers(0, 5).map("e{}".format)
names = st.sampled_from(["REG", "Purchase"])
users = bots = st.integers(1, 2)
orders = st.sampled_from(["o1", "o2"])
reasons = st.sampled_from([None, "no", "late"])
caps = st.sampled_from([None, 1, 2, 3])
destinations = st.sampled_from(DESTINATIONS)
states = st.sampled_from(STATES)
indices = st.integers(0, 99)
limits = st.sampled_from([0, 1, 2, ALL])
ages = st.sampled_from([-1, 0, 60, DAY])
delays = st.sampled_from([0, 1, 30, 3600, MAX_DELAY, 10 * MAX_DELAY])
leases = st.sampled_from([1, 60, 900])

#: Keys whose texts run together.
once_keys = st.frozensets(
    st.sampled_from(
        [
            OnceKey("order", "1", "2"),
            OnceKey("order", "12", ""),
            OnceKey("order", "1", "2", bot_id=1),
            OnceKey("user", "1", "2"),
        ]
    ),
    max_size=2,
)

entries = st.builds(
    lambda event_id, name, user, bot, **rest: Entry(
        sample(event_id, name=name, telegram_id=user, bot_id=bot), **rest
    ),
    event_id=event_ids,
    name=names,
    user=users,
    bot=st.none() | bots,
    destinations=st.sets(destinations),
    once=once_keys,
    order=st.none() | orders,
    unless=st.just(frozenset()) | once_keys,
    marks=st.just(frozenset()) | once_keys,
)

conditions = {
    "event_id": event_ids,
    "order": orders,
    "telegram_id": users,
    "bot_id": bots,
    "age": ages,
    "destination": destinations,
    "states": st.frozensets(states, min_size=1),
    "maybe_delivered": st.booleans(),
    "unclaimed": st.booleans(),
}

#: With many conditions next to nothing would be meant.
filters = st.sets(st.sampled_from(sorted(conditions)), max_size=2).flatmap(
    lambda names: st.fixed_dictionaries({name: conditions[name] for name in sorted(names)})
)
changes = st.builds(Change, states, reasons, st.booleans())


class OutboxMachine(RuleBasedStateMachine):
    """Does the same to a store and to the model, and compares."""

    def make_store(self, folder, clock):
        raise NotImplementedError

    def make_clock(self):
        return ManualClock()

    #: Whether claims end by the wall clock.
    leases_by_wall = False

    #: Whether a store made in a folder finds what another has left there.
    survives = False

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = self.make_clock()
        self.store = self.make_store(self.folder / "0", self.clock)
        self.stores = [self.store]
        self.model = OutboxModel(self.clock, leases_by_wall=self.leases_by_wall)
        #: Made at any time, perhaps over.
        self.claims: list[Claim] = []

    @property
    def outbox(self):
        return self.store.outbox

    @property
    def claimed(self) -> list[Delivery]:
        """What was claimed at any time, the last first."""
        return [delivery for claim in self.claims[::-1] for delivery in claim.deliveries]

    def teardown(self):
        try:
            for store in self.stores:
                self.run(store.close())
        finally:
            self.loop.close()
            shutil.rmtree(self.folder)

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def filter(self, conditions):
        """Make a filter; an age is seconds ago."""
        conditions = dict(conditions)
        age = conditions.pop("age", None)
        before = None if age is None else from_ms(round((self.clock.time() - age) * 1000))
        return DeliveryFilter(accepted_before=before, **conditions)

    # Events and once-keys

    @initialize(event_ids=st.sets(event_ids, min_size=4))
    def open(self, event_ids):
        self.run(self.store.open())
        for event_id in sorted(event_ids):
            self.accept(Entry(sample(event_id, telegram_id=1), DESTINATIONS))

    @rule(entry=entries)
    def accept(self, entry):
        assert self.run(self.outbox.accept(entry)) == self.model.accept(entry)
        user = entry.event.telegram_id
        assert self.run(self.outbox.bot_of(user)) == self.model.bot_of(user)

    @rule(keys=once_keys)
    def add_keys(self, keys):
        assert self.run(self.outbox.add_keys(keys)) == len(keys - self.model.known_keys)
        self.model.known_keys |= keys

    @rule(keys=once_keys)
    def drop_keys(self, keys):
        self.run(self.outbox.drop_keys(keys))
        self.model.known_keys -= keys

    @rule(keys=once_keys)
    def ask_for_keys(self, keys):
        assert self.run(self.outbox.known_keys(keys)) == keys & self.model.known_keys

    # Claims

    @rule(destination=destinations, limit=st.integers(0, 4), lease=leases, capped=st.booleans())
    def claim(self, destination, limit, lease, capped):
        claim = self.run(self.outbox.claim(destination, limit, lease=lease, capped=capped))
        assert claim.now == from_ms(round(self.clock.time() * 1000))
        assert {delivery.token for delivery in claim.deliveries} <= {claim.token}
        due = {
            row.key: row
            for row in self.model.due(destination)
            if (row.batch_cap is not None) is capped
        }
        keys = [key_of(delivery) for delivery in claim.deliveries]
        assert len(set(keys)) == len(keys)
        assert due.keys() >= set(keys), "claimed what was not due, or somebody else's"
        rows = [due[key] for key in keys]
        left = [row for key, row in due.items() if key not in keys]
        if capped and rows:
            # What fits with the first into one batch.
            limit = min(limit, rows[0].batch_cap)
            left = [row for row in left if row.batch_cap >= rows[0].batch_cap]
            assert min(row.batch_cap for row in rows) == rows[0].batch_cap
        assert len(rows) == min(limit, len(rows) + len(left))
        self.assert_longest_due_first(rows, left)
        self.model.claim(claim, lease)
        self.claims.append(claim)

    def assert_longest_due_first(self, rows, left):
        """What a clock set back left in the future has lost its place in the order."""
        now = self.clock.time()
        chosen = [row.due for row in rows if row.due <= now]
        passed_over = [row.due for row in left if row.due <= now]
        assert chosen == sorted(chosen)
        assert not chosen or not passed_over or chosen[-1] <= min(passed_over)

    @precondition(lambda self: self.claims)
    @rule(index=indices, lease=leases)
    def extend(self, index, lease):
        """A claim, old or new."""
        claim = self.claims[-1 - index % len(self.claims)]
        self.run(self.outbox.extend(claim, lease))
        self.model.extend(claim, lease)

    @precondition(lambda self: self.claimed)
    @rule(
        choices=st.lists(
            st.tuples(
                indices,
                st.builds(
                    Outcome,
                    delivery=st.none(),
                    state=states,
                    delay=delays,
                    attempts=st.integers(0, 3),
                    reason=reasons,
                    receipt=st.sampled_from([{}, {"id": 1}]),
                    maybe_delivered=st.booleans(),
                    batch_cap=caps,
                    provisional=st.booleans(),
                ),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def settle(self, choices):
        """Of claims old and new."""
        claimed = self.claimed
        outcomes = [
            outcome._replace(delivery=claimed[index % len(claimed)]) for index, outcome in choices
        ]
        self.run(self.outbox.settle(outcomes))
        for outcome in outcomes:
            self.model.settle(outcome)

    @precondition(lambda self: self.claimed)
    @rule(chosen=st.lists(indices, min_size=1, max_size=4))
    def release(self, chosen):
        """Claims old and new."""
        claimed = self.claimed
        deliveries = [claimed[index % len(claimed)] for index in chosen]
        self.run(self.outbox.release(deliveries))
        self.model.release(deliveries)

    @rule(destination=destinations, seconds=st.sampled_from([1, 60]))
    def claim_what_another_was_too_slow_for(self, destination, seconds):
        self.claim(destination, 3, lease=seconds, capped=False)
        self.clock.advance(seconds)
        self.claim(destination, 3, lease=900, capped=False)

    @rule(destination=destinations, capped=st.booleans(), cap=st.integers(1, 3))
    def reject_a_batch(self, destination, capped, cap):
        """What is left of it is tried again in smaller batches."""
        self.claim(destination, 4, lease=60, capped=capped)
        self.settle_last(Outcome(None, "pending", batch_cap=cap))

    @rule(destination=destinations, user=users, state=states)
    def opt_out_amid_a_try(self, destination, user, state):
        pending = {"telegram_id": user, "states": frozenset({"pending"})}
        self.claim(destination, 4, lease=60, capped=False)
        self.transition(pending, Change("skipped", "opted out"), ALL)
        self.settle_last(Outcome(None, state, attempts=1))

    def settle_last(self, outcome):
        """Of the last claim, all alike."""
        self.settle([(index, outcome) for index, _ in enumerate(self.claims[-1].deliveries)])

    # Everything else

    @rule(conditions=filters, limit=st.sampled_from([1, 3, ALL]))
    def select(self, conditions, limit):
        """Page by page."""
        where = self.filter(conditions)
        found: list[Delivery] = []
        after = None
        while page := self.run(self.outbox.select(where, limit=limit, after=after)):
            found += page
            assert len(page) <= limit
            assert len(found) <= len(self.model.rows()), "pages overlap"
            after = page[-1]
        assert [key_of(delivery) for delivery in found] == [
            row.key for row in self.model.select(where)
        ]

    @rule(conditions=filters, change=changes, limit=limits)
    def transition(self, conditions, change, limit):
        where = self.filter(conditions)
        rows = self.model.changeable(where, change)
        changed = self.run(self.outbox.transition(where, change, limit=limit))
        assert changed == min(limit, len(rows))
        if changed < len(rows):
            # Which of them is up to the store.
            found = {key_of(delivery): delivery for delivery in self.everything()}
            rows = [row for row in rows if not is_told_by(row, found[row.key])]
            assert len(rows) == changed
        for row in rows:
            self.model.change(row, change)

    @rule(conditions=filters, limit=limits)
    def erase(self, conditions, limit):
        where = self.filter(conditions)
        events = self.model.erasable(where)[:limit]
        erased = self.run(self.outbox.erase(where, limit=limit))
        if erased < len(events):
            # It may stop at the first younger event; a clock set back dates later ones earlier.
            events = [stored for stored in events if stored in self.model.oldest(where)]
        assert erased == len(events)
        self.model.erase(events)

    @rule(seconds=st.sampled_from([1, 30, 60, 900, 3600, MAX_DELAY, DAY]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-400 * DAY, -DAY, -MAX_DELAY, -60, 60, MAX_DELAY, 30 * DAY]))
    def wall_clock_is_set(self, seconds):
        self.clock.jump(seconds)

    @rule()
    def close_and_open_again(self):
        """In good order: what is claimed is given back before."""
        self.run(self.outbox.release(self.claimed))
        self.run(self.store.close())
        self.model.end_claims()
        self.nothing_is_lost()
        self.run(self.store.open())

    # Crashes

    def crash(self):
        """Go on with the files as they are; the store that had them knows nothing of it."""
        left = self.folder / str(len(self.stores) - 1)
        found = self.folder / str(len(self.stores))
        shutil.copytree(left, found, ignore=shutil.ignore_patterns("*.lock", "*-shm"))
        self.store = self.make_store(found, self.clock)
        self.stores.append(self.store)
        self.model.end_claims()

    @precondition(lambda self: self.survives)
    @rule()
    def crash_at_rest(self):
        self.crash()

    @precondition(lambda self: self.survives)
    @rule(
        wanted=st.lists(
            st.tuples(event_ids, once_keys), min_size=1, max_size=8, unique_by=lambda pair: pair[0]
        ),
        turns=st.integers(0, 6),
    )
    def crash_amid_accepting(self, wanted, turns):
        """What was accepted is there; of the rest each is there as a whole or not at all."""
        entries = [Entry(sample(event_id), DESTINATIONS, once) for event_id, once in wanted]

        async def accept_until_the_crash():
            tasks = [asyncio.create_task(self.outbox.accept(entry)) for entry in entries]
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            accepted = [task.done() and task.result() == "stored" for task in tasks]
            self.crash()
            await asyncio.gather(*tasks)
            return accepted

        accepted = self.run(accept_until_the_crash())
        there = {delivery.event.event_id: delivery.seq for delivery in self.new_deliveries()}
        for entry, was_accepted in zip(entries, accepted, strict=True):
            assert entry.event.event_id in there or not was_accepted
        in_order = sorted(
            (entry for entry in entries if entry.event.event_id in there),
            key=lambda entry: there[entry.event.event_id],
        )
        assert [self.model.accept(entry) for entry in in_order] == ["stored"] * len(there)

    def new_deliveries(self):
        """Deliveries that the model knows nothing of."""
        known = {row.key for row in self.model.rows()}
        return [delivery for delivery in self.everything() if key_of(delivery) not in known]

    # What holds at any time

    def everything(self):
        return self.run(self.outbox.select(EVERYTHING, limit=ALL))

    @invariant()
    def nothing_is_lost(self):
        found, rows = self.everything(), self.model.rows()
        assert [key_of(delivery) for delivery in found] == [row.key for row in rows]
        for delivery, row in zip(found, rows, strict=True):
            assert is_told_by(row, delivery), (row, delivery)
        seqs = [delivery.seq for delivery in found]
        assert seqs == sorted(seqs)
        assert self.run(self.outbox.counts()) == self.model.counts()

    @invariant()
    def what_is_due_is_known(self):
        for destination in DESTINATIONS:
            is_due = bool(self.model.due(destination))
            assert self.run(self.outbox.wait(destination, 0)) is is_due


def is_told_by(row, delivery):
    """Whether a delivery is as the model has it."""
    return (
        delivery.state,
        delivery.attempts,
        delivery.reason,
        dict(delivery.receipt),
        delivery.maybe_delivered,
        delivery.batch_cap,
        delivery.since.timestamp(),
        delivery.due.timestamp(),
    ) == (
        row.state,
        row.attempts,
        row.reason,
        row.receipt,
        row.maybe_delivered,
        row.batch_cap,
        row.since,
        row.due,
    )


def machine(name, make_store, *, survives):
    """Make the test case of a kind of store.

    :param make_store: makes a store from a folder of its own and a clock.
    :param survives: the store keeps all it has in that folder.
    """
    attributes = {
        "make_store": lambda _, folder, clock: make_store(folder, clock),
        "survives": survives,
    }
    case = type(name, (OutboxMachine,), attributes).TestCase
    case.settings = settings(
        deadline=None,
        max_examples=40,
        stateful_step_count=40,
        suppress_health_check=list(HealthCheck),
    )
    return case


TestMemoryStore = machine("Memory", lambda _, clock: MemoryStore(clock=clock), survives=False)
TestSQLiteStore = machine(
    "SQLite",
    lambda folder, clock: SQLiteStore(folder / "gp.sqlite3", clock=clock),
    survives=True,
)


class ShownClock(ServerClock):
    """A server's clock that is turned outside of coroutines."""

    def __init__(self, loop, connection, schema):
        super().__init__(connection, schema)
        self._loop = loop

    def advance(self, seconds):
        super().advance(seconds)
        self._loop.run_until_complete(self.show())

    def jump(self, seconds):
        super().jump(seconds)
        self._loop.run_until_complete(self.show())


class PostgresMachine(OutboxMachine):
    """Two stores on one schema, as of two processes, take turns."""

    schema = ""
    leases_by_wall = True

    def make_clock(self):
        self.connection = self.run(asyncpg.connect(DSN))
        self.run(empty(self.connection, self.schema))
        clock = ShownClock(self.loop, self.connection, self.schema)
        self.run(clock.install())
        return clock

    def make_store(self, folder, clock):
        return PostgresStore(DSN, self.schema)

    def __init__(self):
        super().__init__()
        self.stores.append(PostgresStore(DSN, self.schema))
        self.turns = itertools.cycle(self.stores)

    @property
    def outbox(self):
        return next(self.turns).outbox

    def teardown(self):
        try:
            self.run(self.connection.close())
        finally:
            super().teardown()


class TestPostgresStore(PostgresMachine.TestCase):
    settings = settings(
        deadline=None,
        max_examples=8,
        stateful_step_count=30,
        suppress_health_check=list(HealthCheck),
    )

    @pytest.fixture(autouse=True)
    def _schema(self):
        require_server()
        PostgresMachine.schema = make_schema()
        yield
        drop_schema(PostgresMachine.schema)
