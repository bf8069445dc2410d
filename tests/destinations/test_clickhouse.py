"""ClickHouse: what is written, what its answers mean, and how it works with real engines."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import httpx
import pytest

from fixtures.ad_platforms import CLICK, NOON, deliver, event, failure, purchase
from fixtures.clickhouse import PASSWORD, USER, Server, current_engine, old_server
from gp_aiogram import (
    Attribution,
    Click,
    ClickHouse,
    ClickHouseHistory,
    ConfigurationError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    MemoryStore,
    RateLimited,
    Session,
    Tracker,
)
from gp_aiogram.model.session import SessionQuery

URL = "https://clickhouse.example.com:8443"


class API:
    """Answers every request alike, and keeps the requests."""

    def __init__(self, answer: str = "", status: int = 200, headers: Any = None) -> None:
        self.answer, self.status, self.headers = answer, status, headers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        return httpx.Response(self.status, text=self.answer, headers=self.headers)


def to(api: API, **options: Any) -> ClickHouse:
    return ClickHouse(URL, transport=httpx.MockTransport(api), **options)


async def written(one: Any) -> dict[str, Any]:
    api = API()
    await deliver(to(api), one)
    (request,) = api.requests
    return json.loads(request.content, parse_float=Decimal)


# What is sent


async def test_a_row_has_the_event_its_session_and_its_click():
    click = Click(
        **vars(CLICK) | {"ids": {"yclid": "1"}, "utm": {"utm_campaign": "may", "utm_x": "y"}}
    )
    row = await written(
        purchase(
            bot_id=99,
            bot_username="my_bot",
            session_id="gp_1",
            user_data={"plan": "gold"},
            value=Decimal("0.123456789012345678"),
            click=click,
        )
    )
    assert row.pop("inserted_at") > NOON.timestamp() - 1
    assert row == {
        "event_id": "e1",
        "name": "Purchase",
        "event_time": 1767268800,
        "telegram_id": 42,
        "bot_id": 99,
        "bot_username": "my_bot",
        "session_id": "gp_1",
        "value": Decimal("0.123456789012345678"),
        "currency": "EUR",
        "user_data": '{"plan":"gold"}',
        "click_at": 1767265200,
        "fbclid": "IwAR_AbC",
        "fbc": "",
        "fbp": "fb.1.1767260000000.1098115397",
        "ttclid": "E.C.P.x",
        "ttp": "2Hsp8kY1LzDk0K",
        "gclid": "",
        "click_ids": '{"yclid":"1"}',
        "utm_source": "",
        "utm_medium": "",
        "utm_campaign": "may",
        "utm_content": "",
        "utm_term": "",
        "utm": '{"utm_campaign":"may","utm_x":"y"}',
        "ip": "93.184.216.34",
        "user_agent": CLICK.user_agent,
        "url": CLICK.url,
        "referrer": CLICK.referrer,
    }


async def test_an_organic_event_is_a_row_as_well():
    row = await written(event(name="anything at all"))
    assert (row["name"], row["value"], row["session_id"], row["click_at"]) == (
        "anything at all",
        None,
        "",
        None,
    )


def test_every_event_is_accepted_whatever_its_name():
    clickhouse = to(API())
    assert all(clickhouse.accepts(event(name=name)) for name in ("REG", "Refund", "x"))
    assert clickhouse.knows_currency("USDT")


async def test_the_insert_names_its_columns_and_waits_for_the_end():
    api = API()
    await deliver(to(api, table="analytics.events", user="bot", password="pw1234"), event())
    (request,) = api.requests
    assert request.url.params["query"].startswith("INSERT INTO analytics.events (event_id, name,")
    assert request.url.params["query"].endswith("inserted_at) FORMAT JSONEachRow")
    assert request.url.params["database"] == "analytics"
    assert request.url.params["wait_end_of_query"] == "1"
    assert "async_insert" not in request.url.params
    assert request.headers["x-clickhouse-user"] == "bot"
    assert request.headers["x-clickhouse-key"] == "pw1234"


async def test_the_server_may_gather_as_well():
    api = API()
    await deliver(to(api, async_insert=True), event())
    (request,) = api.requests
    assert request.url.params["async_insert"] == request.url.params["wait_for_async_insert"] == "1"


async def test_the_table_is_made_once_before_the_first_insert():
    api = API()
    clickhouse = to(api, create=True)
    await asyncio.gather(*(deliver(clickhouse, event()) for _ in range(3)))
    statements = [request.url.params["query"].split()[0] for request in api.requests]
    assert statements == ["CREATE", "INSERT", "INSERT", "INSERT"]
    assert api.requests[0].url.params["query"] == clickhouse.create_statement


@pytest.mark.parametrize("moment", [NOON.replace(year=1969), NOON.replace(year=2107)])
def test_a_time_that_no_datetime_holds_is_one_dead_letter(moment):
    with pytest.raises(EventRejected, match="beyond what ClickHouse's DateTime holds"):
        to(API()).prepare(event(event_time=moment))


# Answers


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (516, 403, DestinationMisconfigured),
        (193, 401, DestinationMisconfigured),
        (497, 500, DestinationMisconfigured),
        (60, 404, DestinationMisconfigured),
        (81, 404, DestinationMisconfigured),
        (115, 404, DestinationMisconfigured),
        (41, 400, EventRejected),
        (27, 400, EventRejected),
        (69, 500, EventRejected),
        (252, 500, RateLimited),
        (202, 500, RateLimited),
        (241, 500, DeliveryFailed),
        (209, 500, DeliveryFailed),
        (99999, 500, DeliveryFailed),
        (242, 200, DeliveryFailed),
    ],
)
@pytest.mark.parametrize("told", ["text", "header"])
async def test_a_code_means_the_same_under_any_status(code, status, expected, told):
    text = f"Code: {code}, e.displayText() = DB::Exception: because, e.what() = DB::Exception"
    headers = {"x-clickhouse-exception-code": str(code)} if told == "header" else None
    raised = await failure(to(API(text, status, headers)))
    assert type(raised) is expected
    assert "because" in raised.reason


async def test_rows_with_other_columns_are_a_mistake_in_the_table():
    text = "Code: 117, DB::Exception: Unknown field found while parsing JSONEachRow format: ip"
    assert isinstance(await failure(to(API(text, 500))), DestinationMisconfigured)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(502, DeliveryFailed), (401, DestinationMisconfigured), (429, RateLimited)],
)
async def test_what_is_no_clickhouse_is_judged_by_the_status(status, expected):
    assert isinstance(await failure(to(API("<html>", status))), expected)
    raised = await failure(to(API("<html>welcome", 200)))
    assert isinstance(raised, DeliveryFailed)
    assert raised.ambiguous


# Real engines


@pytest.fixture(scope="module", params=[old_server, current_engine], ids=["18.16", "current"])
def server(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    with old_server(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture
async def clickhouse(server: Server) -> AsyncIterator[ClickHouse]:
    clickhouse = ClickHouse(**server.arguments(), create=True)
    yield clickhouse
    await clickhouse.close()


async def rows(clickhouse: ClickHouse, columns: str = "*", final: str = "FINAL") -> list[Any]:
    return await clickhouse.query(
        f"SELECT {columns} FROM {clickhouse.table.name} {final} ORDER BY event_id"
    )


async def test_what_is_written_can_be_read(clickhouse):
    ids = ['é"\\\n\t\u2028', "e2"]
    paid = purchase(
        event_id=ids[0],
        value=Decimal("0.123456789012345678"),
        user_data={"a": [1, "x"]},
        click=CLICK,
    )
    await deliver(clickhouse, paid, event(event_id=ids[1]))
    second, first = await rows(
        clickhouse, "*, toString(value) AS exact, toUnixTimestamp(click_at)"
    )
    assert (first["event_id"], second["event_id"]) == tuple(ids)
    assert first["exact"] == "0.123456789012345678"
    assert first["event_time"] == "2026-01-01 12:00:00"
    assert (json.loads(first["user_data"]), first["ip"]) == ({"a": [1, "x"]}, CLICK.ip)
    assert (second["value"], second["click_at"], int(second["telegram_id"])) == (None, None, 42)


async def test_the_largest_and_the_smallest_amounts_are_kept_to_the_digit(clickhouse):
    amounts = [Decimal(10) ** 12, Decimal("1e-18"), Decimal("0.00"), Decimal("12.34")]
    events = [purchase(event_id=f"e{n}", value=value) for n, value in enumerate(amounts)]
    await deliver(clickhouse, *events)
    read = await rows(clickhouse, "toString(value) AS exact")
    assert [Decimal(row["exact"]) for row in read] == amounts


async def test_an_event_that_is_written_twice_counts_once(clickhouse):
    for _ in range(2):
        await deliver(clickhouse, event(), event(name="Lead"))
    assert len(await rows(clickhouse)) == 2
    table = clickhouse.table.name
    await clickhouse._execute({"query": f"OPTIMIZE TABLE {table} FINAL"}, b"")
    assert len(await rows(clickhouse, final="")) == 2


async def test_the_table_may_be_there_already(clickhouse):
    await clickhouse.create_table()
    await clickhouse.create_table()
    assert await rows(clickhouse) == []


async def test_without_the_table_the_destination_pauses(server):
    clickhouse = ClickHouse(**server.arguments())
    assert isinstance(await failure(clickhouse), DestinationMisconfigured)
    await clickhouse.create_table()
    await deliver(clickhouse, event())
    assert len(await rows(clickhouse)) == 1
    await clickhouse.close()


async def test_a_row_that_cannot_be_read_rejects_the_batch(clickhouse):
    good = clickhouse.prepare(event())
    bad = good.replace(b"1767268800", b'"noon"', 1)
    with pytest.raises(EventRejected):
        await clickhouse.send([good, bad])
    await clickhouse.send([good])
    assert len(await rows(clickhouse)) == 1


async def test_a_table_with_other_columns_pauses(server):
    clickhouse = ClickHouse(**server.arguments())
    table = clickhouse.table.name
    statement = f"CREATE TABLE {table} (event_id String) ENGINE = MergeTree ORDER BY event_id"
    await clickhouse._execute({"query": statement}, b"")
    assert isinstance(await failure(clickhouse), DestinationMisconfigured)
    await clickhouse.close()


async def test_a_query_that_does_not_fit_into_memory_is_tried_again(old):
    clickhouse = ClickHouse(**old.arguments())
    await clickhouse.create_table()
    clickhouse._settings["max_memory_usage"] = "1"
    raised = await failure(clickhouse)
    assert isinstance(raised, DeliveryFailed)
    assert "Memory limit" in raised.reason
    await clickhouse.close()


async def test_the_server_gathers_where_it_can(server):
    clickhouse = ClickHouse(**server.arguments(), create=True, async_insert=True)
    if server.is_current:
        await deliver(clickhouse, event())
        assert len(await rows(clickhouse)) == 1
    else:
        assert isinstance(await failure(clickhouse), DestinationMisconfigured)
    await clickhouse.close()


@pytest.mark.parametrize("wrong", [{"password": "wrongPASS"}, {"user": "nobody"}])
async def test_a_wrong_user_or_password_pauses_and_is_shown_nowhere(old, wrong, caplog):
    caplog.set_level(logging.DEBUG)
    clickhouse = ClickHouse(**old.arguments() | wrong, gather_for=0)
    async with Tracker([clickhouse], store=MemoryStore()) as tracker:
        await tracker.track("REG", telegram_id=7)
        await tracker.flush(0.5)
        stats = (await tracker.stats()).destinations["clickhouse"]
    assert (stats.state, dict(stats.deliveries)) == ("refused", {"pending": 1})
    shown = f"{caplog.text}{clickhouse!r}"
    assert "wrongPASS" not in shown
    assert PASSWORD not in shown


async def test_a_user_who_may_only_read_pauses(old):
    clickhouse = ClickHouse(**old.arguments() | {"user": "reader"}, create=True)
    assert isinstance(await failure(clickhouse), DestinationMisconfigured)
    await clickhouse.close()


async def test_events_of_a_tracker_come_in_one_insert(clickhouse):
    async with Tracker([clickhouse], store=MemoryStore()) as tracker:
        session_id = await tracker.register_click(Click(utm={"utm_campaign": "may"}))
        await tracker.capture(7, session_id, bot_id=42)
        for number in range(20):
            await tracker.track(
                "DEP", telegram_id=7, bot_id=42, value=number, event_id=f"e{number}"
            )
        assert await tracker.flush(10)
        stored = await rows(clickhouse, "session_id, utm_campaign, bot_id")
        inserted = await rows(clickhouse, "inserted_at")
        assert (await tracker.stats()).destinations["clickhouse"].deliveries == {"delivered": 20}
    assert {row["session_id"] for row in stored} == {session_id}
    assert {row["utm_campaign"] for row in stored} == {"may"}
    assert len(stored) == len(inserted) == 20


# History


def days(number: float) -> timedelta:
    return timedelta(days=number)


async def session_of(server: Server, clickhouse: ClickHouse, **query: Any) -> Session | None:
    history = ClickHouseHistory(
        server.url, table=clickhouse.table.name, user=USER, password=PASSWORD
    )
    try:
        return await history.find(SessionQuery(42, **query))
    finally:
        await history.close()


async def test_the_session_of_the_last_event_is_found(server, clickhouse):
    await deliver(
        clickhouse,
        event(event_id="e1", session_id="gp_old", bot_id=1, event_time=NOON - days(3)),
        event(event_id="e2", session_id="gp_new", bot_id=1, event_time=NOON - days(2)),
        event(event_id="e3", bot_id=1, event_time=NOON - days(1)),
        event(event_id="e4", session_id="gp_bot2", bot_id=2, event_time=NOON),
        event(event_id="e5", session_id="gp_else", bot_id=1, telegram_id=43),
    )
    found = await session_of(server, clickhouse, bot_id=1)
    assert found == Session(1, 42, "gp_new", "history", NOON - days(2), "gp_new")
    first = await session_of(server, clickhouse, bot_id=1, first=True)
    assert first is not None
    assert first.session_id == "gp_old"
    of_any = await session_of(server, clickhouse)
    assert of_any is not None
    assert (of_any.session_id, of_any.bot_id) == ("gp_bot2", 2)
    before = await session_of(server, clickhouse, bot_id=1, until=NOON - days(2.5))
    assert before is not None
    assert before.session_id == "gp_old"
    assert await session_of(server, clickhouse, bot_id=3) is None


async def test_events_do_not_keep_a_session_alive_beyond_the_window(server, clickhouse):
    old = Click(at=NOON - days(40))
    events = [
        event(event_id=f"e{n}", session_id="gp_1", click=old, event_time=NOON - days(n))
        for n in range(35)
    ]
    await deliver(clickhouse, *events)
    assert await session_of(server, clickhouse, since=NOON - days(30)) is None
    found = await session_of(server, clickhouse, since=NOON - days(41))
    assert found is not None
    assert found.at == NOON - days(40)


async def test_a_tracker_credits_the_session_of_the_events(server, clickhouse):
    now = datetime.now(timezone.utc)
    click = Click(at=now - days(2), utm={"utm_campaign": "may"})
    history = ClickHouseHistory(
        server.url, table=clickhouse.table.name, user=USER, password=PASSWORD
    )
    await deliver(
        clickhouse,
        event(event_id="e1", session_id="gp_events", telegram_id=7, event_time=now - days(1)),
    )
    attribution = Attribution(history=history)
    async with Tracker([], store=MemoryStore(), attribution=attribution) as tracker:
        await tracker.register_click(click, session_id="gp_events")
        organic = await tracker.track("REG", telegram_id=7)
        await tracker.capture(7, "gp_start")
        started = await tracker.track("REG", telegram_id=7)
        await tracker.capture(7, "gp_invited", source="invite")
        invited = await tracker.track("REG", telegram_id=7)
        assert tracker.counts["history_errors"] == 0
    assert organic.session_id == started.session_id == "gp_events"
    assert organic.click is not None
    assert organic.click.utm == {"utm_campaign": "may"}
    assert invited.session_id == "gp_invited"


# Construction


@pytest.mark.parametrize("kind", [ClickHouse, ClickHouseHistory])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "clickhouse:9000"}, "base_url=...) must be an http or https URL"),
        ({"url": "https://user:pw@x"}, "base_url=...) must be an http or https URL"),
        ({"table": "a; DROP TABLE b"}, "table=...) must be a name of letters, digits"),
        ({"table": "a.b.c"}, "must be a name of letters, digits"),
        ({"table": ""}, "table=...) must be a name"),
        ({"table": None, "database": "1"}, "database=...) must be a name"),
        ({"database": "`x`"}, "database=...) must be a name"),
        ({"user": "a b"}, "user=...) must be a name"),
        ({"user": "a\r\nx: y"}, "user=...) must be a name"),
        ({"password": "a b"}, "password=...) holds white space"),
        ({"password": ""}, "password=...) is empty"),
    ],
)
def test_what_cannot_work_is_refused_with_what_it_should_be(kind, options, said):
    with pytest.raises(ConfigurationError) as caught:
        kind(**{"url": URL} | options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 0}, "batch_size=...) must be a number of rows, 1 to 100000"),
        ({"batch_size": "many"}, "batch_size=...) must be a number of rows"),
        ({"gather_for": -1}, "gather_for=...) must be seconds, 0 to 3600"),
        ({"gather_for": None}, "gather_for=...) must be seconds"),
    ],
)
def test_limits_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ConfigurationError) as caught:
        ClickHouse(URL, **options)
    assert said in str(caught.value)


def test_a_repr_shows_the_table_and_no_password():
    shown = repr(ClickHouse(URL, table="analytics.events", password="pw1234"))
    assert shown == "ClickHouse(analytics.events, name='clickhouse')"
    assert repr(ClickHouseHistory(URL)) == "ClickHouseHistory(default.gp_events)"
