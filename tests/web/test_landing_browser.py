"""The script gp.js in a real browser: pages on the loopback, a landing endpoint beside them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gp_aiogram import Click, MemoryStore, Tracker
from gp_aiogram.web import Landing

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
)
SECONDS = 60
BUDGET_MS = 5000

Dump = Callable[[str], Awaitable[str]]


@pytest.fixture(scope="module")
def browser() -> str:
    """The executable; ``GP_REQUIRE_BROWSER=1`` makes a failure of its absence."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = f"there is no browser on PATH: {', '.join(NAMES)}"
        if os.environ.get("GP_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
def dump(browser: str, tmp_path: Path) -> Dump:
    """Load a page and return its DOM once nothing happens any more."""

    async def dump(url: str) -> str:
        command = [
            browser,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--virtual-time-budget={BUDGET_MS}",
            "--dump-dom",
            url,
        ]
        run = partial(subprocess.run, command, capture_output=True, timeout=SECONDS, check=False)
        done = await asyncio.to_thread(run)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
        return done.stdout.decode()

    return dump


class Site:
    """A page, and the clicks that were reported from it."""

    def __init__(self, url: str, store: MemoryStore) -> None:
        self.url = url
        self._store = store

    @property
    def clicks(self) -> dict[str, Click]:
        return self._store.profiles._clicks

    @property
    def session(self) -> tuple[str, Click]:
        (session,) = self.clicks.items()
        return session


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def page(html: str, cookies: dict[str, str] | None = None) -> Any:
    async def page(request: web.Request) -> web.Response:
        response = web.Response(
            text=f"<!doctype html><html><body>{html}</body></html>", content_type="text/html"
        )
        for name, value in (cookies or {}).items():
            response.set_cookie(name, value)
        return response

    return page


@asynccontextmanager
async def site(
    html: str, cookies: dict[str, str] | None = None, **settings: Any
) -> AsyncIterator[Site]:
    store = MemoryStore()
    tracker = Tracker([], store=store)
    app = web.Application()
    Landing(tracker, "my_bot", **settings).setup(app, "/ads")
    app.router.add_get("/lp", page(html, cookies))
    async with running(app) as url:
        yield Site(f"{url}/lp", store)
    await tracker.close(grace=0)


def link(dom: str, name: str) -> str:
    """Return where the link with an id leads, in the dumped DOM."""
    match = re.search(rf'<a [^>]*?id="{name}"[^>]*>', dom)
    assert match, dom
    href = re.search(r'href="([^"]*)"', match[0])
    assert href, match[0]
    return href[1].replace("&amp;", "&")


SCRIPT = '<script src="/ads/gp.js" async></script>'
COOKIES = {"_fbp": "fb.1.1700000000000.123", "_ttp": "2abcDEF", "other": "1"}


async def test_a_click_reaches_the_tracker_and_the_links_carry_its_session(dump: Dump) -> None:
    links = {
        "bot": ("https://t.me/my_bot", "https://t.me/my_bot?start={}"),
        "case": ("https://t.me/My_Bot/", "https://t.me/My_Bot/?start={}"),
        "utm": ("https://t.me/my_bot?utm=1#x", "https://t.me/my_bot?utm=1&start={}#x"),
        "old": ("http://telegram.me/my_bot", "http://telegram.me/my_bot?start={}"),
        "alias": ("https://telegram.dog/my_bot", "https://telegram.dog/my_bot?start={}"),
        "www": ("https://www.t.me/my_bot", "https://www.t.me/my_bot?start={}"),
        "name": ("https://my_bot.t.me", "https://my_bot.t.me/?start={}"),
        "name_app": ("https://my_bot.t.me/shop", "https://my_bot.t.me/shop?startapp={}"),
        "tg": ("tg://resolve?domain=my_bot", "tg://resolve?domain=my_bot&start={}"),
        "tg_case": ("TG:resolve?domain=My_Bot", "tg:resolve?domain=My_Bot&start={}"),
        "tg_empty": ("tg://resolve?domain=my_bot&start", "tg://resolve?domain=my_bot&start={}"),
        "tg_group": (
            "tg://resolve?startgroup=&domain=my_bot",
            "tg://resolve?startgroup={}&domain=my_bot",
        ),
        "tg_app": (
            "tg://resolve?domain=my_bot&appname=shop",
            "tg://resolve?domain=my_bot&appname=shop&startapp={}",
        ),
        "app": ("https://t.me/my_bot/shop", "https://t.me/my_bot/shop?startapp={}"),
        "main": ("https://t.me/my_bot?startapp", "https://t.me/my_bot?startapp={}"),
        "group": ("https://t.me/my_bot?startgroup=", "https://t.me/my_bot?startgroup={}"),
        **{
            f"kept{number}": (url, url)
            for number, url in enumerate(
                (
                    "https://t.me/my_bot?start=own",
                    "https://t.me/my_bot?startapp=own",
                    "https://t.me/my_bot?startchannel&admin=post_messages",
                    "https://t.me/my_bot2",
                    "https://t.me/other_bot?start",
                    "https://t.me/my_bot/s/7",
                    "https://t.me/+AbCdEf",
                    "https://my_bot2.t.me/",
                    "https://t.me/s/my_bot",
                    "https://notelegram.me/my_bot",
                    "https://t.me.my_bot.t.me/",
                    "tg://resolve?domain=my_bot&start=own",
                    "tg://resolve?domain=my_bot2",
                    "tg://resolve?domain=other&text=domain=my_bot",
                    "tg://join?invite=my_bot",
                    "https://t.me.evil.example/my_bot",
                    "https://example.com/my_bot",
                    "mailto:my_bot@t.me",
                    "#top",
                )
            )
        },
    }
    html = "".join(f'<a id="{name}" href="{given}">x</a>' for name, (given, _) in links.items())
    async with site(SCRIPT + html, COOKIES) as here:
        url = f"{here.url}?fbclid=IwAR0aB&ttclid=E.C.P&utm_source=fb"
        dom = await dump(url)
        session_id, click = here.session
    assert {name: link(dom, name) for name in links} == {
        name: wanted.format(session_id) for name, (_, wanted) in links.items()
    }
    assert (click.fbclid, click.ttclid, click.utm) == ("IwAR0aB", "E.C.P", {"utm_source": "fb"})
    assert (click.fbp, click.ttp) == ("fb.1.1700000000000.123", "2abcDEF")
    assert click.fbc is not None
    assert click.fbc.endswith(".IwAR0aB")
    assert click.url == url
    assert click.ip == "127.0.0.1"
    assert "Chrome" in (click.user_agent or "")


async def test_a_page_that_opens_the_bot_itself_asks_for_the_link(dump: Dump) -> None:
    html = """
        <script>
        const asked = () => [
            gpLink(), gpLink("https://t.me/my_bot"), gpLink("https://t.me/other"), gpLink("#top"),
        ].join(" ");
        const script = document.querySelector("script[src]");
        script.onload = () => {
            document.body.dataset.before = asked();
            gpLink.ready.then((link) => {
                document.body.dataset.ready = link;
                document.body.dataset.after = asked();
            });
        };
        </script>
    """
    async with site(SCRIPT + html) as here:
        dom = await dump(f"{here.url}?fbclid=x")
        session_id, _ = here.session
    bot = "https://t.me/my_bot"
    assert f'data-before="{bot} {bot} https://t.me/other #top"' in dom
    assert f'data-ready="{bot}?start={session_id}"' in dom
    after = f"{bot}?start={session_id} {bot}?start={session_id} https://t.me/other #top"
    assert f'data-after="{after}"' in dom


READY = """
    <script>
    document.querySelector("script[src]").onload = () => gpLink.ready.then((link) => {
        document.body.dataset.ready = link;
    });
    </script>
"""


async def test_a_page_that_waits_for_the_link_gets_the_servers_own(dump: Dump) -> None:
    async def invite_link(session_id: str) -> str:
        return f"https://t.me/+{session_id}"

    async with site(SCRIPT + READY, invite_link=invite_link) as here:
        dom = await dump(here.url)
        session_id, _ = here.session
    assert f'data-ready="https://t.me/+{session_id}"' in dom


async def test_a_page_that_waits_for_the_link_does_not_wait_for_ever(dump: Dump) -> None:
    refused = '<script>window.fetch = () => Promise.reject("offline");</script>'
    hangs = "<script>window.fetch = () => new Promise(() => {});</script>"
    for fails in (refused, hangs):
        async with site(fails + SCRIPT + READY, kind="startapp") as here:
            dom = await dump(here.url)
            assert here.clicks == {}
        assert 'data-ready="https://t.me/my_bot?startapp"' in dom


async def test_links_at_the_servers_own_domain_carry_the_session(dump: Dump) -> None:
    html = """
        <a id="own" href="https://go.example.com/my_bot">x</a>
        <a id="bot" href="https://t.me/my_bot">x</a>
        <a id="channel" data-gp href="https://t.me/+static">x</a>
    """
    async with site(html + SCRIPT, domain="go.example.com") as here:
        dom = await dump(here.url)
        session_id, _ = here.session
    assert link(dom, "own") == f"https://go.example.com/my_bot?start={session_id}"
    assert link(dom, "bot") == f"https://t.me/my_bot?start={session_id}"
    assert link(dom, "channel") == f"https://go.example.com/my_bot?start={session_id}"


async def test_links_that_come_later_are_mended_when_they_are_used(dump: Dump) -> None:
    html = """
        <script>
        setTimeout(() => {
            const a = document.createElement("a");
            a.id = "late"; a.href = "https://t.me/my_bot"; a.innerHTML = "<b>x</b>";
            a.addEventListener("click", (e) => e.preventDefault());
            document.body.append(a);
            document.body.dataset.before = a.href;
            a.firstChild.click();
        }, 3000);
        </script>
    """
    async with site(SCRIPT + html) as here:
        dom = await dump(f"{here.url}?fbclid=x")
        session_id, _ = here.session
    assert 'data-before="https://t.me/my_bot"' in dom
    assert link(dom, "late") == f"https://t.me/my_bot?start={session_id}"


async def test_a_reload_keeps_the_session_and_a_new_click_gets_a_new_one(dump: Dump) -> None:
    """One visit: the same address twice, a page without ids, then another ad."""
    html = """
        <a id="bot" href="https://t.me/my_bot">x</a>
        <script>
        const steps = ["?fbclid=a", "?fbclid=a&x=1", "?", "?fbclid=b"];
        const step = Number(sessionStorage.step || 0);
        setTimeout(() => {
            const seen = (sessionStorage.seen || "") + document.getElementById("bot").href + " ";
            sessionStorage.seen = seen;
            sessionStorage.step = step + 1;
            if (steps[step + 1]) location.replace("/lp" + steps[step + 1]);
            else document.body.dataset.seen = seen.trim();
        }, 500);
        </script>
    """
    async with site(SCRIPT + html) as here:
        dom = await dump(f"{here.url}?fbclid=a")
        first, second = here.clicks
        assert [click.fbclid for click in here.clicks.values()] == ["a", "b"]
    seen = re.search(r'data-seen="([^"]*)"', dom)
    assert seen, dom
    sessions = [url.removeprefix("https://t.me/my_bot?start=") for url in seen[1].split()]
    assert sessions == [first, first, first, second]


async def test_the_id_of_a_tracker_tells_a_click_and_metricas_cookie_goes_with_it(
    dump: Dump,
) -> None:
    html = """
        <script>
        const step = Number(sessionStorage.step || 0);
        document.cookie = "_ym_uid=1700000000123456789";
        setTimeout(() => {
            sessionStorage.step = step + 1;
            if (step < 2) location.replace("/lp?subid=" + ["a", "b"][step]);
        }, 500);
        </script>
    """
    async with site(html + SCRIPT) as here:
        await dump(f"{here.url}?subid=a")
        ids = [click.ids for click in here.clicks.values()]
    assert ids == [{"subid": name, "ClientID": "1700000000123456789"} for name in ("a", "b")]


async def test_included_twice_it_reports_once(dump: Dump) -> None:
    async with site(SCRIPT + SCRIPT) as here:
        await dump(here.url)
        assert len(here.clicks) == 1


async def test_the_cookie_of_a_pixel_that_is_still_loading_is_waited_for(dump: Dump) -> None:
    html = """
        <script>
        window.fbq = () => {};
        setTimeout(() => { document.cookie = "_fbp=fb.1.1700000000000.9"; }, 200);
        </script>
    """
    async with site(html + SCRIPT) as here:
        await dump(f"{here.url}?fbclid=x")
        assert here.session[1].fbp == "fb.1.1700000000000.9"


async def test_a_pixel_that_sets_no_cookie_is_not_waited_for_long(dump: Dump) -> None:
    async with site("<script>window.fbq = window.ttq = () => {};</script>" + SCRIPT) as here:
        await dump(f"{here.url}?fbclid=x")
        assert here.session[1].fbclid == "x"


async def test_a_marked_link_becomes_the_invite_link(dump: Dump) -> None:
    async def invite_link(session_id: str) -> str:
        return f"https://t.me/+{session_id}"

    html = """
        <a id="channel" data-gp href="https://t.me/+static">x</a>
        <a id="bot" href="https://t.me/my_bot">x</a>
    """
    async with site(html + SCRIPT, invite_link=invite_link) as here:
        dom = await dump(here.url)
        session_id, _ = here.session
    assert link(dom, "channel") == f"https://t.me/+{session_id}"
    assert link(dom, "bot") == f"https://t.me/my_bot?start={session_id}"


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_page_on_another_origin_needs_to_be_allowed(dump: Dump, *, allowed: bool) -> None:
    endpoint = ""

    async def index(request: web.Request) -> web.Response:
        script = f'<script src="{endpoint}/ads/gp.js"></script>'
        return await page(script + '<a id="bot" href="https://t.me/my_bot">x</a>')(request)

    app = web.Application()
    app.router.add_get("/", index)
    async with running(app) as origin, site("", allowed_origins=[origin] * allowed) as here:
        endpoint = here.url.removesuffix("/lp")
        dom = await dump(f"{origin}/?fbclid=x")
        if allowed:
            session_id, click = here.session
            assert link(dom, "bot") == f"https://t.me/my_bot?start={session_id}"
            assert click.url == f"{origin}/?fbclid=x"
        else:
            assert link(dom, "bot") == "https://t.me/my_bot"
            assert here.clicks == {}


async def test_when_the_click_cannot_be_kept_links_stay_as_they_were(dump: Dump) -> None:
    html = '<a id="bot" href="https://t.me/my_bot">x</a>'
    async with site(html + SCRIPT, clicks_per_day=1) as here:
        await dump(here.url)
        assert len(here.clicks) == 1
        assert link(await dump(here.url), "bot") == "https://t.me/my_bot"
        assert len(here.clicks) == 1
