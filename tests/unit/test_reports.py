"""What stored sessions and events add up to."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from gp_aiogram import Click, Event, MemoryStore
from gp_aiogram.model.session import Session, Source
from gp_aiogram.reports import (
    CoverageTally,
    DeliveryTally,
    FunnelRow,
    FunnelTally,
    read_report,
)
from gp_aiogram.reports import reading as module
from gp_aiogram.stores.contract import SessionStore, Store
from gp_aiogram.stores.records import Delivery, Entry, EventRecord, Outcome, State
from gp_aiogram.testing import ManualClock
from gp_aiogram.testing.samples import entry, sample

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def touch(user: int, session_id: str = "gp_a", source: Source = "start", at=NOON) -> Session:
    return Session(1, user, session_id, source, at, session_id)


def event(name: str = "REG", user: int = 1, **fields) -> Event:
    fields = {"event_time": NOON, "session_id": "gp_a", **fields}
    return sample(f"{name}-{user}-{fields['event_time']}", name=name, telegram_id=user, **fields)


def money(value: str, currency: str = "EUR") -> dict[str, object]:
    return {"value": Decimal(value), "currency": currency}


# Funnel


def test_sessions_become_registrations_and_deposits() -> None:
    tally = FunnelTally()
    for user in (1, 2, 3):
        tally.add_touch(touch(user))
    for each in (
        event(),
        event(user=2),
        event("FTD", **money("10.50")),
        event("DEP", **money("20")),
        event("DEP", user=2, **money("5", "USD")),
        event("Subscribe"),
    ):
        tally.add_event(each)
    counts = {"sessions": 3, "REG": 2, "FTD": 1, "DEP": 2, "Purchase": 0}
    row = FunnelRow(counts, {"EUR": Decimal("30.50"), "USD": Decimal(5)})
    funnel = tally.result()
    assert funnel.total == row
    assert funnel.by_day == {"2026-03-10": row}
    assert funnel.by_source == {"start": row}


def test_a_purchase_counts_and_a_refund_does_not() -> None:
    tally = FunnelTally()
    tally.add_event(event("Purchase", **money("7")))
    tally.add_event(event("Refund", **money("7")))
    total = tally.result().total
    assert total.counts["Purchase"] == 1
    assert total.value == {"EUR": Decimal(7)}


def test_destinations_are_told_of_what_they_have_got() -> None:
    tally = FunnelTally()
    tally.add_touch(touch(1))
    tally.add_event(event(), ["meta", "grampixel"])
    tally.add_event(event("FTD", **money("7")), ["meta"])
    tally.add_event(event("FTD", user=2, **money("9")))
    told = tally.result().by_destination
    assert list(told) == ["grampixel", "meta"]
    assert told["grampixel"].counts == {"sessions": 0, "REG": 1, "FTD": 0, "DEP": 0, "Purchase": 0}
    assert (told["meta"].counts["FTD"], told["meta"].value) == (1, {"EUR": Decimal(7)})


def test_a_day_is_one_of_the_time_zone() -> None:
    late = datetime(2026, 3, 10, 22, 30, tzinfo=timezone.utc)
    tally = FunnelTally(ZoneInfo("Europe/Kyiv"))
    tally.add_touch(touch(1, at=late))
    tally.add_event(event(event_time=late - 3 * HOUR))
    assert list(tally.result().by_day) == ["2026-03-10", "2026-03-11"]


def test_events_have_the_source_of_their_users_session() -> None:
    tally = FunnelTally()
    tally.add_touch(touch(1, source="invite"))
    tally.add_touch(touch(2))
    tally.add_touch(touch(3))
    tally.learn(touch(4, "gp_old", "startapp"))
    for each in (
        event(user=1),
        event(user=2),
        event(user=4, session_id="gp_old"),
        event(user=9),
        event(session_id=None),
    ):
        tally.add_event(each)
    sources = tally.result().by_source
    assert {source: row.counts["REG"] for source, row in sources.items()} == {
        "start": 1,
        "invite": 1,
        "startapp": 1,
        "unknown": 1,
        "organic": 1,
    }
    assert list(sources)[:2] == ["start", "invite"]
    assert sources["startapp"].counts["sessions"] == 0


# Coverage


def test_coverage_is_the_share_of_events_that_hold_a_key() -> None:
    click = Click(at=NOON, fbclid="IwAR0", ttclid="E.C.P", ip="203.0.113.9", user_agent="Mozilla")
    tally = CoverageTally()
    tally.add(event(click=click, traits={"meta": {"em": "a" * 64}}))
    tally.add(event(traits={"tiktok": {"ph": "b" * 64}}))
    tally.add(event("FTD", click=Click(at=NOON, fbp="fb.1.1700000000000.123")))
    tally.add(event("FTD", click=Click(at=NOON, fbp="what Meta would refuse")))
    total = tally.total()
    assert total.events == 4
    assert dict(total.counts) == {
        "fbc": 1,
        "fbp": 1,
        "ttclid": 1,
        "em": 1,
        "ph": 1,
        "ip": 1,
        "user_agent": 1,
    }
    assert total.shares["em"] == 0.25
    assert tally.by_name()["FTD"].counts["fbp"] == 1
    assert tally.by_name()["FTD"].counts["fbc"] == 0


def test_nothing_is_covered_without_events() -> None:
    total = CoverageTally().total()
    assert total.events == 0
    assert set(total.shares.values()) == {0.0}


# Deliveries over time


def delivered(
    ended: datetime, *, age: timedelta = HOUR, state: State = "delivered", to: str = "a"
) -> EventRecord:
    happened = event(event_time=ended - age)
    delivery = Delivery(happened, to, state, 0, ended - age, ended)
    return EventRecord(1, happened, ended - age, [delivery])


def test_deliveries_count_when_they_ended() -> None:
    tally = DeliveryTally(NOON - 2 * DAY, NOON)
    tally.add(delivered(NOON - DAY, age=timedelta(days=1)))
    tally.add(delivered(NOON - HOUR, state="dead"))
    tally.add(delivered(NOON - 9 * DAY))
    (flows,) = tally.result().values()
    assert [flow.start.day for flow in flows] == [8, 9, 10]
    assert [flow.counts["delivered"] for flow in flows] == [0, 1, 0]
    assert [flow.counts["dead"] for flow in flows] == [0, 0, 1]


def test_what_is_pending_counts_when_it_was_stored() -> None:
    tally = DeliveryTally(NOON - DAY, NOON, hourly=True)
    waiting = delivered(NOON + HOUR, age=3 * HOUR, state="pending")
    tally.add(waiting)
    (flows,) = tally.result().values()
    (flow,) = [flow for flow in flows if flow.counts["pending"]]
    assert flow.start == NOON - 2 * HOUR
    assert flow.median_age is None


def test_ages_are_told_in_the_middle_and_high() -> None:
    tally = DeliveryTally(NOON - DAY, NOON)
    for minutes in range(1, 101):
        tally.add(delivered(NOON - HOUR, age=timedelta(minutes=minutes)))
    tally.add(delivered(NOON - HOUR, age=timedelta(hours=99), state="dead"))
    flow = tally.result()["a"][-1]
    assert flow.median_age == 51 * 60
    assert flow.high_age == 96 * 60


def test_each_destination_has_flows_of_its_own() -> None:
    tally = DeliveryTally(NOON - DAY, NOON)
    tally.add(delivered(NOON - HOUR, to="b"))
    tally.add(delivered(NOON - HOUR, to="a"))
    assert list(tally.result()) == ["a", "b"]


@pytest.mark.parametrize(("month", "day"), [(3, 29), (10, 25)])
def test_a_change_of_clocks_leaves_each_day_once(month: int, day: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    noon = datetime(2026, month, day, 12, tzinfo=timezone.utc)
    tally = DeliveryTally(noon - 2 * DAY, noon + 2 * DAY, zone=zone)
    tally.add(delivered(noon))
    days = [flow.start.day for flow in tally.result()["a"]]
    assert days == [(noon + number * DAY).day for number in range(-2, 3)]


# Reading


async def fill(store: Store, clock: ManualClock, count: int) -> None:
    for number in range(count):
        now = datetime.fromtimestamp(clock.time(), timezone.utc)
        await store.sessions.add(touch(number + 1, f"gp_{number}", at=now))
        happened = event(user=number + 1, session_id=f"gp_{number}", event_time=now)
        await store.outbox.accept(Entry(happened, ["a"]))
        clock.advance(60)


async def test_a_store_is_read_as_far_as_the_time_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    began = datetime.fromtimestamp(clock.time(), timezone.utc)
    await fill(store, clock, 20)
    now = datetime.fromtimestamp(clock.time(), timezone.utc)
    claim = await store.outbox.claim("a", 5, lease=60)
    await store.outbox.settle([Outcome(each, "delivered") for each in claim.deliveries])
    whole = await read_report(store, began, now)
    assert whole.complete
    assert whole.lists_touches
    assert whole.funnel.total.counts["sessions"] == whole.funnel.total.counts["REG"] == 20
    assert whole.coverage.events == 20
    flows = whole.flows["a"]
    assert sum(flow.counts["delivered"] for flow in flows) == 5
    assert sum(flow.counts["pending"] for flow in flows) == 15
    recent = await read_report(store, now - timedelta(minutes=5), now)
    assert recent.funnel.total.counts["sessions"] == recent.funnel.total.counts["REG"] == 5
    cut = await read_report(store, began, now, most=6)
    assert not cut.complete
    assert cut.funnel.total.counts["REG"] == 6


async def test_a_store_that_lists_no_touches_has_a_report_without_sessions() -> None:
    class Silent(SessionStore):
        async def add(self, session):
            raise NotImplementedError

        async def history(self, telegram_id, *, since=None, until=None):
            return []

        async def erase(self, telegram_id):
            raise NotImplementedError

        async def prune(self, before, limit):
            raise NotImplementedError

    store = Store.of(Silent(), MemoryStore())
    await store.outbox.accept(entry("e1"))
    report = await read_report(store, NOON - 999 * DAY, NOON + 999 * DAY)
    assert not report.lists_touches
    assert report.funnel.total.counts["sessions"] == 0
    assert report.funnel.total.counts["REG"] == 1
