"""Postbacks: what each tracker gets, which events it gets, and what is shown of the URL."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from fixtures.ad_platforms import (
    NOON,
    NOON_SECONDS,
    Backend,
    deliver,
    event,
    failure,
    purchase,
    recent,
    through_a_lane,
)
from fixtures.delivery import WatchedOutbox, lane_to
from gp_aiogram import (
    ConfigurationError,
    DeliveryFailed,
    DestinationMisconfigured,
    Event,
    EventRejected,
    EventSkipped,
    MemoryStore,
    Postback,
    RateLimited,
    Tracker,
)
from gp_aiogram.model.click import Click
from gp_aiogram.sandbox import Fault, KeitaroSandbox
from gp_aiogram.stores.records import DeliveryFilter, Entry
from gp_aiogram.testing import ManualClock

KEY = "S3CR3TK3Y"
HOST = "tracker.example.com"
URL = f"https://{HOST}/p?subid={{subid}}&tid={{event_id}}"


def clicked(**ids: str) -> Click:
    return Click(at=NOON, ids=ids)


def deposit(name: str = "FTD", **ids: str) -> Event:
    return purchase(name=name, session_id="gp_1", click=clicked(**ids))


def over(backend: Backend) -> dict[str, Any]:
    return {"transport": httpx.MockTransport(backend)}


async def asked(build: Any, *events: Event) -> list[str]:
    """Deliver events and return the URLs that were asked for.

    :param build: makes the destination of a transport.
    """
    backend = Backend("Success")
    destination = build(transport=httpx.MockTransport(backend))
    for one in events:
        await deliver(destination, one)
    return [str(request.url) for request in backend.requests]


def template(url: str, **options: Any) -> Any:
    return lambda **transport: Postback(url, **options, **transport)


async def filled(text: str, one: Event, **options: Any) -> str:
    """Return what becomes of a parameter."""
    (url,) = await asked(template(f"https://{HOST}/p?x={text}", **options), one)
    return url.partition("?x=")[2]


def mistake(*arguments: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Postback(*arguments, **options)
    return str(caught.value)


# What each tracker gets: the rows of the table of trackers, with the values of one deposit


@pytest.mark.parametrize(
    ("build", "ids", "expected"),
    [
        (
            lambda **t: Postback.keitaro(HOST, KEY, **t),
            {"subid": "51ts6sgr1cbkdhljnrv"},
            (
                f"https://{HOST}/{KEY}/postback?subid=51ts6sgr1cbkdhljnrv&status=sale&payout=49.90"
                "&currency=EUR&tid=e1"
            ),
        ),
        (
            lambda **t: Postback.binom(HOST, **t),
            {"clickid": "81e60haa86o0b7"},
            (
                f"https://{HOST}/click.php?cnv_id=81e60haa86o0b7&payout=49.90&cnv_status=FTD"
                "&cnv_status2=FTD&cnv_currency=EUR"
            ),
        ),
        (
            lambda **t: Postback.binom_v2(HOST, **t),
            {"clickid": "81e60haa86o0b7"},
            (
                f"https://{HOST}/postback?clickid=81e60haa86o0b7&payout=49.90&cnv_status=FTD"
                "&cnv_currency=EUR"
            ),
        ),
        (
            lambda **t: Postback.voluum(HOST, **t),
            {"cid": "c384EFV6JHQODRN70575OK6UG5"},
            (
                f"https://{HOST}/postback?cid=c384EFV6JHQODRN70575OK6UG5&payout=49.90&txid=e1"
                "&currency=EUR&et=FTD"
            ),
        ),
        (
            lambda **t: Postback.redtrack(HOST, currency="EUR", **t),
            {"clickid": "5f1a"},
            f"https://{HOST}/postback?clickid=5f1a&sum=49.90&type=FTD&rdtk_event_id=e1",
        ),
        (
            Postback.peerclick,
            {"cid": "a1b2"},
            (
                "https://pstb.peerclick.com/postback?cid=a1b2&payout=49.90&status=FTD&txid=e1"
                "&currency=EUR"
            ),
        ),
        (
            lambda **t: Postback.adness(currency="EUR", **t),
            {"clickid": "a1b2"},
            "https://s2s.adness.co/v1/conversion?clickid=a1b2&revenue=49.90&type=FTD&id=e1",
        ),
        (
            lambda **t: Postback.adsgram(KEY, **t),
            {},
            f"https://api.adsgram.ai/confirm_conversion?token={KEY}&tgid=42&goaltype=2",
        ),
        (
            lambda **t: Postback.adsgram(KEY, **t),
            {"campaignid": "771"},
            (
                f"https://api.adsgram.ai/confirm_conversion?token={KEY}&tgid=42&goaltype=2"
                "&campaignid=771"
            ),
        ),
        (
            lambda **t: Postback.adsgram_web(KEY, **t),
            {"record": "7f3a1b6c5d2e4f8a"},
            (
                f"https://api.adsgram.ai/confirm_conversion?token={KEY}&record=7f3a1b6c5d2e4f8a"
                "&goaltype=2"
            ),
        ),
        (
            lambda **t: Postback.richads(only={"FTD"}, **t),
            {"clickid": "abc123xyz"},
            "https://us.ahows.co/log?action=conversion&key=abc123xyz",
        ),
        (
            lambda **t: Postback.tappads("9", "17", is_old=False, **t),
            {"publisher": "42", "clickid": "123456"},
            (
                "https://wallapi.tappads.io/v1/tapp-cpa?pubid=42&m=2&advert_id=9&click_id=123456"
                "&offer_id=17&telegram_id=42&startapp=gp_1&is_old=false&event_name=ftd"
            ),
        ),
    ],
)
async def test_a_ready_tracker_gets_the_request_of_its_document(build, ids, expected):
    assert await asked(build, deposit(**ids)) == [expected]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("REG", "lead"),
        ("Subscribe", "lead"),
        ("FTD", "sale"),
        ("Purchase", "sale"),
        ("DEP", "rebill"),
        ("Refund", "rejected"),
    ],
)
async def test_keitaro_hears_of_events_in_its_own_words(name, status):
    (url,) = await asked(
        lambda **t: Postback.keitaro(HOST, KEY, **t), deposit(name, subid="51ts6sgr1cbkdhljnrv")
    )
    assert f"&status={status}&" in url


@pytest.mark.parametrize(("name", "goal"), [("REG", 1), ("FTD", 2), ("DEP", 3)])
async def test_adsgram_numbers_its_goals(name, goal):
    (url,) = await asked(lambda **t: Postback.adsgram(KEY, **t), deposit(name))
    assert url.endswith(f"&goaltype={goal}")


def test_adsgram_may_be_told_of_its_own_users_only():
    adsgram = Postback.adsgram(KEY, params={"campaignid": "{campaignid}"})
    assert adsgram.prepare(deposit(campaignid="771")).query.endswith("&campaignid=771")
    with pytest.raises(EventSkipped, match=r"the click has no \{campaignid\}"):
        adsgram.prepare(deposit())


async def test_tappads_is_told_of_old_users_by_a_function():
    def is_old(one: Event) -> bool:
        return one.user_data.get("visits", 0) > 1

    ids = {"publisher": "42", "clickid": "1"}
    new, old = deposit(**ids), replace(deposit(**ids), user_data={"visits": 2})
    urls = await asked(lambda **t: Postback.tappads("9", "17", is_old=is_old, **t), new, old)
    assert ["is_old=false" in urls[0], "is_old=true" in urls[1]] == [True, True]


def test_whether_a_user_is_old_must_be_said():
    with pytest.raises(TypeError, match="is_old"):
        Postback.tappads("9", "17")  # type: ignore[call-arg]


async def test_richads_hears_of_registrations_unless_told_otherwise():
    assert Postback.richads().accepts(event(name="REG"))
    assert not Postback.richads().accepts(event(name="FTD"))


async def test_a_name_that_no_document_confirms_can_be_replaced():
    params = {"sum": None, "payout": "{value}", "sub_1": "{utm.campaign?}"}
    (url,) = await asked(
        lambda **t: Postback.redtrack(HOST, params=params, currency="EUR", **t),
        deposit(clickid="5f1a"),
    )
    assert url == (f"https://{HOST}/postback?clickid=5f1a&type=FTD&rdtk_event_id=e1&payout=49.90")


async def test_what_else_a_tracker_takes_can_be_added():
    click = Click(at=NOON, utm={"utm_term": "a b"}, ids={"cid": "2", "subid": "1"})
    one = replace(deposit(), click=click)
    params = {"sub_id_1": "{utm.term}", "sub_id_15": "x", "return": "OK"}
    (url,) = await asked(lambda **t: Postback.keitaro(HOST, KEY, params=params, **t), one)
    assert url.endswith("&tid=e1&sub_id_1=a%20b&sub_id_15=x&return=OK")
    params = {"param1": "{telegram_id}", "param5": "{name}"}
    (url,) = await asked(lambda **t: Postback.voluum(HOST, params=params, **t), one)
    assert url.endswith("&et=FTD&param1=42&param5=FTD")


async def test_own_words_can_be_declared_to_keitaro():
    def build(**transport: Any) -> Postback:
        return Postback.keitaro(
            HOST,
            KEY,
            statuses={"REG": "reg", "FTD": "first_dep"},
            params={"lead_status": "reg", "sale_status": "first_dep"},
            **transport,
        )

    (url,) = await asked(build, deposit(subid="1"))
    assert url.endswith(
        "&status=first_dep&payout=49.90&currency=EUR&tid=e1&lead_status=reg&sale_status=first_dep"
    )


@pytest.mark.parametrize(
    ("build", "taken_out"),
    [
        (lambda **o: Postback.keitaro(HOST, KEY, **o), "status"),
        (lambda **o: Postback.keitaro(HOST, KEY, **o), "subid"),
        (lambda **o: Postback.adsgram(KEY, **o), "goaltype"),
        (lambda **o: Postback.voluum(HOST, **o), "cid"),
    ],
)
def test_what_a_tracker_cannot_do_without_stays(build, taken_out):
    with pytest.raises(ConfigurationError, match=f"takes out {taken_out}, without which"):
        build(params={taken_out: None})


async def test_the_id_of_a_click_may_have_any_name():
    for name in ("kt", "ids.kt"):
        (url,) = await asked(
            lambda name=name, **t: Postback.keitaro(HOST, KEY, click_id=name, **t),
            deposit("REG", kt="51ts"),
        )
        assert "subid=51ts&" in url
    (url,) = await asked(
        lambda **t: Postback.keitaro(HOST, KEY, click_id="session_id", **t), deposit("REG")
    )
    assert "subid=gp_1&" in url


async def test_a_host_may_say_how_it_is_reached():
    for host, origin in (
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://t.example.com/", "https://t.example.com"),
        ("t.example.com:8443", "https://t.example.com:8443"),
    ):
        assert Postback.keitaro(host, KEY).base_url == origin


@pytest.mark.parametrize(
    "host", ["", "https://", "t.example.com/abc", "ftp://t.example.com", "a b", "u:p@t.example", 5]
)
def test_a_host_is_no_address(host):
    with pytest.raises(ConfigurationError, match=r"Postback\.keitaro\(host=.*such as 'tracker"):
        Postback.keitaro(host, KEY)


# Each conversion has its own transaction


async def test_a_rebill_has_a_transaction_of_its_own():
    def build(**transport: Any) -> Postback:
        return Postback.keitaro(HOST, KEY, **transport)

    first = replace(deposit("DEP", subid="1"), event_id="d1")
    urls = await asked(build, first, replace(first, event_id="d2"), first)
    assert [url.rpartition("=")[2] for url in urls] == ["d1", "d2", "d1"]


async def test_a_refund_finds_its_payment_by_the_order():
    payment = replace(deposit("Purchase", subid="1"), user_data={"order_id": "A 17"})
    refund = replace(payment, name="Refund", event_id="e2")
    urls = await asked(lambda **t: Postback.keitaro(HOST, KEY, **t), payment, refund)
    assert [url.rpartition("tid=")[2] for url in urls] == ["A%2017", "A%2017"]


def test_a_refund_goes_only_where_it_has_a_word():
    refund = event(name="Refund")
    assert Postback.keitaro(HOST, KEY).accepts(refund)
    assert not Postback.voluum(HOST).accepts(refund)
    assert not Postback(URL).accepts(refund)


# What a template may hold


FULL = purchase(
    name="FTD",
    event_id="e 1&2",
    bot_id=7,
    bot_username="my_bot",
    session_id="gp_1",
    event_time=NOON + timedelta(milliseconds=250),
    user_data={"order_id": 17, "plan": "gold", "email_hint": "x", "vip": True},
    click=Click(
        at=NOON,
        fbclid="IwAR_AbC",
        fbp="fb.1.1767260000000.1098115397",
        ttclid="E.C.P.x",
        ttp="2Hsp8kY1LzDk0K",
        gclid="Cj0",
        utm={"utm_source": "fb", "utm_campaign": "Süd & West"},
        ids={"subid": "51ts", "yclid": "900", "ScCid": "s-1", "odd name": "z"},
    ),
)


@pytest.mark.parametrize(
    ("placeholder", "value"),
    [
        ("{event_id}", "e%201%262"),
        ("{name}", "FTD"),
        ("{session_id}", "gp_1"),
        ("{telegram_id}", "42"),
        ("{bot_id}", "7"),
        ("{bot_username}", "my_bot"),
        ("{order_id}", "17"),
        ("{tid}", "17"),
        ("{event_time}", str(NOON_SECONDS)),
        ("{event_time_ms}", f"{NOON_SECONDS}250"),
        ("{event_time_iso}", "2026-01-01T12%3A00%3A00Z"),
        ("{subid}", "51ts"),
        ("{ids.subid}", "51ts"),
        ("{yclid}", "900"),
        ("{ScCid}", "s-1"),
        ("{fbclid}", "IwAR_AbC"),
        ("{fbp}", "fb.1.1767260000000.1098115397"),
        ("{ttclid}", "E.C.P.x"),
        ("{ttp}", "2Hsp8kY1LzDk0K"),
        ("{gclid}", "Cj0"),
        ("{utm.source}", "fb"),
        ("{utm.campaign}", "S%C3%BCd%20%26%20West"),
        ("{user_data.plan}", "gold"),
        ("a-{name}-{subid}", "a-FTD-51ts"),
        ("{fbclid?}", "IwAR_AbC"),
    ],
)
async def test_a_placeholder_is_filled_in_and_encoded(placeholder, value):
    assert await filled(placeholder, FULL) == value


async def test_money_is_a_plain_number_in_the_currency():
    for amount, shown in (("49.90", "49.90"), ("100000", "100000.00"), ("0.5", "0.50")):
        one = replace(FULL, value=Decimal(amount))
        assert await filled("{value}-{currency}", one) == f"{shown}-EUR"


async def test_money_is_converted_by_a_rate():
    rates = {"USDT": ("USD", Decimal(1)), "EUR": ("USD", Decimal("1.1"))}
    one = replace(FULL, value=Decimal(10))
    assert await filled("{value}-{currency}", one, rates=rates) == "11.00-USD"
    assert await filled("{value}", one, rates=rates, currency="USD") == "11.00"
    assert Postback(URL, rates=rates).convertible_currencies == {"USDT", "EUR"}


def test_a_tracker_that_is_told_no_money_takes_every_currency():
    assert Postback(URL).knows_currency("XTR")
    assert not Postback(f"{URL}&v={{value}}&c={{currency}}").knows_currency("XTR")
    assert not Postback.redtrack(HOST).knows_currency("EUR")


async def test_an_amount_that_the_tracker_would_take_for_its_own_currency_is_rejected():
    error = await failure(
        Postback(f"https://{HOST}/?x={{value}}", currency="USD", **over(Backend(""))), FULL
    )
    assert isinstance(error, EventRejected)
    assert "Postback(rates={'EUR'" in error.reason


async def test_ones_own_placeholders_are_texts_or_functions():
    values = {
        "offer": "A&B",
        "number": 17,
        "vip": lambda one: one.user_data.get("vip"),
        "none": lambda _: None,
    }
    assert await filled("{offer}-{number}-{vip}&n={none?}", FULL, values=values) == (
        "A%26B-17-true"
    )


async def test_a_path_may_have_placeholders_too():
    (url,) = await asked(
        template(f"https://{HOST}/{{key}}/{{subid}}/x?a=1", key="k/1"),
        deposit("REG", subid="51/ts"),
    )
    assert url == f"https://{HOST}/k%2F1/51%2Fts/x?a=1"


async def test_a_parameter_may_be_there_twice_and_may_be_empty():
    one = deposit("REG", subid="1")
    (url,) = await asked(template(f"https://{HOST}/p?a={{subid}}&a={{name}}&b=&c"), one)
    assert url == f"https://{HOST}/p?a=1&a=REG&b=&c="


async def test_what_is_known_of_some_events_only_is_left_out():
    url = (
        f"https://{HOST}/p?subid={{subid}}&v={{value}}&c={{currency}}&o={{order_id}}&b={{bot_id}}"
        "&u={bot_username}&s={utm.source}&p={user_data.plan}&f={fbclid?}&t={ttclid?}"
    )
    one = event(session_id="gp_1", click=clicked(subid="1"))
    assert await asked(template(url), one) == [f"https://{HOST}/p?subid=1"]


async def test_personal_data_is_not_put_into_a_url():
    private = replace(FULL, user_data={"plan": "ada@example.com", "phone": "+79991234567"})
    for placeholder in ("{user_data.plan}", "{user_data.phone}"):
        (url,) = await asked(template(f"https://{HOST}/p?s={{subid}}&x={placeholder}"), private)
        assert url == f"https://{HOST}/p?s=51ts"


async def test_post_sends_the_query_as_a_form():
    backend = Backend("ok")
    url = f"https://{HOST}/{{key}}/postback?subid={{subid}}&note={{utm.campaign}}"
    await deliver(Postback(url, key=KEY, method="POST", **over(backend)), FULL)
    (request,) = backend.requests
    assert (request.method, str(request.url)) == ("POST", f"https://{HOST}/{KEY}/postback")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qsl(request.content.decode()) == [("subid", "51ts"), ("note", "Süd & West")]


# Which events it gets


@pytest.mark.parametrize(
    ("one", "url", "reason"),
    [
        (event(), URL, "the click has no {subid}: the user did not come by a link"),
        (event(click=clicked(cid="1")), URL, "the click has no {subid}"),
        (event(), "https://t.example/?s={session_id}", "the user came by no link"),
        (event(), "https://t.example/{order_id}", "nothing is known for {order_id}"),
        (event(click=clicked(a="1")), "https://t.example/?s={ids.b}", "has no {ids.b}"),
    ],
)
async def test_an_event_without_the_id_is_skipped_and_the_reason_says_so(one, url, reason):
    with pytest.raises(EventSkipped) as caught:
        Postback(url).prepare(one)
    assert reason in caught.value.reason


async def test_an_event_without_a_status_is_skipped_and_never_sent_without():
    one = deposit("Blocked", subid="1")
    with pytest.raises(EventSkipped, match=r"no status for Blocked: .*statuses=\{'Blocked'"):
        Postback.keitaro(HOST, KEY).prepare(one)


async def test_statuses_choose_events_also_where_the_url_has_none():
    tracker = Postback(URL, statuses={"FTD": "yes"})
    tracker.prepare(deposit(subid="1"))
    with pytest.raises(EventSkipped):
        tracker.prepare(deposit("REG", subid="1"))


async def test_organic_users_and_those_of_other_ads_are_skipped_by_a_lane():
    backend = Backend("Success")
    tracker = Postback(URL, **over(backend))
    ours = recent(2, click=clicked(subid="1"))
    others = [replace(one, event_id=f"o{one.event_id}", click=None) for one in ours]
    states = await through_a_lane(tracker, [*ours, *others])
    assert await states() == {"delivered": 2, "skipped": 2}
    assert len(backend.requests) == 2


# What answers mean


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, EventRejected),
        (401, DestinationMisconfigured),
        (403, DestinationMisconfigured),
        (404, DestinationMisconfigured),
        (302, DestinationMisconfigured),
        (429, RateLimited),
        (500, DeliveryFailed),
        (503, DeliveryFailed),
    ],
)
async def test_a_status_decides(status, kind):
    error = await failure(Postback(URL, **over(Backend("no", status))), deposit(subid="1"))
    assert type(error) is kind


async def test_a_tracker_may_refuse_an_event_by_a_status_of_its_own():
    tracker = Postback(URL, rejected_by={404, 410}, **over(Backend("no such click", 404)))
    error = await failure(tracker, deposit(subid="1"))
    assert isinstance(error, EventRejected)
    assert error.reason == "HTTP 404: no such click"


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_the_receipt_holds_the_answer(status):
    (receipt,) = await deliver(Postback(URL, **over(Backend("OK", status))), deposit(subid="1"))
    assert receipt == {"answer": "OK"}


async def test_an_address_that_is_wrong_is_asked_about_without_its_key():
    tracker = Postback.keitaro(HOST, KEY, **over(Backend(f"no /{KEY}/postback here", 404)))
    error = await failure(tracker, deposit(subid="1"))
    assert error.reason == f"HTTP 404: is url='https://{HOST}' right? no /***/postback here"


# What is shown of the URL


@pytest.mark.parametrize(
    "build",
    [
        lambda origin, **o: Postback.keitaro(origin, KEY, **o),
        lambda origin, **o: Postback(f"{origin}/p?token={{t}}&s={{subid}}", secrets={"t": KEY}),
        lambda origin, **o: Postback(f"{origin}/{KEY}/postback?s={{subid}}"),
        lambda origin, **o: Postback(f"{origin}/postback?s={{subid}}&api_token={KEY}"),
    ],
    ids=["key", "secrets", "written into the path", "written into the query"],
)
@pytest.mark.parametrize(
    ("fault", "buried"),
    [
        (Fault.reset(), 1),
        (Fault.status(500, body=f"at /{KEY}/ {KEY}"), 1),
        (Fault.status(400, body=f"at /{KEY}/ {KEY}"), 1),
        (Fault.status(200, body=f"taken at /{KEY}/"), 0),
    ],
    ids=["reset", "500", "400", "200"],
)
async def test_the_key_is_in_no_log_repr_error_and_dead_letter(caplog, build, fault, buried):
    caplog.set_level(logging.DEBUG)
    async with KeitaroSandbox(KEY) as keitaro:
        keitaro.fail(fault, times=None)
        tracker = build(keitaro.url)
        tracker.ambiguous = "hold"
        store = MemoryStore()
        async with Tracker([tracker], store=store) as gp:
            session = await gp.register_click(clicked(subid="1"))
            await gp.capture(7, session, bot_id=42)
            await gp.track("REG", telegram_id=7, bot_id=42)
            assert await gp.flush(5)
            dead = await gp.dead_letters()
            (kept,) = await store.outbox.select(DeliveryFilter(telegram_id=7))
    assert len(dead) == buried
    assert len(keitaro.requests) == 1
    assert KEY not in caplog.text
    assert KEY not in f"{tracker!r} {dead!r} {kept!r} {tracker.base_url}"


def test_a_repr_names_the_host_alone():
    assert repr(Postback.keitaro(HOST, KEY)) == (f"Postback('https://{HOST}', name='keitaro')")


# What cannot work is refused at once


def test_unknown_placeholders_are_listed_with_the_known_ones():
    said = mistake(f"https://{HOST}/?a={{sudid}}&b={{click_uuid}}&c={{key}}")
    assert "nobody knows: {sudid} (is {subid} meant?), {click_uuid}" in said
    assert "{key}" in said
    for known in ("{subid}", "{value}", "{event_time_ms}", "{utm.NAME}", "{ids.NAME}"):
        assert known in said


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("tracker.example.com/p?a={subid}", "must be a whole http or https address"),
        ("ftp://tracker.example.com/", "must be a whole http or https address"),
        ("https://", "must be a whole http or https address"),
        (f"https://{HOST}/p#x", "must be a whole http or https address"),
        (f"https://{HOST}/p x", "must be a whole http or https address"),
        (f"https://user:pw@{HOST}/", "without user"),
        (5, "must be a whole http or https address"),
        (None, "must be a whole http or https address"),
        ("https://{host}/p", "must name its host"),
        ("https://t.example:99999/p", "http or https"),
        (f"https://{HOST}/?a={{sub id}}", "must be a whole http or https address"),
        (f"https://{HOST}/?a={{subid", "a brace that belongs to no placeholder"),
        (f"https://{HOST}/?a=subid}}", "a brace that belongs to no placeholder"),
        (f"https://{HOST}/?a={{}}", "a brace that belongs to no placeholder"),
        (f"https://{HOST}/{{subid?}}", "a brace that belongs to no placeholder"),
        (f"https://{HOST}/?a={{{{subid}}}}", "a brace that belongs to no placeholder"),
        (f"https://{HOST}/?s={{status}}", "it needs the tracker's words for your events"),
        (f"https://{HOST}/?v={{value}}", "and not {currency}"),
    ],
)
def test_a_url_that_cannot_work_is_refused(url, expected):
    said = mistake(url)
    assert said.startswith("Postback(url=...)")
    assert expected in said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"key": KEY}, "has no place for what was given: write {key} into it"),
        ({"secrets": {"token": KEY}}, "write {token} into it"),
        ({"values": {"offer": "1"}}, "write {offer} into it"),
        ({"key": "a b"}, "Postback(key=...) holds white space"),
        ({"key": ""}, "Postback(key=...) is empty"),
        ({"secrets": {"token": 5}}, "Postback(secrets={'token': ...})"),
        ({"secrets": {"value": "x"}}, "Postback(secrets=...) must map placeholders"),
        ({"secrets": ["x"]}, "Postback(secrets=...) must map placeholders"),
        ({"values": {"name": "x"}}, "Postback(values=...) must map placeholders"),
        ({"values": {"x": None}}, "Postback(values=...) must map placeholders"),
        ({"statuses": {}}, "Postback(statuses=...) is empty"),
        ({"statuses": {"REG": ""}}, "Postback(statuses=...) must map event names"),
        ({"params": {"a b": "1"}}, "Postback(params=...) must map parameters"),
        ({"params": {"a": "1&b=2"}}, "Postback(params=...) must map parameters"),
        ({"params": ["a"]}, "Postback(params=...) must map parameters"),
        ({"params": {"a": "{nothing}"}}, "nobody knows: {nothing}"),
        ({"method": "PUT"}, "Postback(method=...) must be one of GET, POST"),
        ({"rejected_by": 404}, "Postback(rejected_by=...) must be a collection of HTTP statuses"),
        ({"rejected_by": {500}}, "Postback(rejected_by=...)"),
        ({"rejected_by": "404"}, "Postback(rejected_by=...)"),
        ({"currency": "rouble"}, "Postback(currency=...)"),
        ({"ambiguous": "ask"}, "Postback(ambiguous=...) must be one of retry, hold"),
        ({"name": ""}, "Postback(name=...) must be a text"),
        ({"rates": {"EUR": 1}}, "Postback(rates=...)"),
    ],
)
def test_an_argument_that_cannot_work_is_refused(options, expected):
    said = mistake(URL, **options)
    assert expected in said
    assert KEY not in said


def test_an_id_of_a_click_has_a_name():
    with pytest.raises(ConfigurationError, match=r"Postback\.keitaro\(click_id=\.\.\.\) must be"):
        Postback.keitaro(HOST, KEY, click_id="{subid}")


# Through a lane to a tracker that behaves as Keitaro does


async def test_keitaro_counts_each_conversion_once_through_lost_answers():
    names = ("REG", "FTD", "DEP", "DEP")
    (one,) = recent(1, session_id="gp_1", click=clicked(subid="51ts"))
    events = [
        replace(one, event_id=f"e{number}", name=name, value=Decimal(number), currency="EUR")
        for number, name in enumerate(names)
    ]
    async with KeitaroSandbox(KEY, clicks={"51ts": "ad-1"}) as keitaro:
        keitaro.fail(Fault.drop_answer(), times=2)
        tracker = Postback.keitaro(keitaro.url, KEY)
        outbox = WatchedOutbox(ManualClock())
        for each in events:
            await outbox.accept(Entry(each, ["keitaro"]))
        lane = lane_to(tracker, outbox)
        await lane.run_once()
        outbox.clock.advance(60)
        await lane.run_once()
        await tracker.close()
    told = [(each.tid, each.status, each.payout) for each in keitaro.events]
    assert sorted(told) == [
        ("e0", "lead", "0.00"),
        ("e1", "sale", "1.00"),
        ("e2", "rebill", "2.00"),
        ("e3", "rebill", "3.00"),
    ]
    assert keitaro.ignored == []
    assert len(keitaro.requests) == 6


@pytest.mark.parametrize("fault", [Fault.reset(), Fault.drop_answer()], ids=["reset", "dropped"])
async def test_a_postback_is_never_repeated_behind_our_back(fault):
    async with KeitaroSandbox(KEY) as keitaro:
        keitaro.fail(fault)
        tracker = Postback.keitaro(keitaro.url, KEY)
        error = await failure(tracker, deposit(subid="1"))
        await tracker.close()
    assert isinstance(error, DeliveryFailed)
    assert error.ambiguous
    assert [request.method for request in keitaro.requests] == ["GET"]
