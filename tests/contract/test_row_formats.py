"""What this version writes into a row, every later one must read: golden files pin it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.stores import keys
from gp_aiogram.stores.records import DeliveryFilter, Outcome, Try
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.testing import ManualClock
from gp_aiogram.testing.samples import claim_one, deliveries_of, entry

DATA = Path(__file__).parents[1] / "data"

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
NOON_MS = 1_767_268_800_000

CLICK = Click(
    at=NOON + timedelta(milliseconds=123),
    fbclid="IwAR0aBcD_-e",
    fbc="fb.1.1767268800123.IwAR0aBcD_-e",
    fbp="fb.1.1767268800000.1098115397",
    ttclid="E.C.P.xyz",
    ttp="2ODUc3zZhXMkUjUsLfRhbdmOn6V",
    gclid="Cj0KCQ",
    utm={"utm_source": "tiktok", "utm_campaign": "été 😀"},
    ip="2001:db8::1",
    user_agent='Mozilla/5.0 (iPhone; "quoted")',
    url="https://example.com/?utm_source=tiktok&b=%20#c",
    referrer="https://example.org/",
)
#: What this version writes, and the versions before wrote.
EVENT, EARLIER_EVENT = (
    Event(
        "e-every",
        "FTD",
        NOON + timedelta(microseconds=123456),
        telegram_id=7,
        bot_id=42,
        session_id="gp_a1b2c3",
        value=Decimal("49.90"),
        currency="EUR",
        user_data={
            "plan": "gold",
            "emoji": "🎉",
            **more,
            "beyond 53 bits": 2**53 + 1,
            "nested": [{"b": [None, True, 0.1]}],
        },
        click=CLICK,
        traits={"meta": {"em": "a" * 64}, "tiktok": {"ph": "b" * 64}},
        bot_username="shop_bot",
    )
    for more in ({}, {"half an emoji": "\ud83c", "huge": -(2**70)})
)
RECEIPT = {"events_received": 1, "fbtrace_id": "Aé"}
TRIES = (
    Try(1, NOON + timedelta(milliseconds=123), "failed", 503, "HTTP 503: später"),
    Try(2, NOON + timedelta(minutes=1), "unsure", None, "no answer within 60 s"),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gp.sqlite3"


@asynccontextmanager
async def opened(path):
    store = SQLiteStore(path, clock=ManualClock(start=NOON.timestamp()))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def golden(name):
    return (DATA / "rows" / name).read_text(encoding="utf-8").strip()


async def write_rows(path):
    """Have this version write a row of each kind."""
    async with opened(path) as store:
        await store.profiles.add_click("gp_a1b2c3", CLICK)
        await store.outbox.accept(entry(EVENT))
        delivery = await claim_one(store.outbox)
        outcome = Outcome(
            delivery, "delivered", attempts=1, reason="no", receipt=RECEIPT, batch_cap=3
        )
        await store.outbox.settle([outcome._replace(tries=TRIES)])


async def test_rows_are_written_as_in_the_golden_files(path):
    await write_rows(path)
    with closing(sqlite3.connect(path)) as connection:
        (event,) = connection.execute(
            "SELECT body, seq, event_id, name, telegram_id, bot_id, accepted_ms, order_digest"
            " FROM event"
        )
        (delivery,) = connection.execute(
            "SELECT receipt, seq, destination, state, since_ms, due_ms, attempts, reason,"
            " maybe_delivered, batch_cap FROM delivery"
        )
        (tries,) = connection.execute("SELECT tries FROM delivery")
        (click,) = connection.execute("SELECT body, session_id, at_ms FROM click")
    assert event[1:] == (1, "e-every", "FTD", 7, 42, NOON_MS, None)
    assert delivery[1:] == (1, "a", "delivered", NOON_MS, NOON_MS, 1, "no", 0, 3)
    assert click[1:] == ("gp_a1b2c3", NOON_MS + 123)
    for (body, *_), name in (
        (event, "event"),
        (delivery, "receipt"),
        (tries, "tries"),
        (click, "click"),
    ):
        assert json.loads(body) == json.loads(golden(f"{name}.json"))


async def test_rows_of_the_golden_files_are_read(path):
    await write_rows(path)
    with closing(sqlite3.connect(path)) as connection:
        for table, column, name in (
            ("event", "body", "event.json"),
            ("delivery", "receipt", "receipt.json"),
            ("delivery", "tries", "tries.json"),
            ("click", "body", "click.json"),
        ):
            connection.execute(f"UPDATE {table} SET {column} = ?", (golden(name),))
        connection.commit()
    async with opened(path) as store:
        (delivery,) = await store.outbox.select(DeliveryFilter())
        assert (delivery.event, delivery.receipt, delivery.tries) == (EVENT, RECEIPT, TRIES)
        assert (await store.profiles.profile(7, "gp_a1b2c3")).click == CLICK


@pytest.mark.parametrize("version", [1, 2])
async def test_rows_of_earlier_versions_are_read(path, version):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "schema" / f"v{version}.sql").read_text(encoding="utf-8"))
    async with opened(path) as store:
        for event in [delivery.event for delivery in await deliveries_of(store.outbox, "e-every")]:
            assert event == EARLIER_EVENT
        claimed = await claim_one(store.outbox)
        assert claimed.event == EARLIER_EVENT
        assert str(claimed.event.value) == "49.90"
        (delivered,) = await store.outbox.select(DeliveryFilter(states=frozenset({"delivered"})))
        assert delivered.receipt == RECEIPT
        assert (await store.profiles.profile(7, "gp_a1b2c3")).click == CLICK


def test_digests_are_those_of_the_golden_file():
    salt = bytes(range(keys.SALT_SIZE))
    digests = {
        "user": keys.once_digest(salt, keys.user_key(42, 7, "FTD")),
        "user of no bot": keys.once_digest(salt, keys.user_key(None, 7, "Заявка")),
        "order": keys.once_digest(salt, keys.order_key(42, "1001", "Purchase")),
        "order of a user": keys.once_digest(
            salt, keys.OnceKey("order", "1001", "Purchase", 42, telegram_id=7)
        ),
        "deposit": keys.once_digest(salt, keys.deposit_key(42, "1001")),
        "opt-out": keys.once_digest(salt, keys.opt_out_key(7)),
        "erased event": keys.event_digest(salt, "e1", "FTD"),
        "order of events": keys.order_digest(salt, "1001"),
        "once-key of versions 1 and 2": keys.legacy_once_digest(salt, "user:42:7:FTD"),
        "erased event of versions 1 and 2": keys.legacy_event_digest(salt, "e1"),
    }
    written = {name: digest.hex() for name, digest in digests.items()}
    assert written == json.loads(golden("digests.json"))
    assert len({*written.values()}) == len(written)
