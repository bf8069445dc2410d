"""The Snapchat destination: Meta's body in Snapchat's words, and how answers are read."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from fixtures.ad_platforms import (
    BROWSER,
    CLICK,
    NOON_SECONDS,
    PAGE,
    TELEGRAM_ID,
    Backend,
    deliver,
    digest,
    event,
    failure,
    purchase,
    queue,
    recent,
    through_a_lane,
)
from gp_aiogram import (
    ConfigurationError,
    DeliveryFailed,
    DestinationMisconfigured,
    Event,
    EventRejected,
    EventSkipped,
    MemoryStore,
    RateLimited,
    Snapchat,
    Tracker,
)
from gp_aiogram.sandbox import SnapchatSandbox
from gp_aiogram.testing import ManualClock

PIXEL, TOKEN = "1ec32188-754e-4be2-8e55-c949a984a39f", "eyJ.s3cr3t-t0k3n"
URL = f"https://tr.snapchat.com/v3/{PIXEL}/events?access_token={TOKEN}"
GOOD = {"status": "VALID", "reason": "Events have been processed successfully."}
EMAIL = {"meta": {"em": digest("ada@example.com"), "ph": digest("448444124653")}}


def to(backend: Backend, **options: Any) -> Snapchat:
    return Snapchat(PIXEL, TOKEN, transport=httpx.MockTransport(backend), **options)


async def sent(one: Event, **options: Any) -> Any:
    backend = Backend(GOOD)
    await deliver(to(backend, **options), one)
    (body,) = backend.bodies
    assert body.keys() == {"data"}
    (item,) = body["data"]
    return item


def a_sandbox() -> SnapchatSandbox:
    """A stand-in whose time is that of the lane."""
    return SnapchatSandbox(clock=ManualClock().time)


def in_the_sandbox(sandbox: SnapchatSandbox, **options: Any) -> Snapchat:
    return Snapchat(sandbox.pixel_id, sandbox.access_token, base_url=sandbox.url, **options)


# Requests


async def test_an_event_with_everything():
    whole = purchase(
        click=replace(CLICK, ids={"ScCid": "snap-1", "_scid": "cookie-1"}),
        traits={"meta": {**EMAIL["meta"], "fn": digest("ada"), "db": digest("18151210")}},
        user_data={"order_id": 17, "contents": [{"id": "1", "quantity": 2}], "plan": "gold"},
    )
    assert await sent(whole) == {
        "event_name": "PURCHASE",
        "event_time": NOON_SECONDS,
        "event_id": "e1",
        "action_source": "WEB",
        "event_source_url": PAGE,
        "user_data": {
            "external_id": [TELEGRAM_ID],
            "em": [digest("ada@example.com")],
            "ph": [digest("448444124653")],
            "fn": [digest("ada")],
            "client_ip_address": "93.184.216.34",
            "client_user_agent": BROWSER,
            "sc_click_id": "snap-1",
            "sc_cookie1": "cookie-1",
        },
        "custom_data": {
            "value": 49.9,
            "currency": "EUR",
            "order_id": "17",
            "contents": [{"id": "1", "quantity": 2}],
        },
    }


async def test_the_request_goes_to_the_documented_address():
    backend = Backend(GOOD)
    await deliver(to(backend), event(traits=EMAIL))
    (request,) = backend.requests
    assert (request.method, str(request.url)) == ("POST", URL)
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("FTD", "PURCHASE"),
        ("DEP", "PURCHASE"),
        ("Purchase", "PURCHASE"),
        ("REG", "SIGN_UP"),
        ("Subscribe", "SUBSCRIBE"),
        ("JoinRequest", "SUBSCRIBE"),
        ("INSTALL", "APP_INSTALL"),
        ("TRIAL", "START_TRIAL"),
        ("custom_event_1", "CUSTOM_EVENT_1"),
    ],
)
async def test_names_are_snapchats_in_capitals(ours, theirs):
    assert (await sent(purchase(name=ours, traits=EMAIL)))["event_name"] == theirs


async def test_names_can_be_called_differently_there():
    item = await sent(event(traits=EMAIL), event_names={"REG": "custom_event_2"})
    assert item["event_name"] == "CUSTOM_EVENT_2"


async def test_the_action_source_is_a_choice():
    assert (await sent(event(traits=EMAIL), action_source="website"))["action_source"] == "website"


@pytest.mark.parametrize("name", ["ScCid", "sccid", "sc_click_id"])
async def test_the_click_id_is_kept_under_any_of_its_names(name):
    item = await sent(event(click=replace(CLICK, ids={name: "snap-1"})))
    assert item["user_data"]["sc_click_id"] == "snap-1"


async def test_metas_own_ids_are_not_sent():
    user = (await sent(event(click=CLICK)))["user_data"]
    assert user.keys() == {"external_id", "client_ip_address", "client_user_agent"}


async def test_an_event_without_a_page_names_the_bot():
    assert (await sent(event(traits=EMAIL, bot_username="my_bot")))["event_source_url"] == (
        "https://t.me/my_bot"
    )
    page = "https://shop.example/?a=1"
    item = await sent(event(traits=EMAIL, bot_username="my_bot"), page_url=page)
    assert item["event_source_url"] == page


# Who can be found


@pytest.mark.parametrize(
    "known",
    [
        {"traits": {"meta": {"em": digest("ada@example.com")}}},
        {"traits": {"meta": {"ph": digest("448444124653")}}},
        {"click": CLICK},
    ],
)
async def test_enough_is_known(known):
    async with a_sandbox() as snapchat:
        destination = in_the_sandbox(snapchat)
        states = await through_a_lane(destination, recent(1, **known))
        assert await states() == {"delivered": 1}
        await destination.close()


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"click": replace(CLICK, ip=None)},
        {"click": replace(CLICK, user_agent=None)},
        {"click": replace(CLICK, ip="127.0.0.1")},
        {"click": replace(CLICK, ip=None, ids={"ScCid": "snap-1"})},
        {"traits": {"meta": {"fn": digest("ada")}}},
    ],
)
def test_a_user_whom_snapchat_could_not_find_is_skipped(known):
    with pytest.raises(EventSkipped, match="e-mail, phone, or address and browser together"):
        Snapchat(PIXEL, TOKEN).prepare(event(**known))


def test_a_purchase_needs_a_value():
    with pytest.raises(EventRejected, match="no PURCHASE without a value"):
        Snapchat(PIXEL, TOKEN).prepare(event(name="Purchase", traits=EMAIL))


async def test_a_currency_may_have_a_rate():
    one = purchase(value=Decimal(10), currency="USDT", traits=EMAIL)
    item = await sent(one, rates={"USDT": ("USD", Decimal(1))})
    assert (item["custom_data"]["value"], item["custom_data"]["currency"]) == (10.0, "USD")


def test_the_age_limit_is_snapchats():
    assert Snapchat(PIXEL, TOKEN).max_age == timedelta(days=37)
    assert Snapchat(PIXEL, TOKEN).batch_size == 100
    assert Snapchat(PIXEL, TOKEN, batch_size=2000).batch_size == 2000


# To a stand-in that checks


async def test_a_batch_goes_out_in_one_request_and_counts_once():
    async with a_sandbox() as snapchat:
        destination = in_the_sandbox(snapchat)
        await through_a_lane(destination, recent(150, traits=EMAIL))
        await destination.close()
    assert len(snapchat.events) == 150
    assert sorted(len(request.body["data"]) for request in snapchat.requests) == [50, 100]


async def test_a_bad_event_is_found_among_good_ones():
    async with a_sandbox() as snapchat:
        destination = in_the_sandbox(snapchat)
        good = recent(20, traits=EMAIL)
        bad = replace(good[3], name="Unheard of")
        states = await through_a_lane(destination, [*good[:3], bad, *good[4:]])
        assert await states() == {"delivered": 19, "dead": 1}
        await destination.close()


async def test_validating_counts_nothing_and_warns(caplog):
    async with a_sandbox() as snapchat:
        destination = in_the_sandbox(snapchat, validate_only=True)
        await through_a_lane(destination, recent(2, traits=EMAIL))
        await destination.close()
    assert (len(snapchat.events), len(snapchat.validated)) == (0, 2)
    assert {request.path for request in snapchat.requests} == {
        f"/v3/{snapchat.pixel_id}/events/validate"
    }
    assert "validate_only is set, and Snapchat counts no event" in caplog.text


# Answers


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        ({"status": "INVALID", "reason": "Unhashed PII"}, 400, EventRejected),
        ({"status": "INVALID", "reason": "Unhashed PII"}, 200, EventRejected),
        ({"status": "FAILED"}, 200, EventRejected),
        ({}, 401, DestinationMisconfigured),
        ({}, 403, DestinationMisconfigured),
        ({}, 404, DestinationMisconfigured),
        ({}, 429, RateLimited),
        ({}, 500, DeliveryFailed),
        ("<html>", 200, DeliveryFailed),
        ({}, 200, DeliveryFailed),
        ({"status": 1}, 200, DeliveryFailed),
    ],
)
async def test_status_and_word_decide(answer, status, kind):
    error = await failure(to(Backend(answer, status)), event(traits=EMAIL))
    assert type(error) is kind


async def test_an_answer_of_something_in_between_is_ambiguous():
    assert (await failure(to(Backend("<html>")), event(traits=EMAIL))).ambiguous


async def test_the_receipt_holds_status_and_reason():
    (receipt,) = await deliver(to(Backend(GOOD)), event(traits=EMAIL))
    assert receipt == GOOD


async def test_a_wrong_token_pauses_and_loses_nothing():
    async with SnapchatSandbox(access_token="another") as snapchat:
        destination = Snapchat(snapchat.pixel_id, TOKEN, base_url=snapchat.url)
        lane, states = await queue(destination, recent(2, traits=EMAIL))
        await lane.run_once()
        assert lane.state == "refused"
        assert await states() == {"pending": 2}
        await destination.close()


async def test_the_token_is_in_the_url_and_nowhere_else(caplog):
    caplog.set_level(logging.DEBUG)
    echoed = f"no route for {httpx.URL(URL).raw_path.decode()}"
    destination = to(Backend(echoed, 404))
    async with Tracker([destination], store=MemoryStore()) as tracker:
        await tracker.identify(7, email="ada@example.com")
        await tracker.track("REG", telegram_id=7, bot_id=42)
        await tracker.flush(0.2)
        assert (await tracker.stats()).destinations["snapchat"].state == "refused"
    error = await failure(destination, event(traits=EMAIL))
    assert "***" in error.reason
    assert TOKEN not in f"{destination!r} {error.reason} {caplog.text}"


# What cannot work is refused at once


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"pixel_id": "a b"}, "Snapchat(pixel_id=...)"),
        ({"access_token": "a b"}, "Snapchat(access_token=...)"),
        ({"action_source": "MOBILE_APP"}, "MOBILE_APP is for apps"),
        ({"action_source": "on the web"}, "Snapchat(action_source=...) must be 'WEB'"),
        ({"action_source": None}, "Snapchat(action_source=...)"),
        ({"page_url": "shop.example"}, "Snapchat(page_url=...)"),
        ({"batch_size": 0}, "Snapchat(batch_size=...) must be a number of events from 1 to 2000"),
        ({"batch_size": 2001}, "Snapchat(batch_size=...)"),
        ({"validate_only": 1}, "Snapchat(validate_only=...) must be True or False"),
        ({"event_names": "REG"}, "Snapchat(event_names=...)"),
        ({"base_url": "tr.snapchat.com"}, "Snapchat(base_url=...)"),
        ({"rates": {"EUR": 1}}, "Snapchat(rates=...)"),
    ],
)
def test_an_argument_that_cannot_work_is_refused(options, expected):
    with pytest.raises(ConfigurationError) as caught:
        Snapchat(**{"pixel_id": PIXEL, "access_token": TOKEN} | options)
    assert expected in str(caught.value)
