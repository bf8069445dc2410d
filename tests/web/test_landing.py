"""The landing endpoint, over real HTTP on the loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
from aiogram import Bot, Dispatcher
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from fixtures import updates
from fixtures.delivery import until
from fixtures.landing import BROWSER, PLAIN, WITH_SESSION, Server, serving
from fixtures.recorder import Recorder
from gp_aiogram import Attribution, Click, ConfigurationError, MemoryStore, SQLiteStore, Tracker
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.memory.profiles import MemoryProfiles
from gp_aiogram.testing import ManualClock
from gp_aiogram.web import Landing, fields
from gp_aiogram.web.limits import PerIpLimit
from gp_aiogram.web.visitors import Visitors

FBCLID = "IwAR0aBcDeFgHiJkLmNoPqRsTuVwXyZ-_0123456789"


class Broken(MemoryProfiles):
    async def add_click(self, session_id: str, click: Click) -> bool:
        msg = "the disk is full"
        raise OSError(msg)


def with_profiles(profiles: MemoryProfiles) -> MemoryStore:
    store = MemoryStore()
    store.profiles = profiles
    return store


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "gp.sqlite3")


# What is kept of a click


async def test_everything_of_a_click_is_kept(any_store: Store) -> None:
    clock = ManualClock()
    query = (
        f"?fbclid={FBCLID}&ttclid=E.C.P.abc&gclid=Cj0K&utm_source=fb&utm_campaign=Sp%C3%A4t+x"
        "&other=1"
    )
    async with serving(any_store, clock=clock) as server:
        click = await server.click_of(
            query,
            Cookie="a=b; _fbp=fb.1.1700000000000.123; _ttp=2abcDEF; broken[=; _ga=x",
            Referer="https://l.facebook.com/",
        )
        assert click.to_dict() == {
            "at": "2026-01-01T00:00:00+00:00",
            "fbclid": FBCLID,
            "fbc": f"fb.1.1767225600000.{FBCLID}",
            "fbp": "fb.1.1700000000000.123",
            "ttclid": "E.C.P.abc",
            "ttp": "2abcDEF",
            "gclid": "Cj0K",
            "utm": {"utm_source": "fb", "utm_campaign": "Spät x"},
            "ip": "127.0.0.1",
            "user_agent": BROWSER,
            "url": f"{server.url}/go{query}",
            "referrer": "https://l.facebook.com/",
        }


async def test_a_click_without_anything_is_kept_too(server: Server) -> None:
    click = await server.click_of()
    assert click.url == f"{server.url}/go"
    assert (click.fbclid, click.fbc, click.utm) == (None, None, {})


async def test_the_cookie_of_the_same_click_keeps_its_time(server: Server) -> None:
    fbc = f"fb.2.1700000000000.{FBCLID}"
    click = await server.click_of(f"?fbclid={FBCLID}", Cookie=f"_fbc={fbc}")
    assert click.fbc == fbc


async def test_every_session_is_a_new_one(server: Server) -> None:
    assert len({await server.session_id("?fbclid=x") for _ in range(20)}) == 20


async def test_an_id_that_is_there_twice_counts_as_it_was_last(server: Server) -> None:
    assert (await server.click_of("?fbclid=old&fbclid=new&fbclid=")).fbclid == "new"


@pytest.mark.parametrize("name", ["fbclid", "ttclid", "gclid"])
async def test_an_id_is_kept_whole_or_not_at_all(server: Server, name: str) -> None:
    kept = await server.click_of(f"?{name}={'x' * 1000}")
    assert getattr(kept, name) == "x" * 1000
    assert getattr(await server.click_of(f"?{name}={'x' * 1001}"), name) is None
    assert getattr(await server.click_of(f"?{name}=a%00b"), name) is None


async def test_the_fbc_of_the_longest_fbclid_is_kept(server: Server) -> None:
    fbc = f"fb.1.1700000000000.{'x' * 1000}"
    assert (await server.click_of(Cookie=f"_fbc={fbc}")).fbc == fbc


@pytest.mark.parametrize(
    ("query", "known"),
    [
        ("?utm_source=fb?fbclid=IwAR0a", {"fbclid": "IwAR0a", "utm": {"utm_source": "fb"}}),
        ("?utm_term=why?&fbclid=IwAR0a", {"fbclid": "IwAR0a", "utm": {"utm_term": "why?"}}),
        ("??fbclid=IwAR0a", {"fbclid": "IwAR0a"}),
        ("?utm_source=fb&amp;fbclid=IwAR0a", {"fbclid": "IwAR0a", "utm": {"utm_source": "fb"}}),
        ("?a=1&amp%3Bfbclid=IwAR0a", {"fbclid": "IwAR0a"}),
        (
            "?a=1&amp;amp;fbclid=IwAR0a&amp;ttclid=E.C.P.x",
            {"fbclid": "IwAR0a", "ttclid": "E.C.P.x"},
        ),
        ("?utm_source%3Dfb%26fbclid%3DIwAR0a", {"fbclid": "IwAR0a", "utm": {"utm_source": "fb"}}),
        ("?url=https%3A%2F%2Fa.example%2F%3Ffbclid%3DIwAR0a", {"fbclid": "IwAR0a"}),
        ("?fbclid=IwAR0a&fbclid={{fbclid}}", {"fbclid": "IwAR0a"}),
        ("?fbclid=__FBCLID__&fbclid=IwAR0a", {"fbclid": "IwAR0a"}),
        ("?fbclid={{fbclid}}&ttclid=__CLICKID__&gclid={gclid}", {}),
        ("?fbclid=%7B%7Bad.id%7D%7D&ttclid=%5BCLICK_ID%5D&gclid=$GCLID", {}),
        ("?fbclid=null&ttclid=undefined&gclid=None", {}),
        ("?fbclid=IwAR0a)&ttclid=E.C.P.x,&gclid=<gclid>", {}),
        ("?fbclid=IwAR0a%23top", {}),
        (
            "?utm_source=fb&utm_campaign={{campaign.name}}&utm_content=x__AID__&utm_term={keyword}",
            {"utm": {"utm_source": "fb"}},
        ),
        (
            "?utm_campaign=%5BSALE%5D+{20%25}_off__now",
            {"utm": {"utm_campaign": "[SALE] {20%}_off__now"}},
        ),
    ],
)
async def test_an_odd_address_gives_the_id_if_there_is_one_and_no_rubbish(
    server: Server, query: str, known: dict[str, Any]
) -> None:
    for click in (
        await server.click_of(query),
        await server.reported({"url": f"https://shop.example/lp{query}"}),
    ):
        found = {name: getattr(click, name) for name in ("fbclid", "ttclid", "gclid", "utm")}
        assert found == {"fbclid": None, "ttclid": None, "gclid": None, "utm": {}, **known}


async def test_ids_behind_the_hash_of_a_page_count(server: Server) -> None:
    click = await server.reported({"url": "https://shop.example/#/lp?fbclid=IwAR0a&utm_source=fb"})
    assert (click.fbclid, click.utm) == ("IwAR0a", {"utm_source": "fb"})


async def test_a_malformed_id_of_a_page_gives_way_to_the_one_that_the_server_sees(
    server: Server,
) -> None:
    body = {"url": "https://shop.example/?ttclid=E.C.P", "ttclid": "__CLICKID__", "fbp": "rubbish"}
    _, content = await server.post(body, Cookie="_fbp=fb.1.1700000000000.123")
    click = await server.click(content["session_id"])
    assert (click.ttclid, click.fbp) == ("E.C.P", "fb.1.1700000000000.123")


PERSONAL = (
    "email=ada%40example.com&fbclid=IwAR0a&Phone=79161234567&tel=%252B79161234567"
    "&next=https%3A%2F%2Fa.example%2F%3Femail%3Dada&utm_source=fb&utm_content=ada@example.com"
    "&utm_term=+79161234567&ttclid=E.C.P.x"
)


@pytest.mark.parametrize("reports", [False, True])
async def test_personal_data_of_an_address_is_not_kept(any_store: Store, *, reports: bool) -> None:
    async with serving(any_store) as server:
        referrer = (
            "https://ada%40example.com:x@shop.example/ada@example.com/?q=ada%2540example.com"
        )
        if reports:
            page = f"https://shop.example/lp?{PERSONAL}#phone=79161234567&top=1"
            click = await server.reported({"url": page, "referrer": referrer})
            kept = "https://shop.example/lp?fbclid=IwAR0a&utm_source=fb&ttclid=E.C.P.x#top=1"
        else:
            click = await server.click_of(f"?{PERSONAL}", Referer=referrer)
            kept = f"{server.url}/go?fbclid=IwAR0a&utm_source=fb&ttclid=E.C.P.x"
        assert click.url == kept
        assert click.referrer == "https://shop.example/"
        assert (click.fbclid, click.ttclid, click.utm) == (
            "IwAR0a",
            "E.C.P.x",
            {"utm_source": "fb"},
        )


async def test_a_long_address_loses_whole_parameters(server: Server) -> None:
    click = await server.click_of(f"?a={'a' * 1000}&ttclid={'t' * 990}&z={'z' * 500}&y=1")
    assert click.url == f"{server.url}/go?a={'a' * 1000}&ttclid={'t' * 990}"
    assert click.ttclid == "t" * 990
    click = await server.click_of(f"?a={'a' * 1500}&ttclid={'t' * 990}")
    assert click.url == f"{server.url}/go?a={'a' * 1500}"
    assert click.ttclid == "t" * 990


async def test_texts_are_cut_and_readable(server: Server) -> None:
    many = "".join(f"&utm_{number}=x" for number in range(40))
    click = await server.click_of(
        f"?utm_source={'s' * 900}&utm_a=%0a%00x%ED%A0%80{many}",
        User_Agent="B" * 5000,
    )
    assert click.user_agent == "B" * 1024
    assert click.utm["utm_source"] == "s" * 500
    assert "x" in click.utm["utm_a"]
    assert click.utm["utm_a"].isprintable()
    assert len(click.utm) == 20
    json.dumps(click.to_dict()).encode()


async def test_bytes_that_are_no_text_are_no_trouble(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(
        b"GET /go?utm_a=%ff&fbclid=%e9%zz HTTP/1.1\r\nHost: \xff[\r\nUser-Agent: Br\xff\xfe\r\n"
        b"Cookie: _fbp=\xff; \xff=1\r\nReferer: \xff\r\nConnection: close\r\n\r\n",
    )
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 302")
    assert WITH_SESSION.search(answer)
    assert server.tracker.counts["click_errors"] == 0


@given(
    st.one_of(
        st.text(),
        st.text("?&#=%ufbclid_tm\0\ud800 \n"),
        st.lists(st.text("?&=x", max_size=900)).map("".join),
    )
)
def test_whatever_comes_can_be_kept(text: str) -> None:
    click = Click(
        at=datetime.now(timezone.utc),
        url=fields.address(text),
        user_agent=fields.cut(text, 1024),
        **fields.Parameters().of_address(text),
        **dict.fromkeys(("fbp", "fbc", "ttp"), text),
    ).normalized(datetime.now(timezone.utc))
    kept = json.dumps(click.to_dict(), ensure_ascii=False).encode()
    assert b"\\u0000" not in kept
    assert len(click.url or "") <= 2048
    assert click.url is None or fields.address(click.url) == click.url


# Where people are sent


@pytest.mark.parametrize(
    ("settings", "link", "plain"),
    [
        ({}, "https://t.me/my_bot?start=", PLAIN),
        ({"bot": "@my_bot"}, "https://t.me/my_bot?start=", PLAIN),
        ({"kind": "startgroup"}, "https://t.me/my_bot?startgroup=", f"{PLAIN}?startgroup"),
        ({"kind": "startapp"}, "https://t.me/my_bot?startapp=", f"{PLAIN}?startapp"),
        (
            {"kind": "startapp", "app_name": "shop"},
            "https://t.me/my_bot/shop?startapp=",
            f"{PLAIN}/shop",
        ),
    ],
)
async def test_links(settings: Any, link: str, plain: str) -> None:
    async with serving(**settings) as server:
        location = await server.location()
        assert re.fullmatch(re.escape(link) + r"gp_[0-9a-f]{28}", location)
        assert await server.location(User_Agent="TelegramBot (like TwitterBot)") == plain


@pytest.mark.parametrize("domain", ["telegram.me", "telegram.dog", "Go.Example.com"])
async def test_the_domain_of_the_links_is_a_choice(domain: str) -> None:
    async with serving(domain=domain) as server:
        base = f"https://{domain.lower()}/my_bot"
        location = await server.location("?fbclid=x")
        assert re.fullmatch(re.escape(base) + r"\?start=gp_[0-9a-f]{28}", location)
        assert await server.location(User_Agent="TelegramBot (like TwitterBot)") == base
        _, content = await server.post()
        assert content["link"] == f"{base}?start={content['session_id']}"


async def test_the_redirect_is_cached_by_nobody(server: Server) -> None:
    answer = await server.go("?fbclid=x")
    assert answer.status == 302
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


#: Parameters that open redirects go by.
REDIRECTS = (
    *("url", "u", "to", "r", "next", "redirect", "redirect_uri"),
    *("redirect_url", "return", "returnTo", "return_url", "continue", "dest", "destination"),
    *("target", "link", "goto", "out", "view", "image_url", "callback"),
    *("bot", "kind", "start", "startapp", "startgroup", "app", "app_name"),
    *("domain", "host", "invite", "invite_link", "session_id", "payload", "location"),
)


@pytest.mark.parametrize("value", ["https://evil.example/", "//evil.example", "%0d%0aLocation:x"])
async def test_no_request_says_where_to(server: Server, value: str) -> None:
    query = "&".join(f"{name}={value}" for name in REDIRECTS)
    assert WITH_SESSION.fullmatch(
        await server.location(
            f"?{query}",
            Host="evil.example",
            X_Forwarded_Host="evil.example",
            Referer="https://evil.example/",
            Cookie="; ".join(f"{name}=evil.example" for name in REDIRECTS),
        )
    )
    _, content = await server.post(dict.fromkeys(REDIRECTS, "https://evil.example/"))
    assert WITH_SESSION.fullmatch(content["link"])


async def test_other_paths_are_left_to_the_application() -> None:
    async with serving(prefix="/ads") as server:
        assert await server.session_id("?fbclid=x")
        async with server.http.get(server.url.removesuffix("/ads") + "/go") as answer:
            assert answer.status == 404


# Invite links


async def test_each_click_gets_an_invite_link_of_its_own() -> None:
    asked = []

    async def invite_link(session_id: str) -> str:
        asked.append(session_id)
        return f"https://t.me/+{session_id}"

    async with serving(invite_link=invite_link) as server:
        location = await server.location("?fbclid=x")
        assert location == f"https://t.me/+{asked[0]}"
        assert (await server.click(asked[0])).fbclid == "x"
        _, content = await server.post()
        assert content == {"session_id": asked[1], "link": f"https://t.me/+{asked[1]}"}
        assert await server.location(User_Agent="WhatsApp/2.23.20.0") == PLAIN
        assert len(asked) == 2


@pytest.mark.parametrize(
    ("domain", "made", "link"),
    [
        ("t.me", "https://telegram.me/+AbCdEf", "https://telegram.me/+AbCdEf"),
        ("t.me", "https://telegram.dog/joinchat/AbCdEf", "https://telegram.dog/joinchat/AbCdEf"),
        ("telegram.me", "https://t.me/+AbCdEf", "https://telegram.me/+AbCdEf"),
        ("telegram.me", "https://telegram.dog/+AbCdEf", "https://telegram.dog/+AbCdEf"),
        ("go.example.com", "https://t.me/+AbCdEf", "https://go.example.com/+AbCdEf"),
        ("go.example.com", "https://go.example.com/+AbCdEf", "https://go.example.com/+AbCdEf"),
    ],
)
async def test_an_invite_link_has_the_domain_too(domain: str, made: str, link: str) -> None:
    async def invite_link(session_id: str) -> str:
        return made

    async with serving(domain=domain, invite_link=invite_link) as server:
        assert await server.location() == link
        assert server.tracker.counts["invite_errors"] == 0


async def fails(session_id: str) -> str:
    msg = "Too Many Requests: retry after 30"
    raise RuntimeError(msg)


async def hangs(session_id: str) -> str:
    while True:
        try:
            await asyncio.sleep(0.3)
        except asyncio.CancelledError:
            pass
        else:
            return "https://t.me/+late"


async def returns_nothing(session_id: str) -> Any:
    return None


async def returns_two_lines(session_id: str) -> str:
    return "https://t.me/+x\r\nSet-Cookie: a=b"


async def returns_elsewhere(session_id: str) -> str:
    return "https://evil.example/"


@pytest.mark.parametrize(
    "invite_link", [fails, hangs, returns_nothing, returns_elsewhere, returns_two_lines]
)
async def test_without_an_invite_link_people_go_to_the_bot(
    invite_link: Callable[[str], Awaitable[Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(invite_link=invite_link, invite_patience=0.1) as server:
        before = time.monotonic()
        assert await server.session_id()
        assert time.monotonic() - before < 1
        assert server.tracker.counts["invite_errors"] == 1
        assert caplog.records[0].levelno == logging.ERROR
        await asyncio.sleep(0.4)


# Who is a person

PEOPLE = [
    BROWSER,
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; CUBOT_X30) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537",
    "Mozilla/5.0 (Linux; Android 9; Cubot Note 20) AppleWebKit/537.36 Chrome/120.0 Mobile Safari",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148 Instagram 340.0.0.22",
    "Mozilla/5.0 (Linux; Android 13) Mobile Safari/537.36 musical_ly_2023 BytedanceWebview/d8a2",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) [FB_IAB/FB4A;FBAV/512.0.0.52.101;] x-cortex/1",
    "com.zhiliaoapp.musically/2023 (Linux; U; Android 13; en_US; Pixel 7; Cronet/58.0.2991.0)",
    "curl/8.7.1",
]
MACHINES = [
    "TelegramBot (like TwitterBot)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "facebookcatalog/1.0",
    "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
    "WhatsApp/2.23.20.0 A",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Slack-ImgProxy (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Twitterbot/1.0",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "Mozilla/5.0 (compatible; vkShare; +http://vk.com/dev/Share)",
    "Mozilla/5.0 (Linux; Android 6; Nexus 5X) Chrome/130 Mobile (compatible; Googlebot/2.1; +x)",
    "AdsBot-Google (+http://www.google.com/adsbot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (compatible; Bytespider; x@x.com)",
    "Mozilla/5.0 (Linux; Android 5.0) (compatible; TikTokSpider; ttspider-feedback@tiktok.com)",
    "facebookexternalhit/1.1",
    "meta-externalads/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
    "meta-externalfetcher/1.1",
    "meta-webindexer/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
    "Mozilla/5.0 (compatible; FacebookBot/1.0; +https://developers.facebook.com/docs/sharing)",
    "facebookplatform/1.0 (+http://developers.facebook.com)",
    "facebookscraper/1.0 (+http://www.facebook.com/sharescraper_help.php)",
    "adreview/1.0",
    "cortex/1.0",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
    "",
]


@pytest.mark.parametrize("user_agent", PEOPLE)
async def test_people_get_a_session(server: Server, user_agent: str) -> None:
    assert await server.session_id(User_Agent=user_agent)


@pytest.mark.parametrize("user_agent", MACHINES)
async def test_machines_get_none(server: Server, user_agent: str) -> None:
    assert await server.location("?fbclid=x", User_Agent=user_agent) == PLAIN
    answer, content = await server.post(User_Agent=user_agent)
    assert (answer.status, content) == (200, {"session_id": None, "link": PLAIN})
    assert server.tracker.store.profiles._clicks == {}


@pytest.mark.parametrize(
    "header",
    [
        {"Sec_Purpose": "prefetch"},
        {"Sec_Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X_Purpose": "preview"},
        {"X_Moz": "prefetch"},
    ],
)
async def test_a_browser_that_only_prepares_gets_none(
    server: Server, header: dict[str, str]
) -> None:
    assert await server.location("?fbclid=x", **header) == PLAIN


async def test_who_asks_for_the_head_gets_none(server: Server) -> None:
    answer = await server.go("?fbclid=x", "HEAD")
    assert (answer.status, answer.headers["Location"]) == (302, PLAIN)


# How many


async def test_over_the_limit_people_go_on_without_a_session() -> None:
    clock = ManualClock()
    visitor = {"X_Forwarded_For": "198.51.100.1"}
    async with serving(per_ip_limit=3, clock=clock, trusted_proxies=["127.0.0.1"]) as server:
        for _ in range(3):
            assert await server.session_id(**visitor)
        assert await server.location(**visitor) == PLAIN
        answer, content = await server.post(**visitor)
        assert (answer.status, content["session_id"], content["link"]) == (429, None, PLAIN)
        assert answer.headers["Retry-After"] == "20"
        assert server.tracker.counts["clicks_limited"] == 2
        clock.advance(20)
        assert await server.session_id(**visitor)
        assert await server.location(**visitor) == PLAIN


@pytest.mark.parametrize(
    ("proxies", "headers"),
    [
        ((), {}),
        (["127.0.0.1"], {}),
        (["127.0.0.1"], {"X_Forwarded_For": "172.17.0.1"}),
        (["127.0.0.1"], {"X_Forwarded_For": "::ffff:192.168.0.1"}),
        (["127.0.0.1"], {"X_Forwarded_For": "100.64.0.9"}),
        (["127.0.0.1"], {"Forwarded": "for=_hidden"}),
        (["127.0.0.1", "172.17.0.0/16"], {"X_Forwarded_For": "172.17.0.1"}),
    ],
)
async def test_an_address_that_stands_for_everybody_is_not_limited(
    proxies: list[str], headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(per_ip_limit=3, trusted_proxies=proxies) as server:
        for _ in range(3):
            await server.session_id(**headers)
        assert caplog.messages == []
        for _ in range(3):
            await server.session_id(**headers)
        assert server.tracker.counts["clicks_limited"] == 0
    (warning,) = caplog.messages
    assert "clicks a minute come from 127.0.0.1" in warning
    assert "trusted_proxies" in warning


async def test_a_visitor_who_contradicts_the_proxy_does_not_escape_the_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(per_ip_limit=2, trusted_proxies=["127.0.0.1"]) as server:
        headers = {"X_Forwarded_For": "198.51.100.1", "Forwarded": "for=6.6.6.6"}
        locations = [await server.location(**headers) for _ in range(4)]
        assert [location == PLAIN for location in locations] == [False, False, True, True]
    (warning,) = caplog.messages
    assert "X-Forwarded-For and Forwarded name different visitors" in warning


async def test_a_day_has_its_limit_and_it_is_told_once_a_day(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    async with serving(clicks_per_day=2, clock=clock) as server:
        for day in (1, 2):
            await server.location(User_Agent="Twitterbot/1.0")
            for _ in range(2):
                assert await server.session_id()
            for _ in range(3):
                assert await server.location() == PLAIN
            answer, content = await server.post()
            assert (answer.status, content["session_id"], content["link"]) == (429, None, PLAIN)
            assert answer.headers["Retry-After"] == "86400"
            assert server.tracker.counts["clicks_limited"] == 4 * day
            assert [record.levelno for record in caplog.records] == [logging.ERROR] * day
            assert "clicks_per_day=2 is reached" in caplog.messages[-1]
            clock.advance(24 * 3600)


async def test_a_day_may_have_any_number() -> None:
    async with serving(clicks_per_day=None) as server:
        assert await server.session_id()


async def test_the_limit_is_each_visitors_own_and_machines_use_none_of_it() -> None:
    async with serving(per_ip_limit=1, trusted_proxies=["127.0.0.1"]) as server:
        for _ in range(3):
            await server.location(User_Agent="Twitterbot/1.0", X_Forwarded_For="198.51.100.1")
        assert await server.session_id(X_Forwarded_For="198.51.100.1")
        assert await server.session_id(X_Forwarded_For="198.51.100.2")
        assert await server.location(X_Forwarded_For="198.51.100.1") == PLAIN


async def test_there_may_be_no_limit() -> None:
    async with serving(per_ip_limit=None, clock=ManualClock()) as server:
        for _ in range(100):
            assert await server.session_id()


def test_the_limit_keeps_bounded_memory() -> None:
    clock = ManualClock()
    limit = PerIpLimit(1, clock.monotonic, most=10)
    for number in range(1000):
        assert limit.take(f"198.51.{number // 250}.{number % 250}")
    assert len(limit) == 10
    assert not limit.take("198.51.3.249")
    assert limit.take("198.51.0.0")


def test_one_ipv6_subscriber_is_one_visitor() -> None:
    limit = PerIpLimit(1, ManualClock().monotonic)
    assert limit.take("2001:db8:0:1::1")
    assert not limit.take("2001:db8:0:1:ffff::2")
    assert limit.take("2001:db8:0:2::1")


def test_a_limit_below_one_lets_one_through_now_and_then() -> None:
    clock = ManualClock()
    limit = PerIpLimit(0.5, clock.monotonic)
    assert limit.take("198.51.100.1")
    clock.advance(60)
    assert not limit.take("198.51.100.1")
    clock.advance(60)
    assert limit.take("198.51.100.1")


# Where visitors come from


@pytest.mark.parametrize(
    ("headers", "ip"),
    [
        ({}, "127.0.0.1"),
        ({"X_Forwarded_For": "198.51.100.7"}, "198.51.100.7"),
        ({"X_Forwarded_For": "6.6.6.6, 198.51.100.7"}, "198.51.100.7"),
        ({"X_Forwarded_For": "6.6.6.6, 198.51.100.7, 10.0.0.9"}, "198.51.100.7"),
        ({"X_Forwarded_For": "rubbish, 198.51.100.7,"}, "198.51.100.7"),
        ({"X_Forwarded_For": "198.51.100.7:51234"}, "198.51.100.7"),
        ({"X_Forwarded_For": "2001:db8::7"}, "2001:db8::7"),
        ({"X_Forwarded_For": "[2001:db8::7]"}, "2001:db8::7"),
        ({"X_Forwarded_For": "[2001:DB8:0::7]:443"}, "2001:db8::7"),
        ({"X_Forwarded_For": "::ffff:198.51.100.7"}, "198.51.100.7"),
        ({"X_Forwarded_For": "198.51.100.7, rubbish"}, "127.0.0.1"),
        ({"X_Forwarded_For": "192.168.1.5"}, "127.0.0.1"),
        ({"X_Forwarded_For": "10.0.0.1, 10.0.0.2"}, "127.0.0.1"),
        ({"X_Forwarded_For": "fe80::1%eth0"}, "127.0.0.1"),
        ({"X_Forwarded_For": "unknown"}, "127.0.0.1"),
        ({"X_Forwarded_For": " , "}, "127.0.0.1"),
        ({"Forwarded": "for=198.51.100.7;proto=https;by=10.0.0.9"}, "198.51.100.7"),
        ({"Forwarded": 'For="[2001:db8:cafe::17]:4711"'}, "2001:db8:cafe::17"),
        ({"Forwarded": 'for=6.6.6.6, for="198.51.100.7:80", for=10.1.1.1'}, "198.51.100.7"),
        ({"Forwarded": 'for="6.6.6.6, for=198.51.100.7'}, "198.51.100.7"),
        (
            {"Forwarded": 'for=6.6.6.6;x=", for="[2001:db8::7]";proto=https'},
            "2001:db8::7",
        ),
        ({"Forwarded": "for=_hidden"}, "127.0.0.1"),
        ({"Forwarded": "for=198.51.100.7, proto=https"}, "127.0.0.1"),
        ({"Forwarded": "for=198.51.100.7", "X_Forwarded_For": "198.51.100.7"}, "198.51.100.7"),
        ({"Forwarded": "for=6.6.6.6", "X_Forwarded_For": "198.51.100.7"}, "127.0.0.1"),
    ],
)
async def test_trusted_proxies_are_believed(headers: dict[str, str], ip: str) -> None:
    async with serving(trusted_proxies=["127.0.0.1", "10.0.0.0/8"]) as server:
        assert (await server.click_of(**headers)).ip == ip


@given(
    own=st.one_of(
        st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60),
        st.text('for="6.6.6.6;, []:=\\', max_size=60),
    ),
    appended=st.sampled_from(["198.51.100.7", '"198.51.100.7"', '"[::ffff:c633:6407]:80"']),
)
def test_nothing_a_visitor_writes_hides_what_a_proxy_appends(own: str, appended: str) -> None:
    headers = {
        "Forwarded": f"{own}, for={appended}",
        "X-Forwarded-For": f"{own}, 198.51.100.7",
    }
    request = make_mocked_request("GET", "/go", headers=headers).clone(remote="127.0.0.1")
    assert Visitors(["127.0.0.1"]).find(request).address == "198.51.100.7"


async def test_nobody_else_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(trusted_proxies=["10.0.0.0/8"]) as server:
        for _ in range(3):
            click = await server.click_of(
                X_Forwarded_For="6.6.6.6", Forwarded="for=6.6.6.6", X_Forwarded_Proto="https"
            )
            assert click.ip == "127.0.0.1"
            assert click.url == f"{server.url}/go"
    (warning,) = caplog.messages
    assert "127.0.0.1 forwards visitors but is not named in trusted_proxies" in warning


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({"X_Forwarded_Proto": "https"}, "https"),
        ({"X_Forwarded_Proto": "https,http"}, "https"),
        ({"Forwarded": "for=198.51.100.7;proto=https"}, "https"),
        ({"X_Forwarded_Proto": "javascript"}, "http"),
    ],
)
async def test_the_address_of_the_page_is_the_one_that_the_person_saw(
    headers: dict[str, str], scheme: str
) -> None:
    async with serving(trusted_proxies=["127.0.0.1"]) as server:
        click = await server.click_of("?fbclid=x", Host="go.example.com", **headers)
        assert click.url == f"{scheme}://go.example.com/go?fbclid=x"


# What a page reports


async def test_a_page_reports_its_click(any_store: Store) -> None:
    page = f"https://shop.example/lp?fbclid={FBCLID}&ttclid=E.C.P&utm_source=fb#top"
    body = {
        "url": page,
        "referrer": "https://l.facebook.com/",
        "fbp": "fb.1.1700000000000.123",
        "fbc": None,
        "ttp": "2abcDEF",
        "unknown": [1],
    }
    async with serving(any_store, clock=ManualClock()) as server:
        answer, content = await server.post(body, Content_Type="application/json")
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert content == {
            "session_id": content["session_id"],
            "link": f"https://t.me/my_bot?start={content['session_id']}",
        }
        assert (await server.click(content["session_id"])).to_dict() == {
            "at": "2026-01-01T00:00:00+00:00",
            "fbclid": FBCLID,
            "fbc": f"fb.1.1767225600000.{FBCLID}",
            "fbp": "fb.1.1700000000000.123",
            "ttclid": "E.C.P",
            "ttp": "2abcDEF",
            "utm": {"utm_source": "fb"},
            "ip": "127.0.0.1",
            "user_agent": BROWSER,
            "url": page,
            "referrer": "https://l.facebook.com/",
        }


async def test_a_page_may_report_ids_that_its_address_has_lost(server: Server) -> None:
    click = await server.reported({"url": "https://a.example/", "ttclid": "T", "fbclid": "F"})
    assert (click.ttclid, click.fbclid) == ("T", "F")


async def test_a_page_may_report_nothing(server: Server) -> None:
    answer, content = await server.post(b"", Referer="https://shop.example/lp?ttclid=T")
    assert answer.status == 200
    click = await server.click(content["session_id"])
    assert (click.url, click.ttclid) == ("https://shop.example/lp?ttclid=T", "T")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "the body must be JSON"),
        (b"\xff\xfe", "the body must be JSON"),
        (b"[" * 8000, "the body must be JSON"),
        (b"[1]", "the body must be a JSON object, not [1]"),
        (b'"text"', "the body must be a JSON object, not 'text'"),
        (b'{"url": 5}', "url must be a text, not 5"),
        (b'{"fbp": ["x"]}', "fbp must be a text, not ['x']"),
        (b'{"referrer": {}}', "referrer must be a text, not {}"),
        (b'{"ttp": true}', "ttp must be a text, not True"),
    ],
)
async def test_rubbish_is_refused(server: Server, body: bytes, reason: str) -> None:
    answer, content = await server.post(body)
    assert (answer.status, content) == (400, {"error": reason})


async def test_odd_texts_are_no_trouble(tmp_path: Path) -> None:
    async with serving(SQLiteStore(tmp_path / "gp.sqlite3")) as server:
        click = await server.reported(
            b'{"url": "http://[\\ud800\\u0000?fbclid=\\u0000", "referrer": "\\ud800", "fbp":"\\n"}'
        )
        assert click.url == "http://[  ?fbclid="
        assert (click.referrer, click.fbp, click.fbclid) == (None, None, None)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_encoded_as_it_says_is_refused(
    server: Server, encoding: str
) -> None:
    answer, content = await server.post(b'{"url": "x"}', Content_Encoding=encoding)
    assert answer.status == 400
    assert content == {"error": "the body is not encoded as its Content-Encoding says"}


async def test_a_packed_body_is_read_and_a_bomb_is_not(server: Server) -> None:
    answer, _ = await server.post(gzip.compress(b'{"fbclid": "x"}'), Content_Encoding="gzip")
    assert answer.status == 200
    packed = gzip.compress(b"0" * 10_000_000)
    answer, _ = await server.post(packed[:8000], Content_Encoding="gzip")
    assert answer.status == 413


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_long_body_is_refused(server: Server, *, chunked: bool) -> None:
    body = b'{"url": "' + b"x" * 8200 + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    async with server.http.post(
        f"{server.url}/click", data=chunks() if chunked else body
    ) as answer:
        assert answer.status == 413
        assert "8192 bytes" in (await answer.json())["error"]


@pytest.mark.parametrize("long", [{"query": f"?fbclid={'x' * 9000}"}, {"x_long": "x" * 9000}])
async def test_a_long_address_or_header_is_refused_by_the_server(
    server: Server, long: dict[str, str]
) -> None:
    answer = await server.go(**long)
    assert answer.status == 400
    assert await server.session_id()


async def test_a_body_of_the_full_length_is_read(server: Server) -> None:
    body = json.dumps({"url": ""}).replace('""', f'"https://a.example/?{"x" * 8162}"')
    assert len(body) == 8192
    answer, content = await server.post(body)
    assert answer.status == 200
    assert (await server.click(content["session_id"])).url == "https://a.example/"


# Which pages may report


async def test_configured_origins_may_report() -> None:
    async with serving(allowed_origins=["https://Shop.example/"]) as server:
        answer, content = await server.post(Origin="https://shop.example")
        assert answer.status == 200
        assert content["session_id"]
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert answer.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in answer.headers
        answer, _ = await server.post(b"{", Origin="https://shop.example")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "null",
        "",
    ],
)
async def test_no_other_origin_may(origin: str) -> None:
    async with serving(allowed_origins=["https://shop.example"]) as server:
        answer, content = await server.post(Origin=origin)
        assert answer.status == 403
        assert "allowed_origins" in content["error"]
        assert "Access-Control-Allow-Origin" not in answer.headers
        async with server.http.options(
            f"{server.url}/click", headers={"Origin": origin}
        ) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers
        assert server.tracker.store.profiles._clicks == {}


async def test_the_servers_own_pages_may(server: Server) -> None:
    answer, _ = await server.post(Origin=server.url)
    assert answer.status == 200


async def test_every_origin_may_when_told_so() -> None:
    async with serving(allowed_origins=["*"]) as server:
        answer, _ = await server.post(Origin="https://any.example")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://any.example"


async def test_preflight() -> None:
    async with serving(allowed_origins=["https://shop.example"]) as server:
        headers = {
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        async with server.http.options(f"{server.url}/click", headers=headers) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
            assert answer.headers["Access-Control-Allow-Methods"] == "POST"
            assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type"
            assert answer.headers["Access-Control-Max-Age"] == "86400"


# Ids of other systems


async def test_ids_of_other_systems_are_kept(any_store: Store) -> None:
    async with serving(any_store) as server:
        click = await server.click_of(
            "?subid=7f3a&yclid=123&ScCid=ab-c&wbraid=x%2By&other=1&sub_id_3=q&_ym_uid=9",
            Cookie="_ym_uid=1700000000123456789; _ym_d=1",
        )
        assert click.ids == {
            "subid": "7f3a",
            "yclid": "123",
            "sccid": "ab-c",
            "wbraid": "x+y",
            "ClientID": "1700000000123456789",
        }
        assert list(await server.tracker.store.profiles.sessions_of("7f3a"))


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        ({"sub_id_3"}, {"subid": "a", "sub_id_3": "b"}),
        ({"sub_id_3": "creative"}, {"subid": "a", "creative": "b"}),
        (["sub_id_3", "x.y-z"], {"subid": "a", "sub_id_3": "b", "x.y-z": "c"}),
    ],
)
async def test_the_owner_lists_more_ids(ids: Any, kept: dict[str, str]) -> None:
    async with serving(ids=ids) as server:
        click = await server.click_of("?subid=a&sub_id_3=b&x.y-z=c&sub_id_30=d&xsub_id_3=e")
        assert click.ids == kept
        click = await server.reported(
            {"url": "https://shop.example/?sub_id_3=b&subid=x&x.y-z=c", "subid": "a"}
        )
        assert click.ids == kept


@pytest.mark.parametrize(
    "value",
    [
        *(
            "{subid}",
            "%7Bsubid%7D",
            "%257Bsubid%257D",
            "{{fbclid}}",
            "__CLICKID__",
            "[[click_id]]",
        ),
        *("null", "undefined", "", "a+b", "x" * 1001),
    ],
)
async def test_what_is_no_id_is_left_out(value: str) -> None:
    async with serving() as server:
        click = await server.click_of(f"?subid=first&subid={value}&cid={value}")
        assert click.ids == {"subid": "first"}
        assert (await server.reported({"subid": unquote_plus(value)})).ids == {}


async def test_an_id_that_is_no_text_is_refused() -> None:
    async with serving(ids={"sub_id_3"}) as server:
        answer, content = await server.post({"sub_id_3": 5})
        assert (answer.status, content["error"]) == (400, "sub_id_3 must be a text, not 5")


@pytest.mark.parametrize(
    "ids",
    [
        *("subid", 5, {""}, {"a b"}, {5}, {"1a"}, {"x" * 65}, {"a": "b c"}, {"a": None}),
        *({"fbclid"}, {"x": "gclid"}, {"utm_id"}, {"fbp"}, {f"id{n}" for n in range(21)}),
    ],
)
def test_ids_that_make_no_sense_are_refused(ids: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Landing\(ids=\.\.\.\)"):
        Landing(Tracker([], store=MemoryStore()), "my_bot", ids=ids)


# The script


async def test_the_script_knows_which_parameters_tell_a_click() -> None:
    async with (
        serving(ids={"sub_id_3"}) as server,
        server.http.get(f"{server.url}/gp.js") as answer,
    ):
        names = (await answer.text()).rpartition('"')[0].rpartition('"')[2].split()
    assert {"fbclid", "ttclid", "gclid", "subid", "yclid", "ScCid", "sub_id_3"} < set(names)


async def test_the_script_is_small_and_cacheable() -> None:
    async with serving(bot="Other_Bot", kind="startgroup") as server:
        async with server.http.get(f"{server.url}/gp.js?v=2") as answer:
            script = await answer.read()
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
            assert answer.headers["Cache-Control"] == "public, max-age=3600"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            etag = answer.headers["ETag"]
        assert len(script) < 2200
        assert b'"Other_Bot", "startgroup"' in script
        assert b"%" not in script
        for given in (etag, f'W/{etag}, "x"'):
            headers = {"If-None-Match": given}
            async with server.http.get(f"{server.url}/gp.js", headers=headers) as answer:
                assert (answer.status, await answer.read()) == (304, b"")


# When something is wrong


async def test_a_failing_store_never_costs_the_click(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits in the journal, with its session, and events that come of it know it already."""
    store, path = with_profiles(Broken()), tmp_path / "gp.journal"
    tracker = Tracker([], store=store, journal=path)
    async with serving(store, tracker=tracker) as server:
        location = await server.location(f"?fbclid={FBCLID}")
        answer, content = await server.post()
        assert answer.status == 200
        assert tracker.counts["journaled"] == 2
        session_id = location.removeprefix(f"{PLAIN}?start=")
        await tracker.capture(7, session_id, bot_id=42)
        event = await tracker.track("REG", telegram_id=7, bot_id=42)
        assert event is not None
        assert event.click is not None
        assert event.click.fbclid == FBCLID
        assert FBCLID.encode() in path.with_name("gp.journal.touches").read_bytes()
    assert "the disk is full" in caplog.text
    assert FBCLID not in caplog.text
    store.profiles = MemoryProfiles()
    async with Tracker([], store=store, journal=path) as tracker:
        await until(lambda: not tracker.intake.waiting)
        click = (await store.profiles.profile(7, session_id)).click
        assert click is not None
        assert click.fbclid == FBCLID
        assert (await store.profiles.profile(8, content["session_id"])).click is not None


async def test_a_click_that_nobody_can_keep_never_costs_the_person() -> None:
    """The person gets to the bot, whatever the tracker raises."""
    tracker = Tracker([], store=MemoryStore())

    async def register_click(click: Click) -> str:
        msg = "nothing works"
        raise OSError(msg)

    tracker.intake.register_click = register_click  # type: ignore[method-assign,assignment]
    async with serving(tracker=tracker) as server:
        assert await server.location("?fbclid=x") == PLAIN
        answer, content = await server.post()
        assert (answer.status, content["session_id"], content["link"]) == (503, None, PLAIN)
        assert server.tracker.counts["click_errors"] == 2


async def test_who_is_forgotten_leaves_no_click_in_the_journal(tmp_path: Path) -> None:
    store, path = with_profiles(Broken()), tmp_path / "gp.journal"
    tracker = Tracker([], store=store, journal=path)
    async with serving(store, tracker=tracker) as server:
        locations = [await server.location("?fbclid=x") for _ in range(2)]
        forgotten, other = (at.removeprefix(f"{PLAIN}?start=") for at in locations)
        await tracker.capture(7, forgotten)
        await tracker.forget(7)
        waiting = path.with_name("gp.journal.touches").read_text()
        assert forgotten not in waiting
        assert other in waiting


class Slow(MemoryProfiles):
    async def add_click(self, session_id: str, click: Click) -> bool:
        await asyncio.sleep(60)
        return True


class Torn(MemoryProfiles):
    async def add_click(self, session_id: str, click: Click) -> bool:
        raise asyncio.CancelledError


async def test_nobody_waits_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gp_aiogram.web.landing._STORE_PATIENCE", 0.05)
    async with serving(with_profiles(Slow())) as server:
        assert await server.location() == PLAIN
        assert server.tracker.counts["click_errors"] == 1


async def test_a_store_that_is_torn_down_is_no_reason_to_hang_up() -> None:
    async with serving(with_profiles(Torn())) as server:
        assert (await server.location()).startswith(f"{PLAIN}?start=gp_")
        assert server.tracker.counts["journaled"] == 1


def refuses_all(payload: str) -> str | None:
    msg = "the database of payloads is away"
    raise OSError(msg)


@pytest.mark.parametrize(
    "grammar",
    [
        {"pattern": "[0-9]+"},
        {"pattern": "gp_[0-9]+"},
        {"pattern": "gp_[a-z0-9]{1,20}"},
        {"parse": lambda payload: payload[:6]},
        {"parse": lambda payload: None},
        {"parse": refuses_all},
    ],
)
def test_a_grammar_that_no_session_of_ours_fits_is_refused(grammar: Any) -> None:
    tracker = Tracker([], store=MemoryStore(), attribution=Attribution(**grammar))
    with pytest.raises(ConfigurationError, match=r"Attribution\(.*gp_0123"):
        Landing(tracker, "my_bot")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"bot": "my bot"}, "bot"),
        ({"bot": 'x";alert(1)//'}, "bot"),
        ({"bot": "https://t.me/my_bot"}, "bot"),
        ({"bot": None}, "bot"),
        ({"kind": "stop"}, "kind"),
        ({"app_name": "shop"}, "app_name"),
        ({"kind": "startapp", "app_name": "a/b"}, "app_name"),
        ({"domain": "https://t.me"}, "domain"),
        ({"domain": "t.me/my_bot"}, "domain"),
        ({"domain": "localhost"}, "domain"),
        ({"domain": ""}, "domain"),
        ({"domain": None}, "domain"),
        ({"clicks_per_day": 0}, "clicks_per_day"),
        ({"clicks_per_day": 1.5}, "clicks_per_day"),
        ({"clicks_per_day": True}, "clicks_per_day"),
        ({"per_ip_limit": 0}, "per_ip_limit"),
        ({"per_ip_limit": "60"}, "per_ip_limit"),
        ({"per_ip_limit": float("inf")}, "per_ip_limit"),
        ({"trusted_proxies": "10.0.0.0/8"}, "trusted_proxies"),
        ({"trusted_proxies": ["nginx"]}, "trusted_proxies"),
        ({"allowed_origins": "https://shop.example"}, "allowed_origins"),
        ({"allowed_origins": ["shop.example"]}, "allowed_origins"),
        ({"allowed_origins": ["https://shop.example/lp"]}, "allowed_origins"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Landing(Tracker([], store=MemoryStore()), **{"bot": "my_bot", **settings})


# The whole way


async def test_from_the_ad_to_the_event(any_store: Store) -> None:
    recorder = Recorder()
    tracker = Tracker([recorder], store=any_store)
    dispatcher = Dispatcher()
    tracker.setup(dispatcher)
    bot = Bot("42:TEST")
    async with serving(tracker=tracker) as server:
        session_id = await server.session_id(f"?fbclid={FBCLID}&utm_source=fb")
        await dispatcher.feed_raw_update(bot, updates.start(session_id, date=int(time.time())))
        event = await tracker.track("REG", telegram_id=7)
        assert event is not None
        assert event.session_id == session_id
        assert event.click is not None
        assert event.click.fbclid == FBCLID
        assert event.click.fbc is not None
        assert event.click.fbc.endswith(f".{FBCLID}")
        assert event.click.user_agent == BROWSER
        await tracker.start()
        assert await tracker.flush(5)
        assert [delivered.click for delivered in recorder.events] == [event.click]


async def test_behind_a_unix_socket(tmp_path: Path) -> None:
    tracker = Tracker([], store=MemoryStore())
    app = web.Application()
    Landing(tracker, "my_bot", trusted_proxies=["unix"], per_ip_limit=1).setup(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    path = tmp_path / "s"
    await web.UnixSite(runner, path).start()
    try:
        for ip in ("198.51.100.1", "198.51.100.2"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(
                f"GET /go HTTP/1.1\r\nHost: x\r\nUser-Agent: B\r\nX-Forwarded-For: {ip}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            match = WITH_SESSION.search((await reader.read()).decode())
            writer.close()
            assert match
            profile = await tracker.store.profiles.profile(1, match[1])
            assert profile.click is not None
            assert profile.click.ip == ip
    finally:
        await runner.cleanup()
        await tracker.close(grace=0)


async def test_a_landing_that_leads_to_another_bot_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker = Tracker([], store=MemoryStore())
    tracker.meet_bot(42, "casino_bot")
    async with serving(tracker=tracker) as server:
        for _ in range(2):
            assert (await server.location("?fbclid=" + FBCLID)).startswith(PLAIN)
    assert caplog.text.count("Landing(bot='my_bot') is none of the bots that run here") == 1
    assert "casino_bot" in caplog.text
