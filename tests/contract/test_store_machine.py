"""Whatever is done to an outbox, crashes included, it stays in the state of a simple model."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.event import Event
from gp_aiogram.stores.memory.store import MemoryStore
from gp_aiogram.stores.records import MAX_DELAY, STATES, Settlement
from gp_aiogram.stores.sqlite.store import SQLiteStore
from gp_aiogram.testing import ManualClock
from gp_aiogram.testing.samples import sample

DESTINATIONS = ("a", "b")
DAY = 24 * 60 * 60

#: Chosen from few, so that they meet; an index is used modulo what there is to choose from.
event_ids = st.integers(0, 11).map("e{}".format)
once_keys = st.frozensets(st.integers(0, 5).map("k{}".format), max_size=2)
orders = st.none() | st.sampled_from(["o1", "o2"])
destinations = st.sampled_from(DESTINATIONS)
indices = st.integers(0, 99)
delays = st.sampled_from([0, 1, 30, 3600, MAX_DELAY, 10 * MAX_DELAY])
leases = st.sampled_from([1, 60, 900])


@dataclass
class Row:
    """A delivery as the model sees it; moments in seconds of the wall clock."""

    since: float
    due: float
    state: str = "pending"
    attempts: int = 0
    holder: str | None = None
    held_until: float = 0


@dataclass
class Kept:
    """An event as the model sees it."""

    event: Event
    order: str | None
    at: float


@dataclass
class Claim:
    """A delivery that was claimed at some time, and perhaps is no longer."""

    delivery: object
    key: tuple[str, str]


class OutboxMachine(RuleBasedStateMachine):
    """Does the same to a store and to the model, and compares."""

    def make_store(self, folder, clock):
        raise NotImplementedError

    #: Whether a store made in a folder finds what another has left there.
    survives = False

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.store = self.make_store(self.folder / "0", self.clock)
        self.stores = [self.store]
        self.rows: dict[tuple[str, str], Row] = {}
        self.kept: dict[str, Kept] = {}
        self.known_ids: set[str] = set()
        self.known_keys: set[str] = set()
        self.claims: list[Claim] = []

    def teardown(self):
        try:
            for event_id in self.known_ids:
                self.compare(event_id)
            for store in self.stores:
                self.run(store.close())
        finally:
            self.loop.close()
            shutil.rmtree(self.folder)

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    # The model

    def model_accept(self, event, to, once, order=None):
        if event.event_id in self.known_ids or not self.known_keys.isdisjoint(once):
            return False
        self.known_ids.add(event.event_id)
        self.known_keys |= once
        self.kept[event.event_id] = Kept(event, order, self.clock.time())
        now = self.clock.time()
        self.rows |= {(event.event_id, name): Row(since=now, due=now) for name in to}
        return True

    def bot_of(self, user):
        """The bot of the user's newest event that names one."""
        events = [kept.event for kept in self.kept.values() if kept.event.telegram_id == user]
        return next((one.bot_id for one in events[::-1] if one.bot_id is not None), None)

    def model_erase(self, event_ids):
        for event_id in event_ids:
            del self.kept[event_id]
            for name in DESTINATIONS:
                self.rows.pop((event_id, name), None)

    def model_skip(self, event_ids, states):
        waiting = [
            row
            for (event_id, _), row in self.rows.items()
            if event_id in event_ids and row.state in states and not self.held(row)
        ]
        for row in waiting:
            row.state = "skipped"
        return len(waiting)

    def held(self, row):
        return row.holder is not None and row.held_until > self.clock.monotonic()

    def wait(self, row):
        """Seconds until a pending delivery may be tried; at once when the clock went back."""
        wait = row.due - self.clock.time()
        return 0 if wait > MAX_DELAY else max(wait, 0)

    def free(self, destination):
        """Pending deliveries that nobody holds."""
        return {
            key: row
            for key, row in self.rows.items()
            if key[1] == destination and row.state == "pending" and not self.held(row)
        }

    def model_settle(self, settlement, key):
        row = self.rows.get(key)
        if row is None or row.holder != settlement.delivery.token or not self.held(row):
            return
        row.state, row.attempts = settlement.state, settlement.attempts
        row.due = self.clock.time() + min(settlement.delay, MAX_DELAY)
        if not settlement.provisional:
            row.holder = None

    def model_crash(self):
        for row in self.rows.values():
            row.holder = None

    # What is done to both

    @initialize(event_ids=st.sets(event_ids, min_size=4))
    def open(self, event_ids):
        self.run(self.store.open())
        for event_id in sorted(event_ids):
            self.accept(event_id, frozenset(), DESTINATIONS, user=1, bot=None, order=None)

    @rule(
        event_id=event_ids,
        once=once_keys,
        to=st.sets(destinations),
        user=st.integers(1, 2),
        bot=st.none() | st.integers(1, 2),
        order=orders,
    )
    def accept(self, event_id, once, to, user, bot, order):
        event = sample(event_id, telegram_id=user, bot_id=bot)
        accepted = self.run(self.store.accept(event, sorted(to), once=once, order=order))
        assert accepted is self.model_accept(event, to, once, order)
        assert self.run(self.store.bot_of(user)) == self.bot_of(user)

    @rule(keys=once_keys)
    def add_keys(self, keys):
        assert self.run(self.store.add_keys(keys)) == len(keys - self.known_keys)
        self.known_keys |= keys

    @rule(keys=once_keys)
    def drop_keys(self, keys):
        self.run(self.store.drop_keys(keys))
        self.known_keys -= keys

    @rule(keys=once_keys)
    def ask_for_keys(self, keys):
        assert self.run(self.store.known_keys(keys)) == keys & self.known_keys

    @rule(order=orders.filter(bool))
    def cancel(self, order):
        ids = [event_id for event_id, kept in self.kept.items() if kept.order == order]
        self.model_skip(ids, {"pending", "dead"})
        found = self.run(self.store.cancel(order, "refunded"))
        assert {(one.event.event_id, one.destination): one.state for one in found} == {
            key: row.state for key, row in self.rows.items() if key[0] in ids
        }

    @rule(user=st.integers(1, 2))
    def cancel_user(self, user):
        ids = [one for one, kept in self.kept.items() if kept.event.telegram_id == user]
        assert self.run(self.store.cancel_user(user, "opted out")) == self.model_skip(
            ids, {"pending"}
        )

    @rule(user=st.integers(1, 2))
    def forget(self, user):
        ids = [one for one, kept in self.kept.items() if kept.event.telegram_id == user]
        assert self.run(self.store.forget_events(user)) == len(ids)
        self.model_erase(ids)

    @rule(age=st.sampled_from([-1, 60, DAY]), dead_age=st.sampled_from([-1, 60, DAY]))
    def prune(self, age, dead_age):
        now = self.clock.time()
        before, dead_before = now - age, now - dead_age
        states = {event_id: set() for event_id in self.kept}
        for (event_id, _), row in self.rows.items():
            states[event_id].add(row.state)
        oldest = takewhile(
            lambda event_id: self.kept[event_id].at < max(before, dead_before), self.kept
        )
        old = [
            event_id
            for event_id in oldest
            if "pending" not in states[event_id]
            and self.kept[event_id].at < (dead_before if "dead" in states[event_id] else before)
        ]
        moments = (from_ms(round(moment * 1000)) for moment in (before, dead_before))
        assert self.run(self.store.prune_events(*moments, limit=99)) == len(old)
        self.model_erase(old)

    @rule(destination=destinations, limit=st.integers(0, 4), lease=leases)
    def claim(self, destination, limit, lease):
        claimed = self.run(self.store.claim(destination, limit, lease=lease))
        due = {key: row for key, row in self.free(destination).items() if self.wait(row) == 0}
        keys = [(delivery.event.event_id, delivery.destination) for delivery in claimed]
        assert len(set(keys)) == len(keys) == min(limit, len(due))
        assert due.keys() >= set(keys), "claimed what was not due, or somebody else's"
        self.assert_longest_due_first(keys, due)
        for key, delivery in zip(keys, claimed, strict=True):
            row = self.rows[key]
            assert (delivery.state, delivery.attempts) == ("pending", row.attempts)
            row.holder, row.held_until = delivery.token, self.clock.monotonic() + lease
            self.claims.append(Claim(delivery, key))

    def assert_longest_due_first(self, keys, due):
        """What a clock set back left in the future has lost its place in the order."""
        now = self.clock.time()
        taken = [due[key].due for key in keys if due[key].due <= now]
        left = [row.due for key, row in due.items() if key not in keys and row.due <= now]
        assert taken == sorted(taken)
        assert not taken or not left or taken[-1] <= min(left)

    @rule(
        choices=st.lists(
            st.tuples(indices, st.sampled_from(STATES), delays, st.integers(0, 3), st.booleans()),
            min_size=1,
            max_size=4,
        )
    )
    def settle(self, choices):
        """Of claims old and new."""
        if not self.claims:
            return
        settlements = []
        for index, state, delay, attempts, provisional in choices:
            claim = self.claims[-1 - index % len(self.claims)]
            settlement = Settlement(
                claim.delivery, state, delay, attempts, provisional=provisional
            )
            settlements.append(settlement)
            self.model_settle(settlement, claim.key)
        self.run(self.store.settle(settlements))
        for settlement in settlements:
            self.compare(settlement.delivery.event.event_id)

    @rule(chosen=st.lists(indices, min_size=1, max_size=4))
    def release(self, chosen):
        """Claims old and new."""
        if not self.claims:
            return
        claims = [self.claims[-1 - index % len(self.claims)] for index in chosen]
        self.run(self.store.release([claim.delivery for claim in claims]))
        for claim in claims:
            row = self.rows.get(claim.key)
            if row is not None and row.holder == claim.delivery.token:
                row.holder = None

    @rule(destination=st.none() | destinations, event_id=st.none() | event_ids)
    def replay(self, destination, event_id):
        replayed = self.run(self.store.replay(destination, event_id=event_id))
        now = self.clock.time()
        dead = [
            row
            for key, row in self.rows.items()
            if row.state == "dead" and event_id in (None, key[0]) and destination in (None, key[1])
        ]
        assert replayed == len(dead)
        for row in dead:
            row.state, row.attempts, row.since, row.due = "pending", 0, now, now

    @rule(seconds=st.sampled_from([1, 30, 60, 900, 3600, MAX_DELAY, DAY]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-400 * DAY, -DAY, -MAX_DELAY, -60, 60, MAX_DELAY, 30 * DAY]))
    def wall_clock_is_set(self, seconds):
        self.clock.jump(seconds)

    @rule()
    def close_and_open_again(self):
        """In good order: what is claimed is given back before."""
        self.run(self.store.release([claim.delivery for claim in self.claims]))
        self.run(self.store.close())
        self.model_crash()
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
        self.model_crash()

    @precondition(lambda self: self.survives)
    @rule()
    def crash_at_rest(self):
        self.crash()

    @precondition(lambda self: self.survives)
    @rule(
        wishes=st.lists(
            st.tuples(event_ids, once_keys), min_size=1, max_size=8, unique_by=lambda wish: wish[0]
        ),
        turns=st.integers(0, 6),
    )
    def crash_amid_accepting(self, wishes, turns):
        """What was accepted is there; of the rest each is there as a whole or not at all."""

        async def accept_until_the_crash():
            tasks = [
                asyncio.create_task(self.store.accept(sample(event_id), DESTINATIONS, once=once))
                for event_id, once in wishes
            ]
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            accepted = [task.done() and task.result() for task in tasks]
            self.crash()
            await asyncio.gather(*tasks)
            return accepted

        accepted = self.run(accept_until_the_crash())
        for (event_id, once), kept in zip(wishes, accepted, strict=True):
            if event_id in self.known_ids:
                continue
            there = self.run(self.store.deliveries(event_id))
            assert there or not kept
            if not there:
                continue
            assert self.model_accept(sample(event_id), DESTINATIONS, once)
            for name, delivery in zip(DESTINATIONS, there, strict=True):
                assert delivery.destination == name

    # What holds at any time

    @invariant()
    def nothing_is_lost(self):
        expected: dict[str, Counter[str]] = {}
        for (_, destination), row in self.rows.items():
            expected.setdefault(destination, Counter())[row.state] += 1
        assert self.run(self.store.counts()) == expected

    @invariant()
    def what_is_due_is_known(self):
        for destination in DESTINATIONS:
            waits = [self.wait(row) for row in self.free(destination).values()]
            assert self.run(self.store.next_due(destination)) == min(waits, default=None)

    def compare(self, event_id):
        for delivery in self.run(self.store.deliveries(event_id)):
            row = self.rows[event_id, delivery.destination]
            assert delivery.event.event_id == event_id
            assert (delivery.state, delivery.attempts) == (row.state, row.attempts)
            assert delivery.since.timestamp() == row.since
            assert delivery.due.timestamp() == row.due


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
        stateful_step_count=30,
        suppress_health_check=list(HealthCheck),
    )
    return case


TestMemoryStore = machine("Memory", lambda _, clock: MemoryStore(clock=clock), survives=False)
TestSQLiteStore = machine(
    "SQLite",
    lambda folder, clock: SQLiteStore(folder / "gp.sqlite3", clock=clock),
    survives=True,
)
