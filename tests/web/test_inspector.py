"""The inspector's routes: who is let in, what is kept out, and what is answered."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import httpx
import pytest
from aiohttp import ClientSession, CookieJar, web
from yarl import URL

from fixtures.recorder import Recorder
from gp_aiogram import (
    Click,
    ConfigurationError,
    EventRejected,
    MemoryStore,
    MetaCAPI,
    RedisStore,
    Tracker,
)
from gp_aiogram.errors import StoreUnavailable
from gp_aiogram.model.clock import from_ms
from gp_aiogram.stores.records import DeliveryFilter, Outcome, Try
from gp_aiogram.testing import ManualClock
from gp_aiogram.web import Inspector, serve
from gp_aiogram.web.inspector import stream as stream_module
from gp_aiogram.web.inspector.browse import LOOKED_AT

TOKEN = "a-token-that-nobody-guesses"
ACT = {"X-GP-Action": "1"}
BOT = 42


@asynccontextmanager
async def served(
    tracker: Tracker, prefix: str = "/inspector", **options: Any
) -> AsyncIterator[str]:
    app = web.Application()
    Inspector(tracker, **{"token": TOKEN, **options}).setup(app, prefix)
    async with serve(app, port=0) as url:
        yield url


class Client:
    """A browser, as far as these tests need one."""

    def __init__(self, http: ClientSession, url: str) -> None:
        self.http = http
        self.url = url

    async def get(self, path: str, **more: Any) -> tuple[int, Any]:
        async with self.http.get(f"{self.url}/api/{path}", **more) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = {**ACT, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.http.post(f"{self.url}/api/{path}", json=body or {}, headers=sent) as told:
            return told.status, await told.json()

    async def log_in(self) -> None:
        assert await self.post("login", {"token": TOKEN}) == (200, {"allowed": True})


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Client]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as http:
        yield Client(http, f"{url}/inspector")


@pytest.fixture
async def client(tracker: Tracker) -> AsyncIterator[Client]:
    """Somebody who has logged in."""
    async with served(tracker) as url, browsing(url) as client:
        await client.log_in()
        yield client


@pytest.fixture
async def stranger(tracker: Tracker) -> AsyncIterator[Client]:
    async with served(tracker) as url, browsing(url) as client:
        yield client


# Who is let in

READS = ("events", "event/1", "touches", "report", "quality", "stream")
ACTS = ("replay", "purge", "resume", "logout")


@pytest.mark.parametrize("path", READS)
async def test_strangers_read_nothing(stranger: Client, path: str) -> None:
    assert await stranger.get(path) == (401, {"error": "log in first"})
    assert await stranger.get("me") == (
        200,
        {"allowed": False, "logged_in": False, "has_token": True},
    )


@pytest.mark.parametrize("path", ACTS)
async def test_strangers_do_nothing(stranger: Client, path: str) -> None:
    assert (await stranger.post(path))[0] == 401


async def test_a_login_ends_by_itself_and_by_logging_out(tracker: Tracker) -> None:
    clock = ManualClock()
    async with served(tracker, clock=clock) as url, browsing(url) as client:
        await client.log_in()
        assert (await client.get("events"))[0] == 200
        cookies = client.http.cookie_jar.filter_cookies(URL(f"{url}/inspector/"))
        kept = cookies["gp_inspector"].value
        assert (await client.post("logout"))[0] == 200
        assert (await client.get("events"))[0] == 401
        stolen = {"Cookie": f"gp_inspector={kept}"}
        assert (await client.get("events", headers=stolen))[0] == 401
        await client.log_in()
        clock.advance(12 * 3600 + 1)
        assert (await client.get("events"))[0] == 401


@pytest.mark.parametrize(
    "cookie", ["", "x", "..", "9999999999.n.", f"9999999999.n.{'0' * 64}", "9" * 5000, "é.é.é"]
)
async def test_a_forged_cookie_opens_nothing(stranger: Client, cookie: str) -> None:
    headers = {"Cookie": f"gp_inspector={cookie}"}
    assert (await stranger.get("events", headers=headers))[0] == 401


async def test_a_cookie_of_another_token_opens_nothing(tracker: Tracker) -> None:
    async with served(tracker) as url, browsing(url) as client:
        await client.log_in()
        kept = client.http.cookie_jar.filter_cookies(URL(f"{url}/inspector/"))[
            "gp_inspector"
        ].value
    headers = {"Cookie": f"gp_inspector={kept}"}
    async with served(tracker) as url, browsing(url) as again:
        assert (await again.get("events", headers=headers))[0] == 200
    async with served(tracker, token="another-token-than-before") as url, browsing(url) as other:
        assert (await other.get("events", headers=headers))[0] == 401


async def test_the_cookie_is_kept_from_scripts_sites_and_plain_http(tracker: Tracker) -> None:
    async with served(tracker, trusted_proxies=["127.0.0.1"]) as url, ClientSession() as http:
        for scheme in ("http", "https"):
            headers = {**ACT, "X-Forwarded-Proto": scheme, "X-Forwarded-For": "203.0.113.7"}
            login = f"{url}/inspector/api/login"
            async with http.post(login, json={"token": TOKEN}, headers=headers) as response:
                cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert "Path=/inspector/" in cookie
            assert ("Secure" in cookie) == (scheme == "https")
            assert TOKEN not in cookie


async def test_guessing_is_slowed_down(tracker: Tracker, caplog: Any) -> None:
    clock = ManualClock()
    async with served(tracker, clock=clock) as url, browsing(url) as client:
        told = [await client.post("login", {"token": f"wrong-{n}"}) for n in range(6)]
        assert [status for status, _ in told] == [403] * 5 + [429]
        assert "wait 12 seconds" in told[-1][1]["error"]
        assert (await client.post("login", {"token": TOKEN}))[0] == 429
        clock.advance(12)
        await client.log_in()
    assert "wrong-1" not in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("body", [{}, {"token": 5}, {"token": "é"}, {"token": ""}])
async def test_a_token_that_is_none_is_refused(stranger: Client, body: Any) -> None:
    assert (await stranger.post("login", body))[0] in {400, 403}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "Inspector(token=...) is missing"),
        ({"token": "short"}, "Inspector(token=...) must have 16 characters or more"),
        ({"token": "with white space in it"}, "Inspector(token=...) holds white space"),
    ],
)
def test_a_token_that_could_be_guessed_is_refused(
    tracker: Tracker, arguments: Any, told: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Inspector(tracker, **arguments)
    assert told in str(caught.value)
    assert "short" not in str(caught.value)


# Without a token, on the loopback


@pytest.fixture
async def at_home(tracker: Tracker) -> AsyncIterator[Client]:
    async with (
        served(tracker, token=None, open_on_loopback=True) as url,
        browsing(url) as client,
    ):
        yield client


async def test_this_machine_needs_no_token_when_it_was_asked_for(at_home: Client) -> None:
    assert (await at_home.get("events"))[0] == 200
    assert (await at_home.get("me"))[1] == {
        "allowed": True,
        "logged_in": False,
        "has_token": False,
    }
    assert (await at_home.post("login", {"token": TOKEN}))[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "127.0.0.1.rebound.example"},
        {"Host": "[bad"},
        {"X-Forwarded-For": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"X-Real-IP": "203.0.113.7"},
        {"Via": "1.1 proxy"},
    ],
)
async def test_other_names_and_proxies_need_a_token(at_home: Client, headers: Any) -> None:
    """A page of another site whose name was turned to this machine, or anybody behind a proxy."""
    assert (await at_home.get("events", headers=headers))[0] == 401


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


async def test_whoever_comes_from_outside_needs_a_token(tracker: Tracker) -> None:
    try:
        address = own_address()
    except OSError:
        pytest.skip("this machine has no network to come from")
    app = web.Application()
    Inspector(tracker, token=TOKEN, open_on_loopback=True).setup(app)
    async with serve(app, "0.0.0.0", 0) as url, ClientSession() as http:
        port = url.rpartition(":")[2]
        headers = {"Host": "127.0.0.1"}
        events = f"http://{address}:{port}/inspector/api/events"
        async with http.get(events, headers=headers) as response:
            assert response.status == (200 if address.startswith("127.") else 401)


# What is kept out


@pytest.mark.parametrize(
    "headers",
    [
        {"X-GP-Action": None},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", [*ACTS, "login"])
async def test_other_sites_act_for_nobody(client: Client, headers: Any, path: str) -> None:
    sent = {name: value for name, value in {**ACT, **headers}.items() if value is not None}
    async with client.http.post(f"{client.url}/api/{path}", json={}, headers=sent) as response:
        assert response.status == 403
        assert (await response.json())["error"] == "this is for the inspector's page alone"


async def test_a_form_of_another_site_is_no_action(client: Client) -> None:
    async with client.http.post(f"{client.url}/api/replay", data={"a": "b"}, headers=ACT) as told:
        assert told.status == 415


@pytest.mark.parametrize("body", ["[]", "{", '{"destination": 5}', "\xff", "5"])
async def test_a_body_that_makes_no_sense_is_told(client: Client, body: str) -> None:
    headers = {**ACT, "Content-Type": "application/json"}
    url = f"{client.url}/api/replay"
    async with client.http.post(url, data=body.encode("latin-1"), headers=headers) as told:
        assert told.status == 400


async def test_actions_are_no_links(client: Client) -> None:
    for path in ACTS:
        async with client.http.get(f"{client.url}/api/{path}") as response:
            assert response.status == 405


async def test_every_answer_keeps_strangers_out(client: Client) -> None:
    for path in ("/", "/static/inspector.js", "/static/nothing.js", "/api/me", "/api/events"):
        async with client.http.get(f"{client.url}{path}") as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Frame-Options"] == "DENY"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_is_its_own_files_alone(client: Client) -> None:
    async with client.http.get(f"{client.url}/") as response:
        page = await response.text()
    assert "http:" not in page
    assert "https:" not in page
    assert "style=" not in page
    assert "onclick" not in page
    assert "<script>" not in page
    async with client.http.get(f"{client.url}/static/base.css") as response:
        etag = response.headers["ETag"]
        assert response.content_type == "text/css"
    again = client.http.get(f"{client.url}/static/base.css", headers={"If-None-Match": etag})
    async with again as response:
        assert response.status == 304
    for name in ("..%2finspector.py", "inspector.py", "%2e%2e/inspector.py"):
        async with client.http.get(f"{client.url}/static/{name}") as response:
            assert response.status == 404


@pytest.mark.parametrize("prefix", ["/inspector", "ops/look/", "/"])
async def test_it_stands_where_it_is_put(tracker: Tracker, prefix: str) -> None:
    async with served(tracker, prefix) as url, ClientSession() as http:
        path = f"/{prefix.strip('/')}".rstrip("/")
        async with http.get(f"{url}{path}") as response:
            assert response.status == 200
            assert response.url.path == f"{path}/"
        async with http.get(f"{url}{path}/api/me") as response:
            assert response.status == 200


# What is answered


async def test_events_come_the_latest_first_in_pages(client: Client, tracker: Tracker) -> None:
    for number in range(120):
        await tracker.track("REG", telegram_id=number + 1, bot_id=BOT)
    _, first = await client.get("events")
    assert [row["user"] for row in first["events"]] == [*range(120, 20, -1)]
    _, second = await client.get("events", params={"before": first["before"]})
    assert [row["user"] for row in second["events"]] == [*range(20, 0, -1)]
    assert second["before"] is None


async def test_a_row_tells_what_became_of_an_event(client: Client, tracker: Tracker) -> None:
    click = Click(at=datetime.now(timezone.utc), fbclid="x", utm={"utm_campaign": "Winter"})
    session_id = await tracker.register_click(click)
    await tracker.capture(7, session_id, bot_id=BOT)
    await tracker.track(
        "FTD", telegram_id=7, bot_id=BOT, value=Decimal("49.90"), currency="EUR", event_id="e1"
    )
    _, page = await client.get("events")
    (row,) = page["events"]
    expected = {"id": "e1", "name": "FTD", "user": 7, "bot": BOT, "session": session_id}
    assert expected.items() <= row.items()
    assert (row["value"], row["currency"], row["campaign"]) == ("49.90", "EUR", "Winter")
    (delivery,) = row["deliveries"]
    assert (delivery["to"], delivery["state"], delivery["attempts"]) == ("recorder", "pending", 0)
    _, told = await client.get(f"event/{row['seq']}")
    assert told["click"]["fbclid"] == "x"
    assert [touch["session"] for touch in told["touches"]] == [session_id]
    assert told["deliveries"][0]["payload"]["item"]["event_id"] == "e1"


async def test_an_event_tells_its_failed_tries(
    client: Client, tracker: Tracker, store: MemoryStore
) -> None:
    await tracker.track("REG", telegram_id=7, bot_id=BOT)
    claim = await store.outbox.claim("recorder", 1, lease=60)
    tried = Try(1, from_ms(1_767_268_800_123), "failed", 503, "HTTP 503: later")
    await store.outbox.settle([Outcome(claim.deliveries[0], "pending", tries=[tried])])
    _, page = await client.get("events")
    _, told = await client.get(f"event/{page['events'][0]['seq']}")
    assert told["deliveries"][0]["tries"] == [
        {**tried._asdict(), "at": 1_767_268_800_123},
    ]


async def test_large_telegram_ids_keep_their_digits(client: Client, tracker: Tracker) -> None:
    await tracker.track("REG", telegram_id=2**60 + 1, bot_id=BOT)
    _, page = await client.get("events", params={"user": str(2**60 + 1)})
    assert page["events"][0]["user"] == str(2**60 + 1)


async def test_a_rare_campaign_is_looked_for_in_several_requests(
    client: Client, tracker: Tracker, store: MemoryStore
) -> None:
    click = Click(at=datetime.now(timezone.utc), fbclid="x", utm={"utm_campaign": "Rare"})
    await tracker.register_click(click, "gp_rare")
    await tracker.track("REG", telegram_id=1, bot_id=BOT, session_id="gp_rare")
    for number in range(LOOKED_AT + 50):
        await tracker.track("REG", telegram_id=number + 2, bot_id=BOT)
    _, first = await client.get("events", params={"campaign": "rare"})
    assert first["events"] == []
    assert first["before"] is not None
    _, second = await client.get("events", params={"campaign": "rare", "before": first["before"]})
    assert [row["user"] for row in second["events"]] == [1]


@pytest.mark.parametrize(
    "query",
    ["state=lost", "user=x", "user=-5", "user=" + "9" * 30, "before=0", "rows=5", "rows=a-b"],
)
async def test_a_question_that_makes_no_sense_is_told(client: Client, query: str) -> None:
    status, told = await client.get(f"events?{query}")
    assert status == 400
    assert told["error"]


async def test_what_is_not_there_is_told(client: Client) -> None:
    assert (await client.get("event/99"))[0] == 404
    assert (await client.get("event/x"))[0] == 400
    assert (await client.get("report?days=8"))[0] == 400
    status, told = await client.post("resume", {"destination": "nobody"})
    assert status == 400
    assert "there is no destination 'nobody' to resume" in told["error"]


async def test_rows_that_are_on_the_screen_are_told_again(
    client: Client, tracker: Tracker
) -> None:
    for number in range(5):
        await tracker.track("REG", telegram_id=number + 1, bot_id=BOT)
    _, told = await client.get("events?rows=2-4")
    assert [row["seq"] for row in told["events"]] == [2, 3, 4]


async def test_a_store_that_is_away_is_told(
    client: Client, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Any:
        msg = "the disk at /secret/path is full"
        raise StoreUnavailable(msg)

    monkeypatch.setattr(store.outbox, "events", away)
    async with client.http.get(f"{client.url}/api/events") as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "2"
        told = await response.json()
    assert told["error"] == "the store does not answer: StoreUnavailable; see the log"


async def test_sessions_of_a_store_that_lists_none(redis_url: str, redis_prefix: str) -> None:
    users = RedisStore(redis_url, prefix=redis_prefix)
    tracker = Tracker([Recorder()], store=MemoryStore.of(users, MemoryStore()), journal=None)
    async with tracker, served(tracker) as url, browsing(url) as client:
        await client.log_in()
        await tracker.capture(7, "gp_a", bot_id=BOT)
        _, told = await client.get("touches")
        assert told == {"touches": [], "before": None, "listed": False}
        _, told = await client.get("touches?user=7")
        assert [touch["session"] for touch in told["touches"]] == ["gp_a"]
        _, report = await client.get("report")
        assert not report["lists_touches"]


async def test_a_report_is_kept_for_a_while(tracker: Tracker) -> None:
    clock = ManualClock(datetime.now(timezone.utc).timestamp() + 60)
    async with served(tracker, clock=clock) as url, browsing(url) as client:
        await client.log_in()
        await tracker.track("REG", telegram_id=7, bot_id=BOT)
        _, first = await client.get("report?days=7&zone=Europe/Kyiv")
        await tracker.track("REG", telegram_id=8, bot_id=BOT)
        assert (await client.get("report?days=7&zone=Europe/Kyiv"))[1] == first
        clock.advance(20)
        _, later = await client.get("report?days=7&zone=Europe/Kyiv")
        _, other = await client.get("report?days=7&zone=No/Where")
        counts = [each["funnel"]["total"]["counts"]["REG"] for each in (first, later, other)]
        assert counts == [1, 2, 2]


async def test_metas_judgement_is_beside_the_coverage() -> None:
    answer = {"web": [{"event_name": "Purchase", "event_match_quality": {"composite_score": 7}}]}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))
    meta = MetaCAPI("1", "token", transport=transport)
    tracker = Tracker([meta], store=MemoryStore(), journal=None)
    async with served(tracker) as url, browsing(url) as client:
        await client.log_in()
        _, told = await client.get("quality")
    assert told["meta"]["events"] == [
        {"name": "Purchase", "score": 7.0, "coverage": {}, "diagnostics": []}
    ]
    await tracker.close(grace=0)


async def test_dead_letters_are_replayed_and_purged(
    client: Client, tracker: Tracker, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = recorder.send

    async def refuse(events: Any) -> Any:
        msg = "no"
        raise EventRejected(msg)

    monkeypatch.setattr(recorder, "send", refuse)
    await tracker.start()
    for event_id in ("e1", "e2"):
        await tracker.track("REG", telegram_id=7, bot_id=BOT, event_id=event_id)
    assert await tracker.flush(5)
    monkeypatch.setattr(recorder, "send", send)
    assert await client.post("replay", {"destination": "recorder", "event_id": "e1"}) == (
        200,
        {"count": 1},
    )
    assert await client.post("purge", {"destination": "recorder"}) == (200, {"count": 1})
    assert await tracker.flush(5)
    assert [event.event_id for event in recorder.events] == ["e1"]
    assert await tracker.dead_letters() == []


# The stream


class Stream:
    """Reads messages of a stream."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.last_id = ""

    async def next(self, *names: str) -> Any:
        """Return the data of the next message of one of these names."""
        while True:
            fields: dict[str, str] = {}
            while (line := await self._line()) != "\n":
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value
            self.last_id = fields.get("id", self.last_id)
            if fields.get("event") in names:
                return json.loads(fields["data"])

    async def _line(self) -> str:
        line = await asyncio.wait_for(self.response.content.readline(), 10)
        assert line, "the stream ended"
        return str(line.decode())


@asynccontextmanager
async def streaming(client: Client, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.http.get(f"{client.url}/api/stream{query}", headers=sent) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield Stream(response)


async def test_the_stream_tells_everything_as_it_happens(client: Client, tracker: Tracker) -> None:
    async with streaming(client) as stream:
        status = await stream.next("status")
        assert [each["name"] for each in status["destinations"]] == ["recorder"]
        await tracker.capture(7, "gp_a", bot_id=BOT)
        (touch,) = await stream.next("touches")
        assert touch["session"] == "gp_a"
        await tracker.track("REG", telegram_id=7, bot_id=BOT)
        (row,) = await stream.next("events")
        assert row["deliveries"][0]["state"] == "pending"
        await tracker.start()
        (row,) = await stream.next("changed")
        assert row["deliveries"][0]["state"] == "delivered"
        await stream.next("cursor")
        assert stream.last_id.startswith("e1.s")


async def test_a_stream_goes_on_behind_the_last_event(client: Client, tracker: Tracker) -> None:
    async with streaming(client) as stream:
        await tracker.track("REG", telegram_id=1, bot_id=BOT)
        await stream.next("events")
        await stream.next("cursor")
    for user in (2, 3):
        await tracker.track("REG", telegram_id=user, bot_id=BOT)
    async with streaming(client, Last_Event_ID=stream.last_id) as again:
        assert [row["user"] for row in await again.next("changed")] == [1]
        assert [row["user"] for row in await again.next("events")] == [2, 3]
    async with streaming(client, f"?cursor={stream.last_id}") as other:
        assert [row["user"] for row in await other.next("events")] == [2, 3]


async def test_a_cursor_of_another_store_begins_anew(client: Client, tracker: Tracker) -> None:
    await tracker.track("REG", telegram_id=1, bot_id=BOT)
    async with streaming(client, "?cursor=e500.s500") as stream:
        assert await stream.next("reset") == "e1.s0"
        await tracker.track("REG", telegram_id=2, bot_id=BOT)
        assert [row["user"] for row in await stream.next("events")] == [2]


async def test_too_many_streams_are_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "MOST_STREAMS", 1)
    async with streaming(client), client.http.get(f"{client.url}/api/stream") as second:
        assert second.status == 503


async def test_a_server_that_stops_waits_for_no_stream(tracker: Tracker) -> None:
    loop = asyncio.get_running_loop()
    async with browsing("") as client:
        async with served(tracker) as url:
            client.url = f"{url}/inspector"
            await client.log_in()
            response = await client.http.get(f"{client.url}/api/stream")
            began = loop.time()
        assert loop.time() - began < 3
        response.close()


async def test_without_a_reader_the_store_is_left_alone(
    client: Client, tracker: Tracker, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    events = store.outbox.events

    async def counted(where: DeliveryFilter, span: Any) -> Any:
        asked.append(where)
        return await events(where, span)

    monkeypatch.setattr(store.outbox, "events", counted)
    async with streaming(client) as stream:
        await stream.next("status")
    monkeypatch.setattr(stream_module, "_ALIVE_EVERY", 0.0)
    await tracker.track("REG", telegram_id=1, bot_id=BOT)
    await asyncio.sleep(1.5)  # it notices at its next look
    asked.clear()
    await tracker.track("REG", telegram_id=1, bot_id=BOT)
    await asyncio.sleep(1.5)
    assert asked == []
