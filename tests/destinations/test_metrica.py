"""YandexMetrica: whom Metrica is told of, what is sent, and how its answers are read."""

from __future__ import annotations

import csv
import io
import logging
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from fixtures.ad_platforms import deliver, event, failure, purchase
from gp_aiogram import (
    Click,
    ConfigurationError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    EventSkipped,
    MemoryStore,
    RateLimited,
    SQLiteStore,
    Stars,
    Tracker,
    YandexMetrica,
)
from gp_aiogram.destinations.base import Processing
from gp_aiogram.sandbox import Fault, MetricaSandbox

TOKEN = "y0_AgAAAA-token"
BOTH = {"yclid": "111", "_ym_uid": "222"}


def clicked(ids: dict[str, str] | None = None, **fields: Any) -> Click:
    return Click(at=datetime(2026, 1, 1, 11, tzinfo=timezone.utc), ids=ids or BOTH, **fields)


class API:
    """Answers every request alike, and keeps the requests."""

    def __init__(self, answer: Any = None, status: int = 200, headers: Any = None) -> None:
        self.answer = {"uploading": {"id": 5, "line_quantity": 1}} if answer is None else answer
        self.status = status
        self.headers = headers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        if isinstance(self.answer, str):
            return httpx.Response(self.status, text=self.answer, headers=self.headers)
        return httpx.Response(self.status, json=self.answer, headers=self.headers)

    @property
    def rows(self) -> list[list[str]]:
        """The rows of the only upload."""
        (request,) = self.requests
        body = request.content.decode()
        _, _, file = body.partition("\r\n\r\n")
        return list(csv.reader(io.StringIO(file.partition("\r\n--")[0])))

    @property
    def forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(request.content.decode())) for request in self.requests]


def to(api: API, **options: Any) -> YandexMetrica:
    options = {"transport": httpx.MockTransport(api)} | options
    return YandexMetrica(12345678, TOKEN, **options)


async def uploaded(*events: Any, **options: Any) -> list[list[str]]:
    api = API()
    await deliver(to(api, **options), *events)
    return api.rows


async def measured(one: Any, **options: Any) -> list[dict[str, str]]:
    api = API("")
    await deliver(to(api, mode="measurement", **options), one)
    return api.forms


# Offline conversions


async def test_money_goes_by_the_click_on_direct_and_all_else_by_the_browser():
    paid = purchase(currency="RUB", click=clicked())
    registered = event(click=clicked())
    assert await uploaded(paid) == [
        ["yclid", "Target", "DateTime", "Price", "Currency"],
        ["111", "Purchase", "1767268800", "49.90", "RUB"],
    ]
    assert await uploaded(registered) == [
        ["ClientId", "Target", "DateTime", "Price", "Currency"],
        ["222", "REG", "1767268800", "", ""],
    ]


async def test_what_is_known_serves_for_both():
    paid = purchase(currency="RUB", click=clicked({"ClientID": "222"}))
    registered = event(click=clicked({"yclid": "111"}))
    assert (await uploaded(paid))[0][0] == "ClientId"
    assert (await uploaded(registered))[0][0] == "yclid"


@pytest.mark.parametrize("click", [None, clicked({"subid": "1"}), clicked({"yclid": "a b"})])
@pytest.mark.parametrize("mode", ["offline", "measurement"])
def test_a_user_whom_metrica_cannot_know_is_skipped_with_the_reason(click, mode):
    with pytest.raises(EventSkipped, match="no ClientID: the user did not come from a page"):
        to(API(), mode=mode).prepare(event(click=click))


def test_the_measurement_protocol_needs_the_browser():
    with pytest.raises(EventSkipped, match="no ClientID: the user"):
        to(API(), mode="measurement").prepare(event(click=clicked({"yclid": "111"})))


async def test_the_names_of_the_ids_are_the_owners():
    click = clicked({"ya": "111", "ymclid": "333", "yclid": "9"})
    options = {"yclid": "ya", "client_id": ["mine", "ymclid"]}
    assert (await uploaded(purchase(currency="RUB", click=click), **options))[1][0] == "111"
    assert (await uploaded(event(click=click), **options))[1][0] == "333"


async def test_goals_have_the_names_of_the_counter():
    rows = await uploaded(event(click=clicked()), event_names={"REG": 'sign, "up"\n'})
    assert rows[1][1] == 'sign, "up"\n'


async def test_the_request_is_the_documented_one():
    api = API()
    await deliver(to(api), event(click=clicked()))
    (request,) = api.requests
    assert str(request.url) == (
        "https://api-metrika.yandex.net/management/v1/counter/12345678/"
        "offline_conversions/upload?type=BASIC"
    )
    assert request.headers["authorization"] == f"OAuth {TOKEN}"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"' in request.content


async def test_a_time_that_is_to_come_is_told_as_the_present():
    later = datetime.fromtimestamp(int(time.time()) + 3600, timezone.utc)
    rows = await uploaded(event(click=clicked(), event_time=later))
    assert time.time() - 60 < int(rows[1][2]) < time.time()


@pytest.mark.parametrize(
    ("value", "currency", "price"),
    [
        (Decimal(100), "USD", "9050.00"),
        (Decimal("0.5"), "USDT", "45.00"),
        (Decimal(1_000_000_000), "RUB", "1000000000.00"),
        (Decimal("0E+2"), "RUB", "0.00"),
    ],
)
async def test_amounts_are_told_in_the_counters_currency(value, currency, price):
    rates = {"USD": ("RUB", Decimal("90.50")), "USDT": ("RUB", 90)}
    paid = purchase(value=value, currency=currency, click=clicked())
    assert (await uploaded(paid, rates=rates))[1][3:] == [price, "RUB"]


def test_an_amount_that_metrica_would_empty_is_a_dead_letter():
    with pytest.raises(EventRejected, match=r"rates=\{'EUR': \('RUB', Decimal"):
        to(API()).prepare(purchase(click=clicked()))


def test_a_tracker_whose_stars_are_worth_another_currency_is_refused():
    with pytest.raises(ConfigurationError, match="does not take USD, which stars are converted"):
        Tracker([to(API())], store=MemoryStore())
    Tracker([to(API())], store=MemoryStore(), stars=Stars(Decimal("1.2"), "RUB"))
    Tracker([to(API(), rates={"USD": ("RUB", 90)})], store=MemoryStore())


def test_what_may_share_an_upload_is_told_by_the_kind_of_id():
    metrica = to(API())
    kinds = {
        metrica.kind_of(metrica.prepare(purchase(currency="RUB", click=clicked()))),
        metrica.kind_of(metrica.prepare(event(click=clicked()))),
    }
    assert kinds == {"yclid", "ClientId"}


def test_limits_are_those_of_the_mode():
    offline, measured = to(API()), to(API(), mode="measurement")
    assert (offline.batch_size, offline.gather_for) == (1000, 60)
    assert (measured.batch_size, measured.gather_for) == (1, 0)
    assert (offline.max_age, measured.max_age) == (timedelta(days=21), timedelta(hours=12))
    assert offline.concurrency == 3
    other = to(API(), batch_size=50, gather_for=600)
    assert (other.batch_size, other.gather_for) == (50, 600)


# Answers


async def test_an_upload_is_asked_about_later():
    (taken,) = await deliver(to(API()), event(click=clicked()))
    assert taken == Processing({"uploading": "5", "line_quantity": "1"}, 7200)
    (taken,) = await deliver(to(API(), status_after=None), event(click=clicked()))
    assert taken == {"uploading": "5", "line_quantity": "1"}


def error(kind: str, message: str = "because", **more: str) -> dict[str, Any]:
    one = {"error_type": kind, "message": message, **more}
    return {"errors": [one], "code": 400, "message": message}


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (400, error("invalid_parameter", location="file"), EventRejected),
        (403, error("access_denied"), DestinationMisconfigured),
        (401, error("invalid_token"), DestinationMisconfigured),
        (404, error("not_found"), DestinationMisconfigured),
        (503, error("backend_error"), DeliveryFailed),
        (429, error("quota_requests_by_uid"), RateLimited),
        (420, error("quota_requests_by_uid"), RateLimited),
        (420, "", RateLimited),
        (400, error("quota_parallel_requests"), RateLimited),
        (500, "<html>", DeliveryFailed),
        (302, "", DestinationMisconfigured),
        (413, "", EventRejected),
        (400, {"errors": "none"}, EventRejected),
    ],
)
@pytest.mark.parametrize("mode", ["offline", "measurement"])
async def test_errors_are_of_the_event_of_the_call_or_of_the_moment(
    status, answer, expected, mode
):
    raised = await failure(to(API(answer, status), mode=mode), event(click=clicked()))
    assert type(raised) is expected
    if isinstance(answer, dict) and answer.get("message"):
        assert "because" in raised.reason


async def test_over_quota_waits_as_told():
    api = API(error("quota_requests_by_uid"), 429, {"retry-after": "900"})
    raised = await failure(to(api), event(click=clicked()))
    assert raised.retry_after == 900


@pytest.mark.parametrize("answer", ["ok", "", {"uploading": 5}, {"uploading": {"id": None}}])
async def test_an_answer_that_is_not_metricas_leaves_the_fate_unknown(answer):
    raised = await failure(to(API(answer)), event(click=clicked()))
    assert isinstance(raised, DeliveryFailed)
    assert raised.ambiguous


RECEIPT = {"uploading": "5", "line_quantity": "2"}


def uploading(**fields: Any) -> API:
    return API({"uploading": {"id": 5, "line_quantity": 2, **fields}})


async def test_the_status_of_an_upload_is_the_receipt():
    api = uploading(status="PROCESSED", linked_quantity=1)
    told = await to(api).follow_up([RECEIPT, RECEIPT])
    (request,) = api.requests
    assert (request.method, request.url.path) == (
        "GET",
        "/management/v1/counter/12345678/offline_conversions/uploading/5",
    )
    assert (
        told
        == [
            {
                "uploading": "5",
                "line_quantity": "2",
                "status": "PROCESSED",
                "linked_quantity": "1",
                "checks": 1,
            },
        ]
        * 2
    )


async def test_errors_of_an_upload_are_told_and_logged(caplog):
    (told,) = await to(uploading(status="LINKAGE_FAILURE")).follow_up([RECEIPT])
    assert told["status"] == "LINKAGE_FAILURE"
    assert "metrica: upload 5 went wrong" in caplog.text
    (told,) = await to(uploading(status="X", errors=[f"bad {TOKEN}"])).follow_up([RECEIPT])
    assert told["errors"] == "['bad ***']"


async def test_an_upload_that_is_not_worked_off_is_asked_about_again_for_a_day():
    metrica, receipt = to(uploading(status="UPLOADED"), status_after=600), RECEIPT
    for check in range(1, 12):
        (answer,) = await metrica.follow_up([receipt])
        assert isinstance(answer, Processing)
        assert (answer.check_after, answer.receipt["checks"]) == (600, check)
        receipt = answer.receipt
    (told,) = await metrica.follow_up([receipt])
    assert told == {**RECEIPT, "status": "UPLOADED", "checks": 12}


async def test_of_many_uploads_some_are_asked_about_at_once():
    api = uploading(status="PROCESSED")
    receipts = [{"uploading": str(number)} for number in range(25)]
    told = await to(api).follow_up(receipts)
    assert len(api.requests) == 10
    assert [isinstance(one, Processing) for one in told] == [False] * 10 + [True] * 15
    assert told[-1] == Processing({"uploading": "24"}, 60)


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (404, error("not_found"), "Metrica does not know the upload any more"),
        (400, error("invalid_parameter"), "Metrica invalid_parameter (HTTP 400): because"),
    ],
)
async def test_a_question_about_an_upload_buries_no_event(status, answer, expected):
    (told,) = await to(API(answer, status)).follow_up([RECEIPT])
    assert told == {**RECEIPT, "status": expected}


async def test_a_question_that_fails_concerns_its_upload_alone():
    (told,) = await to(API("", 500)).follow_up([RECEIPT])
    assert isinstance(told, DeliveryFailed)
    with pytest.raises(RateLimited):
        await to(API("", 420)).follow_up([RECEIPT])
    with pytest.raises(DestinationMisconfigured):
        await to(API(error("access_denied"), 403)).follow_up([RECEIPT])


# The Measurement Protocol


async def test_an_event_of_a_visit_is_one_form():
    page = "https://shop.example/?yclid=111&email=ada@example.com"
    (form,) = await measured(event(click=clicked(url=page)))
    assert form == {
        "tid": "12345678",
        "cid": "222",
        "dl": "https://shop.example/?yclid=111",
        "et": "1767268800",
        "t": "event",
        "ea": "REG",
        "ms": TOKEN,
    }


async def test_the_form_goes_into_the_body():
    api = API("")
    await deliver(to(api, mode="measurement"), event(click=clicked()))
    (request,) = api.requests
    assert str(request.url) == "https://mc.yandex.ru/collect"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in request.headers


async def test_without_a_visit_of_the_last_12_hours_a_page_view_goes_first():
    old = Click(
        at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        ids=BOTH,
        referrer="https://ya.example/",
    )
    view, form = await measured(event(click=old, bot_username="my_bot"))
    assert (view["t"], form["t"]) == ("pageview", "event")
    assert (view["dl"], view["dr"], view["dt"]) == (
        "https://t.me/my_bot",
        "https://ya.example/",
        "Telegram",
    )
    view, _ = await measured(event(click=old), page_url="https://shop.example/go")
    assert view["dl"] == "https://shop.example/go"


async def test_a_payment_is_a_purchase():
    (form,) = await measured(
        purchase(currency="RUB", click=clicked(), user_data={"order_id": "o-1"})
    )
    assert {name: form[name] for name in ("pa", "ti", "tr", "pr1id")} == {
        "pa": "purchase",
        "ti": "o-1",
        "tr": "49.90",
        "pr1id": "Purchase",
    }
    (form,) = await measured(purchase(currency="RUB", click=clicked()))
    assert form["ti"] == "e1"


# Through a tracker, against the stand-in


STARS = Stars(Decimal("1.2"), "RUB")


def tracker_of(sandbox: MetricaSandbox, store: Any = None, **options: Any) -> Tracker:
    metrica = YandexMetrica(
        sandbox.counter_id,
        sandbox.token,
        **{"base_url": sandbox.url, "gather_for": 60} | options,
    )
    return Tracker([metrica], store=store or MemoryStore(), stars=STARS)


async def came(tracker: Tracker, telegram_id: int, **ids: str) -> None:
    session_id = await tracker.register_click(Click(ids=ids))
    await tracker.capture(telegram_id, session_id)


async def test_events_of_both_kinds_gather_and_go_out_in_an_upload_each():
    async with MetricaSandbox() as sandbox, tracker_of(sandbox) as tracker:
        await came(tracker, 7, yclid="111", _ym_uid="222")
        await came(tracker, 8, yclid="333")
        await tracker.track("REG", telegram_id=7)
        await tracker.track("FTD", telegram_id=7, value=500, currency="RUB")
        await tracker.track("FTD", telegram_id=8, value=700, currency="RUB")
        await tracker.track("REG", telegram_id=9)
        assert sandbox.requests == []
        assert await tracker.flush(5)
        deliveries = (await tracker.stats()).destinations["metrica"].deliveries
    assert [[(one.id, one.price) for one in upload] for upload in sandbox.uploads] == [
        [("222", "")],
        [("111", "500.00"), ("333", "700.00")],
    ]
    assert deliveries == {"pending": 3, "skipped": 1}


async def test_the_outcome_of_an_upload_is_told_after_a_restart_and_not_sent_again(tmp_path):
    path = tmp_path / "gp.sqlite3"
    async with MetricaSandbox() as sandbox:
        # The least that is allowed, so that the test does not wait for it in vain.
        async with tracker_of(sandbox, SQLiteStore(path), status_after=60) as tracker:
            await came(tracker, 7, yclid="111")
            paid = await tracker.track("FTD", telegram_id=7, value=500, currency="RUB")
            assert await tracker.flush(5)
        sandbox.process()
        metrica = YandexMetrica(sandbox.counter_id, sandbox.token, base_url=sandbox.url)
        async with Tracker([], store=SQLiteStore(path)) as tracker:
            (waiting,) = await tracker.deliveries(paid.event_id)
        (told,) = await metrica.follow_up([waiting.receipt])
        await metrica.close()
        assert len(sandbox.uploads) == 1
    assert (waiting.state, waiting.receipt["uploading"]) == ("pending", "1")
    assert (told["status"], told["linked_quantity"]) == ("PROCESSED", "1")


@pytest.mark.parametrize(("ambiguous", "count"), [("retry", 2), ("hold", 1)])
async def test_a_lost_answer_is_repeated_or_held(ambiguous, count):
    async with (
        MetricaSandbox() as sandbox,
        tracker_of(sandbox, ambiguous=ambiguous, gather_for=0) as tracker,
    ):
        sandbox.fail(Fault.drop_answer())
        await came(tracker, 7, yclid="111")
        await tracker.track("FTD", telegram_id=7, value=500, currency="RUB")
        if ambiguous == "retry":
            await sandbox.wait_for(2, timeout=10)
        else:
            assert await tracker.flush(5)
            (letter,) = await tracker.dead_letters()
            assert letter.maybe_delivered
        assert len(sandbox.events) == count


async def test_a_bad_token_pauses_and_buries_nothing():
    async with MetricaSandbox() as sandbox:
        metrica = YandexMetrica(sandbox.counter_id, "wrong", base_url=sandbox.url, gather_for=0)
        async with Tracker([metrica], store=MemoryStore(), stars=STARS) as tracker:
            await came(tracker, 7, yclid="111")
            await tracker.track("REG", telegram_id=7)
            await sandbox.notifier.wait_until(lambda: sandbox.requests, 5)
            await tracker.flush(0.3)
            assert (await tracker.stats()).destinations["metrica"].state == "refused"
            assert await tracker.dead_letters() == []


async def test_the_measurement_protocol_records_at_once():
    async with MetricaSandbox(visits={}) as sandbox:
        metrica = YandexMetrica(
            sandbox.counter_id, sandbox.ms_token, mode="measurement", base_url=sandbox.url
        )
        async with Tracker([metrica], store=MemoryStore(), stars=STARS) as tracker:
            click = Click(
                at=datetime.now(timezone.utc) - timedelta(days=2), ids={"ClientID": "222"}
            )
            await tracker.capture(7, await tracker.register_click(click))
            await tracker.track("FTD", telegram_id=7, value=500, currency="RUB")
            (one,) = await sandbox.wait_for(1)
            assert await tracker.flush(5)
    assert (one.mode, one.id, one.target, one.price) == ("measurement", "222", "FTD", "500.00")
    assert sandbox.lost == []


@pytest.mark.parametrize("mode", ["offline", "measurement"])
async def test_the_token_is_in_no_log_repr_or_dead_letter(mode, caplog):
    caplog.set_level(logging.DEBUG)

    def echo(request: httpx.Request) -> httpx.Response:
        heard = f"{dict(request.headers)} {request.url} {request.read().decode()}"
        return httpx.Response(400, json=error("invalid_parameter", heard))

    metrica = YandexMetrica(
        1, TOKEN, mode=mode, transport=httpx.MockTransport(echo), gather_for=None
    )
    async with Tracker([metrica], store=MemoryStore(), stars=STARS) as tracker:
        await came(tracker, 7, _ym_uid="222")
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
        (letter,) = await tracker.dead_letters()
    assert "***" in letter.reason
    assert TOKEN not in f"{letter}{metrica!r}{vars(metrica)['_redactor']}{caplog.text}"


# Construction


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"counter_id": TOKEN}, "counter_id=...) must be the number of the counter"),
        ({"counter_id": True}, "counter_id=...) must be the number of the counter"),
        ({"token": "a b"}, "token=...) holds white space"),
        ({"token": ""}, "token=...) is empty"),
        ({"mode": "online"}, "mode=...) must be one of offline, measurement"),
        ({"currency": "рубль"}, "currency=...) must be that of the counter"),
        ({"currency": "XTR"}, "currency=...) must be that of the counter"),
        ({"rates": {"USD": ("EUR", 1)}}, "rates=...) must say what one unit"),
        ({"event_names": ["REG"]}, "event_names=...) must map event names"),
        ({"yclid": 5}, "yclid=...) must name ids of Click.ids"),
        ({"client_id": [""]}, "client_id=...) must name ids of Click.ids"),
        ({"batch_size": 0}, "batch_size=...) must be a number of rows, 1 to 100000"),
        ({"batch_size": True}, "batch_size=...) must be a number of rows"),
        ({"gather_for": -1}, "gather_for=...) must be seconds, 0 to 3600"),
        ({"gather_for": float("nan")}, "gather_for=...) must be seconds"),
        ({"gather_for": "60"}, "gather_for=...) must be seconds"),
        ({"status_after": 1}, "status_after=...) must be seconds, 60 to 7200"),
        ({"mode": "measurement", "batch_size": 5}, "are for mode='offline'"),
        ({"mode": "measurement", "gather_for": 5}, "are for mode='offline'"),
        ({"page_url": "t.me"}, "page_url=...) must be an http or https URL"),
        ({"base_url": "ftp://x"}, "base_url=...) must be an http or https URL"),
        ({"ambiguous": "drop"}, "ambiguous=...) must be 'retry' or 'hold'"),
    ],
)
def test_what_cannot_work_is_refused_with_what_it_should_be(options, said):
    with pytest.raises(ConfigurationError) as caught:
        YandexMetrica(**{"counter_id": 1, "token": TOKEN} | options)
    assert said in str(caught.value)
    assert TOKEN not in str(caught.value)
