"""FastAPI in docs/howto/: the files of fastapi.md, and what other pages show of it."""

from __future__ import annotations

import hmac
import importlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from aiogram.client.telegram import TelegramAPIServer

from fixtures.asgi import served
from fixtures.pages import blocks, modules_of, paste_files
from fixtures.ports import free_port
from fixtures.postgres import DSN, drop_schema, new_schema, require_server
from gp_aiogram import MemoryStore, StoreUnavailable, Tracker
from gp_aiogram.testing.sandboxes import Sandboxes

PAGE = "howto/fastapi"
SECRET = "of the provider"


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gp_sandbox: Sandboxes
) -> Iterator[Path]:
    """An empty folder with the page's files, and the variables that it exports."""
    paste_files(PAGE, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_TOKEN", gp_sandbox.telegram.token)
    monkeypatch.setenv("PAYMENT_SECRET", SECRET)
    monkeypatch.setenv("GP_GRAMPIXEL__API_KEY", gp_sandbox.grampixel.api_key)
    monkeypatch.setenv("GP_GRAMPIXEL__WORKSPACE_ID", gp_sandbox.grampixel.workspace_id)
    monkeypatch.setenv("GP_GRAMPIXEL__BASE_URL", gp_sandbox.grampixel.url)
    with modules_of(tmp_path):
        yield tmp_path


def imported(name: str, sandbox: Sandboxes) -> ModuleType:
    """Import a file of the page whose bot, if any, talks to the stand-in."""
    module = importlib.import_module(name)
    if hasattr(module, "bot"):
        module.bot.session.api = TelegramAPIServer.from_base(sandbox.telegram.url)
    return module


async def pay(
    address: str, order: str, amount: str, *, user: int = 7, secret: str = SECRET
) -> int:
    paid = {"user": user, "amount": amount, "currency": "EUR", "order": order}
    body = json.dumps(paid).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Signature": hmac.digest(secret.encode(), body, "sha256").hex(),
    }
    async with httpx.AsyncClient(base_url=address, trust_env=False) as provider:
        answer = await provider.post("/payment", content=body, headers=headers)
    return answer.status_code


async def delivered(sandbox: Sandboxes, count: int) -> list[tuple[str, str | None, float | None]]:
    events = await sandbox.grampixel.wait_for(count)
    return [
        (each.body["event_name"], each.body.get("session_id"), each.body.get("value"))
        for each in events
    ]


async def test_bot_and_webhook_share_a_process(project: Path, gp_sandbox: Sandboxes) -> None:
    app = imported("app", gp_sandbox)
    async with served(app.app) as address:
        reply = await gp_sandbox.telegram.user(7, "Ada").start("gp_a1b2c3")
        assert reply.text == "Welcome!"
        await delivered(gp_sandbox, 1)
        assert await pay(address, "order-1", "49.90") == 200
        assert await pay(address, "order-1", "49.90") == 200, "the provider calls twice"
        assert await pay(address, "order-2", "20") == 200
        assert await app.tracker.flush(5)
        assert await pay(address, "order-3", "5", secret="guessed") == 401
        assert await pay(address, "order-3", "-5") == 422
        assert not await app.tracker.dead_letters()
    assert sorted(await delivered(gp_sandbox, 3)) == [
        ("DEP", "gp_a1b2c3", 20),
        ("FTD", "gp_a1b2c3", 49.9),
        ("REG", "gp_a1b2c3", None),
    ]
    assert not app.tracker.running
    assert (project / "gp.sqlite3").exists()


async def test_the_provider_is_asked_to_call_again_while_the_store_fails(
    project: Path, gp_sandbox: Sandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> None:
        msg = "the disk is full"
        raise StoreUnavailable(msg)

    app = imported("app", gp_sandbox)
    async with served(app.app) as address:
        with monkeypatch.context() as failing:
            failing.setattr(app.tracker.store.outbox, "accept", away)
            assert await pay(address, "order-1", "20") == 500
        assert await pay(address, "order-1", "20") == 200
        assert await delivered(gp_sandbox, 1) == [("FTD", None, 20)]


async def test_telegram_may_call_the_same_application(
    project: Path, gp_sandbox: Sandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("WEBHOOK_SECRET", "of-telegram")
    monkeypatch.setenv("WEBHOOK_URL", f"http://127.0.0.1:{port}/telegram")
    (instead,) = [block for block in blocks(PAGE) if "set_webhook" in block]
    with (project / "app.py").open("a", encoding="utf-8") as file:
        file.write(instead)
    app = imported("app", gp_sandbox)
    async with served(app.app, port) as address:
        reply = await gp_sandbox.telegram.user(7, "Ada").start("gp_a1b2c3")
        assert reply.text == "Welcome!"
        await delivered(gp_sandbox, 1)
        assert await pay(address, "order-1", "49.90") == 200
        await delivered(gp_sandbox, 2)
        async with httpx.AsyncClient(base_url=address, trust_env=False) as stranger:
            headers = {"X-Telegram-Bot-Api-Secret-Token": "guessed"}
            answer = await stranger.post("/telegram", json={"update_id": 1}, headers=headers)
        assert answer.status_code == 401
    assert [name for name, _, _ in await delivered(gp_sandbox, 2)] == ["REG", "FTD"]


@asynccontextmanager
async def both(sandbox: Sandboxes) -> AsyncIterator[tuple[ModuleType, str]]:
    app, service = imported("app", sandbox), imported("service", sandbox)
    async with served(app.app), served(service.app) as address:
        yield service, address


@pytest.fixture
def shared_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    require_server()
    schema = new_schema()
    monkeypatch.setenv("GP_STORE", f"{DSN}?schema={schema}")
    yield
    drop_schema(schema)


async def test_a_payment_service_records_and_the_bot_delivers(
    shared_database: None, project: Path, gp_sandbox: Sandboxes
) -> None:
    async with both(gp_sandbox) as (service, address):
        await gp_sandbox.telegram.user(7, "Ada").start("gp_a1b2c3")
        await delivered(gp_sandbox, 1)
        assert await pay(address, "order-1", "49.90") == 200
        assert await pay(address, "order-1", "49.90") == 200
        assert await delivered(gp_sandbox, 2) == [
            ("REG", "gp_a1b2c3", None),
            ("FTD", "gp_a1b2c3", 49.9),
        ]
        assert not service.tracker.delivers


# Other pages


async def test_a_click_is_kept_as_the_page_on_landings_shows(gp_sandbox: Sandboxes) -> None:
    (block,) = [each for each in blocks("howto/landing") if "fastapi" in each]
    async with Tracker(gp_sandbox.destinations("grampixel"), store=MemoryStore()) as tracker:
        names: dict[str, Any] = {"tracker": tracker}
        exec(compile(block, "block", "exec", dont_inherit=True), names)
        async with (
            served(names["app"]) as address,
            httpx.AsyncClient(base_url=address, trust_env=False) as browser,
        ):
            answer = await browser.get("/go?fbclid=IwAR0aBcD&utm_source=fb&subid=s1")
        link, _, session_id = answer.headers["Location"].partition("?start=")
        assert (answer.status_code, link) == (302, "https://t.me/my_bot")
        await tracker.capture(7, session_id)
        event = await tracker.track("REG", telegram_id=7)
    assert event is not None
    assert event.click is not None
    assert (event.click.fbclid, event.click.utm) == ("IwAR0aBcD", {"utm_source": "fb"})
    assert event.click.ids == {"subid": "s1"}


async def test_a_payment_is_recorded_as_the_page_on_webhooks_shows(
    project: Path, gp_sandbox: Sandboxes
) -> None:
    (block,) = [each for each in blocks("howto/webhooks") if "fastapi" in each]
    (project / "payment.py").write_text(block, encoding="utf-8")
    async with served(imported("payment", gp_sandbox).app) as address:
        assert await pay(address, "order-1", "49.90") == 200
        assert await pay(address, "order-1", "49.90") == 200
        assert await pay(address, "order-2", "-5") == 422
        assert await delivered(gp_sandbox, 1) == [("FTD", None, 49.9)]
