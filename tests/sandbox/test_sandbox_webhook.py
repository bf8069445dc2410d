"""The receiver of webhooks: what it verifies, takes and refuses."""

import json
from datetime import datetime, timezone

import aiohttp
import pytest
import standardwebhooks

from gp_aiogram.sandbox import Fault, WebhookSandbox

BODY = {"version": 1, "id": "e1:FTD", "type": "FTD", "data": {}}


@pytest.fixture
async def receiver(clock):
    def refuse(body):
        return "no such order" if body["type"] == "Bad" else None

    async with WebhookSandbox(clock=clock, refuse=refuse) as sandbox:
        yield sandbox


def signed(receiver, content, *, at, webhook_id="m1", secret=None):
    """Sign as the library of the standard does."""
    moment = datetime.fromtimestamp(at, tz=timezone.utc)
    signature = standardwebhooks.Webhook(secret or receiver.secret).sign(
        webhook_id, moment, content.decode()
    )
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": signature,
    }


async def post(receiver, content, headers, kind="application/json", method="POST"):
    sent = {"content-type": kind, **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{receiver.url}/any/path", data=content, headers=sent) as answer,
    ):
        return answer.status, await answer.text()


def encoded(*bodies):
    return b"\n".join(json.dumps(body).encode() for body in bodies)


async def test_what_the_library_of_the_standard_signs_is_taken(receiver, clock):
    content = encoded(BODY)
    answer = await post(receiver, content, signed(receiver, content, at=clock.now))
    assert answer == (204, "")
    (event,) = await receiver.wait_for(1)
    assert (event.body, event.webhook_id, event.at) == (BODY, "m1", clock.now)


async def test_one_of_several_signatures_is_enough(receiver, clock):
    content = encoded(BODY)
    headers = signed(receiver, content, at=clock.now)
    headers["webhook-signature"] = f"v1,bm8= {headers['webhook-signature']} v2,bm8="
    assert (await post(receiver, content, headers))[0] == 204


OTHER = "whsec_YW5vdGhlci1zZWNyZXQtb2YtMzItYnl0ZXMhISEhISE="


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"webhook-id": ""}, "webhook-id and webhook-timestamp are needed"),
        ({"webhook-id": "m.1"}, "webhook-id and webhook-timestamp are needed"),
        ({"webhook-timestamp": "now"}, "webhook-id and webhook-timestamp are needed"),
        ({"webhook-id": "m2"}, "no webhook-signature is by this secret"),
        ({"webhook-signature": ""}, "no webhook-signature is by this secret"),
        ({"webhook-signature": "v1,é"}, "no webhook-signature is by this secret"),
    ],
)
async def test_what_does_not_verify_gets_401(receiver, clock, change, expected):
    content = encoded(BODY)
    headers = {**signed(receiver, content, at=clock.now), **change}
    assert await post(receiver, content, headers) == (401, expected)
    assert receiver.received == []


async def test_another_secret_and_another_body_do_not_verify(receiver, clock):
    content = encoded(BODY)
    by_another = signed(receiver, content, at=clock.now, secret=OTHER)
    assert (await post(receiver, content, by_another))[0] == 401
    headers = signed(receiver, content, at=clock.now)
    assert (await post(receiver, content + b" ", headers))[0] == 401


@pytest.mark.parametrize(("age", "status"), [(299, 204), (301, 401), (-299, 204), (-301, 401)])
async def test_a_timestamp_is_from_the_last_five_minutes(receiver, clock, age, status):
    content = encoded(BODY)
    headers = signed(receiver, content, at=clock.now - age)
    assert (await post(receiver, content, headers))[0] == status


async def test_an_event_counts_once(receiver, clock):
    content = encoded(BODY)
    for webhook_id in ("m1", "m1", "m2"):
        await post(
            receiver, content, signed(receiver, content, at=clock.now, webhook_id=webhook_id)
        )
    assert (len(receiver.received), len(receiver.events)) == (3, 1)


async def test_a_batch_is_a_line_for_each(receiver, clock):
    content = encoded(BODY, {**BODY, "id": "e2:FTD"})
    headers = signed(receiver, content, at=clock.now)
    assert (await post(receiver, content, headers, "application/x-ndjson"))[0] == 204
    assert [event.body["id"] for event in receiver.events] == ["e1:FTD", "e2:FTD"]


async def test_what_is_refused_is_said(receiver, clock):
    bad = {**BODY, "id": "e2:Bad", "type": "Bad"}
    content = encoded(bad)
    headers = signed(receiver, content, at=clock.now)
    assert await post(receiver, content, headers) == (422, "no such order")
    content = encoded(BODY, bad)
    headers = signed(receiver, content, at=clock.now)
    status, text = await post(receiver, content, headers, "application/x-ndjson")
    assert (status, json.loads(text)) == (207, {"rejected": {"e2:Bad": "no such order"}})
    assert [event.body["id"] for event in receiver.events] == ["e1:FTD"]


@pytest.mark.parametrize("content", [b"{", b"[1]", b"5", b"{}", b'{"id": 5}'])
async def test_what_is_no_event_gets_400(receiver, clock, content):
    headers = signed(receiver, content, at=clock.now)
    assert (await post(receiver, content, headers))[0] == 400


async def test_it_fails_on_demand(receiver, clock):
    receiver.fail(Fault.status(410, body="gone"))
    content = encoded(BODY)
    headers = signed(receiver, content, at=clock.now)
    assert await post(receiver, content, headers) == (410, "gone")
    assert (await post(receiver, content, headers))[0] == 204
