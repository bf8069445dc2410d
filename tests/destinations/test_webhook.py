"""Signed webhooks: the body, the signature, batches, and what a receiver's answers mean."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import standardwebhooks

from fixtures.ad_platforms import (
    CLICK,
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
from fixtures.delivery import WatchedOutbox, accept, lane_to, the
from gp_aiogram import (
    ConfigurationError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    MemoryStore,
    RateLimited,
    Tracker,
    Webhook,
)
from gp_aiogram.sandbox import Fault, WebhookSandbox
from gp_aiogram.testing import ManualClock

SECRET, OLD = Webhook.new_secret(), Webhook.new_secret()
URL = "https://n8n.example.com/webhook/0f8fad5b-d9cb-469f-a165-70867728950e?token=T0K3NT0K3N"
GOLDEN = Path(__file__).parents[1] / "data" / "webhook_v1.json"

FULL = purchase(
    name="FTD",
    event_id="e1",
    bot_id=7,
    bot_username="my_bot",
    session_id="gp_1",
    user_data={"order_id": "17", "plan": "gold"},
    click=replace(CLICK, ids={"subid": "51ts"}, utm={"utm_source": "fb"}),
    traits={
        "meta": {"em": digest("ada@example.com")},
        "tiktok": {"email": digest("ada@example.com"), "city": "london"},
        "leadsail": {"lead_id": "lead_1"},
    },
)


def to(backend: Backend, url: str = URL, secret: Any = SECRET, **options: Any) -> Webhook:
    return Webhook(url, secret, transport=httpx.MockTransport(backend), **options)


async def posted(*events: Any, **options: Any) -> httpx.Request:
    backend = Backend("", 204)
    await deliver(to(backend, **options), *events)
    (request,) = backend.requests
    return request


def headers(request: httpx.Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.startswith("webhook")}


def mistake(*arguments: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Webhook(*arguments, **options)
    return str(caught.value)


# The body


async def test_the_body_is_that_of_the_documented_schema():
    request = await posted(FULL, traits=True)
    assert json.loads(request.content) == json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert request.headers["content-type"] == "application/json"
    assert str(request.url) == URL


async def test_every_field_is_there_also_when_nothing_is_known():
    whole = json.loads(GOLDEN.read_text(encoding="utf-8"))
    body = json.loads((await posted(event())).content)
    assert body.keys() == whole.keys()
    assert body["data"].keys() == whole["data"].keys() - {"traits"}
    assert [name for name, value in body["data"].items() if value is None] == [
        "bot_id",
        "bot_username",
        "session_id",
        "value",
        "currency",
        "click",
    ]


def test_the_schema_is_documented_field_by_field():
    page = (Path(__file__).parents[2] / "docs" / "howto" / "signed-webhooks.md").read_text(
        encoding="utf-8"
    )
    whole = json.loads(GOLDEN.read_text(encoding="utf-8"))
    names = [*whole, *(f"data.{name}" for name in whole["data"])]
    assert [name for name in names if f"`{name}`" not in page] == []


async def test_traits_are_digests_and_only_on_request():
    assert "traits" not in json.loads((await posted(FULL)).content)["data"]
    told = json.loads((await posted(FULL, traits=True)).content)["data"]["traits"]
    assert told == {
        "meta": {"em": digest("ada@example.com")},
        "tiktok": {"email": digest("ada@example.com")},
    }


async def test_a_type_may_be_called_differently():
    body = json.loads((await posted(FULL, event_names={"FTD": "deposit.first"})).content)
    assert (body["type"], body["data"]["name"]) == ("deposit.first", "FTD")


@pytest.mark.parametrize(("value", "written"), [("49.90", "49.9"), ("100", "100"), ("0.1", "0.1")])
async def test_a_value_is_a_number(value, written):
    request = await posted(replace(FULL, value=Decimal(value)))
    assert f'"value":{written},'.encode() in request.content


# The signature


@pytest.mark.parametrize("one", [FULL, event(name="Регистрация", event_id="заказ 17. a:b\n")])
async def test_a_receiver_verifies_it_with_the_library_of_the_standard(one):
    request = await posted(one)
    verified = standardwebhooks.Webhook(SECRET).verify(request.content, headers(request))
    assert verified["data"]["event_id"] == one.event_id
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(OLD).verify(request.content, headers(request))
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(request.content + b" ", headers(request))


async def test_while_a_secret_is_replaced_either_verifies():
    request = await posted(FULL, secret=[SECRET, OLD])
    for secret in (SECRET, OLD):
        standardwebhooks.Webhook(secret).verify(request.content, headers(request))
    assert len(request.headers["webhook-signature"].split(" ")) == 2


async def test_the_id_is_that_of_the_event_and_its_name():
    ids = [
        (await posted(one)).headers["webhook-id"]
        for one in (FULL, replace(FULL, name="DEP"), event(event_id="a.b:c", name="X Y"))
    ]
    assert ids == ["e1:FTD", "e1:DEP", "a%2Eb%3Ac:X%20Y"]


async def test_a_repeated_request_has_the_same_id():
    async with WebhookSandbox() as receiver:
        receiver.fail(Fault.drop_answer())
        webhook = Webhook(receiver.url, receiver.secret)
        outbox = WatchedOutbox(ManualClock())
        await accept(outbox, "e1", to=["webhook"])
        lane = lane_to(webhook, outbox)
        await lane.run_once()
        outbox.clock.advance(10)
        await lane.run_once()
        await webhook.close()
        assert (await the(outbox, "e1")).state == "delivered"
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert (len(receiver.received), len(receiver.events)) == (2, 1)


# Batches


async def test_a_batch_is_one_body_per_line_and_each_has_its_own_id():
    events = [replace(FULL, event_id=f"e{number}") for number in (1, 2, 3)]
    request = await posted(*events, batch=100)
    assert request.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in request.content.splitlines()]
    assert [line["id"] for line in lines] == ["e1:FTD", "e2:FTD", "e3:FTD"]
    alone = json.loads((await posted(events[0])).content)
    assert lines[0] == alone
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), tz=timezone.utc)
    expected = standardwebhooks.Webhook(SECRET).sign(
        request.headers["webhook-id"], at, request.content.decode()
    )
    assert request.headers["webhook-signature"] == expected


async def test_the_same_batch_has_the_same_id_and_another_has_another():
    events = [replace(FULL, event_id=f"e{number}") for number in (1, 2, 3)]
    ids = [
        (await posted(*batch, batch=10)).headers["webhook-id"]
        for batch in (events, events, events[:2], events[::-1], events[:1])
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert all(each.startswith("batch:") for each in ids)


async def test_a_receiver_may_refuse_some_lines_of_a_batch():
    def refuse(body: Any) -> str | None:
        return "no such order" if body["data"]["event_id"] in {"e0002", "e0005"} else None

    async with WebhookSandbox(refuse=refuse) as receiver:
        webhook = Webhook(receiver.url, receiver.secret, batch=100)
        states = await through_a_lane(webhook, recent(8))
        await webhook.close()
    assert await states() == {"delivered": 6, "dead": 2}
    assert [request.status for request in receiver.requests] == [207]
    assert len(receiver.events) == 6


async def test_a_refused_line_is_a_dead_letter_with_the_receivers_reason():
    answer = {"rejected": {"e2:FTD": f"no {SECRET}\nhere", "unknown": "x"}}
    events = [replace(FULL, event_id=f"e{number}") for number in (1, 2)]
    first, second = await deliver(to(Backend(answer, 207), batch=10), *events)
    assert "webhook_id" in first
    assert isinstance(second, EventRejected)
    assert (second.reason, second.status) == ("HTTP 207: no ***\\nhere", 207)


@pytest.mark.parametrize("answer", [{"rejected": ["e1:FTD"]}, {}, "fine"])
async def test_another_answer_with_207_is_a_success(answer):
    (receipt,) = await deliver(to(Backend(answer, 207), batch=10), FULL)
    assert "webhook_id" in receipt


async def test_a_batch_that_is_refused_whole_is_searched():
    async with WebhookSandbox() as receiver:
        receiver.fail(Fault.status(400), times=None, when=lambda body: "e0003" in json.dumps(body))
        webhook = Webhook(receiver.url, receiver.secret, batch=100)
        states = await through_a_lane(webhook, recent(8))
        await webhook.close()
    assert await states() == {"delivered": 7, "dead": 1}


# Answers


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, EventRejected),
        (401, DestinationMisconfigured),
        (404, DestinationMisconfigured),
        (410, DestinationMisconfigured),
        (301, DestinationMisconfigured),
        (422, EventRejected),
        (429, RateLimited),
        (500, DeliveryFailed),
        (502, DeliveryFailed),
    ],
)
async def test_a_status_decides(status, kind):
    assert type(await failure(to(Backend("no", status)), FULL)) is kind


async def test_a_receiver_that_is_gone_pauses_the_destination_and_no_event_is_lost():
    async with WebhookSandbox() as receiver:
        receiver.fail(Fault.status(410), times=None)
        lane, states = await queue(Webhook(receiver.url, receiver.secret), recent(3))
        await lane.run_once()
        assert lane.state == "refused"
        assert await states() == {"pending": 3}
        await lane.destination.close()


# What is shown


async def test_neither_address_nor_secret_is_in_a_log_repr_or_error(caplog):
    caplog.set_level(logging.DEBUG)
    echoed = f"POST {httpx.URL(URL).raw_path.decode()} by {SECRET}"
    webhook = to(Backend(echoed, 404))
    async with Tracker([webhook], store=MemoryStore()) as tracker:
        await tracker.track("REG", telegram_id=7, bot_id=42)
        await tracker.flush(0.2)
    error = await failure(webhook, FULL)
    shown = f"{webhook!r} {error.reason} {caplog.text}"
    for secret in (SECRET, SECRET.removeprefix("whsec_"), "0f8fad5b", "T0K3NT0K3N"):
        assert secret not in shown
    assert repr(webhook) == "Webhook('https://n8n.example.com', name='webhook')"
    assert "is url='https://n8n.example.com' right?" in error.reason


# What cannot work is refused at once


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "s3cr3t",
        SECRET.removeprefix("whsec_"),
        "whsec_",
        "whsec_????",
        f"whsec_{b64encode(bytes(23)).decode()}",
        f"whsec_{b64encode(bytes(65)).decode()}",
        [SECRET, "s3cr3t"],
        5,
        None,
    ],
)
def test_a_secret_is_whsec_and_base64_of_24_to_64_bytes(secret):
    said = mistake(URL, secret)
    assert said.startswith("Webhook(secret=...) must be")
    assert "s3cr3t" not in said


@pytest.mark.parametrize("length", [24, 64])
def test_a_secret_may_be_as_long_as_the_standard_says(length):
    Webhook(URL, f"whsec_{b64encode(bytes(length)).decode()}")


def test_no_secret_at_all_is_refused():
    assert "must be a secret, or a list" in mistake(URL, [])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("n8n.example.com/webhook", SECRET), "Webhook(url=...) must be a whole http or https"),
        (("https://u:p@n8n.example.com/", SECRET), "Webhook(url=...)"),
        ((5, SECRET), "Webhook(url=...)"),
    ],
)
def test_an_address_that_cannot_work_is_refused(arguments, expected):
    assert expected in mistake(*arguments)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch": 0}, "Webhook(batch=...) must be a number of events from 1 to 1000, not 0"),
        ({"batch": 1001}, "Webhook(batch=...)"),
        ({"batch": True}, "Webhook(batch=...)"),
        ({"batch": "10"}, "Webhook(batch=...)"),
        ({"traits": "meta"}, "Webhook(traits=...) must be True or False"),
        ({"event_names": ["FTD"]}, "Webhook(event_names=...)"),
        ({"ambiguous": "no"}, "Webhook(ambiguous=...)"),
    ],
)
def test_an_argument_that_cannot_work_is_refused(options, expected):
    assert expected in mistake(URL, SECRET, **options)
