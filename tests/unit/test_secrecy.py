"""No raw e-mail, phone or token in the outbox, in a log record, in a repr or in a dead letter."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gp_aiogram import (
    Click,
    ClickHouse,
    Event,
    GramPixel,
    HTTPDestination,
    LeadSail,
    MemoryStore,
    MetaCAPI,
    Snapchat,
    SQLiteStore,
    TikTokEvents,
    Tracker,
    Webhook,
    YandexMetrica,
)
from gp_aiogram import Postback as Template

HOOK = "whsec_aG9va1NFQ1JFVDU4LWhvb2tTRUNSRVQ1OC1ob29r"
SECRETS = (
    *("gramKEY51", "metaTOKEN52", "appSECRET53", "tikTOKEN54", "leadKEY55"),
    *("yaTOKEN56", "houseKEY57", "snapTOKEN58", "trackerKEY59", HOOK),
)

EMAILS = st.from_regex(r"[a-z]{3,10}[0-9]{2}\.[A-Z]{3,8}@[a-z]{4,9}\.(com|de)", fullmatch=True)
PHONES = st.from_regex(r"\+49 15[0-9] [1-9][0-9]{3} [0-9]{4}", fullmatch=True)


def echo(request: httpx.Request) -> httpx.Response:
    """Refuse, and tell everything that was said, as the worst of servers does."""
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    heard = f"{headers}\n{request.url}\n{request.content.decode()}"
    host = str(request.url.host)
    if "facebook" in host:
        return httpx.Response(400, json={"error": {"code": 100, "message": heard}})
    if "tiktok" in host:
        return httpx.Response(400, json={"code": 40002, "message": heard})
    error = {"code": "VALIDATION_ERROR", "message": heard, "details": [heard]}
    return httpx.Response(422, json={"success": False, "error": error})


def destinations() -> list[Any]:
    gram, meta, app, tik, lead, yandex, house, snap, tracker, hook = SECRETS
    transport = httpx.MockTransport(echo)
    workspace = "0f8fad5b-d9cb-469f-a165-70867728950e"
    return [
        GramPixel(gram, workspace, transport=transport),
        MetaCAPI("123", meta, app_secret=app, transport=transport),
        TikTokEvents("C1", tik, page_url="https://example.com", transport=transport),
        LeadSail(lead, "1", "facebook", lead_id="lead_1", transport=transport),
        ClickHouse("https://ch.example.com", password=house, transport=transport),
        YandexMetrica(1, yandex, currency="USD", mode="measurement", transport=transport),
        Snapchat("1", snap, transport=transport),
        Template(
            "https://tracker.example.com/{key}/?u={telegram_id}", key=tracker, transport=transport
        ),
        Webhook("https://hook.example.com/", hook, transport=transport),
    ]


async def everything_that_is_kept_or_shown(email: str, phone: str, folder: Path) -> bytes:
    shown: list[str] = []
    async with Tracker(destinations(), store=SQLiteStore(folder / "gp.sqlite3")) as tracker:
        await tracker.capture(7, await tracker.register_click(Click(ids={"_ym_uid": "1"})))
        await tracker.identify(7, email=email, phone=phone, first_name="Ada")
        contacts = {"email": email, "phone_number": phone, "note": f"call {phone}, {email}"}
        nested = {"plan": "gold", "people": [email, {"who": email, phone: 1}]}
        for name, user_data in (("REG", {}), ("Lead", contacts), ("TRIAL", nested)):
            event = await tracker.track(name, telegram_id=7, user_data=user_data)
            shown.append(repr(event))
        assert await tracker.flush(10)
        letters = await tracker.dead_letters()
        shown += [*map(repr, letters), *map(repr, destinations()), repr(await tracker.stats())]
        assert len(letters) == 3 * len(destinations())
        kept = [path.read_bytes() for path in folder.iterdir()]
    kept += [path.read_bytes() for path in folder.iterdir()]
    return b"".join([*kept, "\n".join(shown).encode()])


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(email=EMAILS, phone=PHONES)
def test_nothing_raw_and_no_secret_is_kept_or_shown(
    caplog: pytest.LogCaptureFixture,
    email: str,
    phone: str,
) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    with tempfile.TemporaryDirectory() as folder:
        kept = asyncio.run(everything_that_is_kept_or_shown(email, phone, Path(folder)))
    logged = "\n".join(str(record.__dict__) for record in caplog.records)
    digits = "".join(filter(str.isdigit, phone))
    everything = (kept + logged.encode()).lower()
    for raw in (email, phone, digits, *SECRETS):
        assert raw.lower().encode() not in everything


async def test_contacts_in_user_data_become_hashed_traits(tracker: Tracker) -> None:
    event = await tracker.track(
        "REG",
        telegram_id=7,
        user_data={"email": "A@example.com", "plan": "gold", "tags": ["a", "b@example.com"]},
    )
    assert event.user_data == {"plan": "gold", "tags": ["a"]}
    assert set(event.traits["meta"]) == {"em"}
    assert len(event.traits["meta"]["em"]) == 64


# Requests whose URL holds a key, by the protocol of a tracker


class Postback(HTTPDestination):
    """Has its key in the path, as Keitaro's have."""

    def __init__(self, base_url: str, key: str, **options: Any) -> None:
        super().__init__(name="postback", base_url=base_url, secrets=[key], **options)
        self._path = f"/{key}/postback"

    async def send(self, batch: Sequence[Event]) -> None:
        query = {"subid": batch[0].session_id, "payout": batch[0].value}
        self.raise_for_status(await self.get(self._path, query))


POSTBACK_KEY = "S3CRET+KEY/51"


@asynccontextmanager
async def server(status: int, seen: list[str] | None = None) -> AsyncIterator[str]:
    """Answer everything with its own URL, in the text and in headers."""

    async def answer(request: web.Request) -> web.Response:
        if seen is not None:
            seen.append(str(request.url))
        headers = {"x-url": str(request.url), "set-cookie": f"url={request.path}; path=/x"}
        return web.Response(status=status, text=str(request.url), headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
@pytest.mark.parametrize("status", [200, 403, 404, 422, 500])
async def test_a_key_in_a_url_is_in_no_log(
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
    status: int,
    level: int,
) -> None:
    caplog.set_level(level)
    asyncio.get_running_loop().set_debug(True)
    seen: list[str] = []
    async with server(status, seen) as url:
        destination = Postback(url, POSTBACK_KEY)
        async with Tracker([destination], store=MemoryStore()) as tracker:
            event = await tracker.track("DEP", telegram_id=7, value=125, session_id="gp_a1b2")
            while not seen:
                await asyncio.sleep(0.01)
            await tracker.flush(0.2)
            shown = [*map(repr, await tracker.deliveries(event.event_id)), repr(destination)]
    logged = [str(record.__dict__) for record in caplog.records]
    warned = [str(warning.message) for warning in recwarn]
    everything = "\n".join([*shown, *logged, *warned])
    assert "S3CRET" in seen[0]
    assert "S3CRET" not in everything
    assert "payout" not in "\n".join(logged) or status >= 400, "it is told in what was answered"
    assert not [record for record in caplog.records if record.name.startswith("http")]


async def test_a_log_of_ones_own_httpx_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with server(200) as url:
        own = Postback(url, POSTBACK_KEY)
        response = await own.get("/x", {})
        assert response.status_code == 200
        await own.close()
        assert caplog.messages == []
        async with httpx.AsyncClient() as client:
            await client.get(url)
    assert [record.name for record in caplog.records] == ["httpx"]


async def test_a_transport_of_ones_own_logs_no_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with server(200) as url:
        own = Postback(url, POSTBACK_KEY, transport=httpx.AsyncHTTPTransport())
        await own.get(own._path, {"subid": "gp_a1b2"})
        await own.close()
    told = [record for record in caplog.records if "receive_response" not in record.getMessage()]
    assert any(record.name.startswith("httpcore") for record in told)
    assert not [record for record in told if "S3CRET" in str(record.__dict__)]
