"""docs/howto/mini-apps.md: its backend served by uvicorn, and called with signed init data."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures.asgi import served
from fixtures.pages import modules_of, paste_files
from gp_aiogram.testing.sandboxes import Sandboxes


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gp_sandbox: Sandboxes) -> Iterator[Any]:
    paste_files("howto/mini-apps", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_TOKEN", gp_sandbox.telegram.token)
    monkeypatch.setenv("GP_GRAMPIXEL__API_KEY", gp_sandbox.grampixel.api_key)
    monkeypatch.setenv("GP_GRAMPIXEL__WORKSPACE_ID", gp_sandbox.grampixel.workspace_id)
    monkeypatch.setenv("GP_GRAMPIXEL__BASE_URL", gp_sandbox.grampixel.url)
    with modules_of(tmp_path):
        yield importlib.import_module("mini_app").app


async def call(address: str, path: str, init_data: str, body: Any) -> int:
    async with httpx.AsyncClient(base_url=address, trust_env=False) as page:
        answer = await page.post(path, json=body, headers={"X-Init-Data": init_data})
    return answer.status_code


async def test_a_purchase_has_the_session_of_the_launch(app: Any, gp_sandbox: Sandboxes) -> None:
    telegram = gp_sandbox.telegram
    ada, bob = telegram.user(7, "Ada"), telegram.user(8, "Bob")
    by_ad, organic = telegram.init_data(ada, start_param="gp_a1b2c3"), telegram.init_data(bob)
    async with served(app) as address:
        tea = {"order": "order-1", "item": "tea"}
        for _ in range(2):
            assert await call(address, "/api/open", by_ad, {}) == 200
            assert await call(address, "/api/order", by_ad, tea) == 200
        assert await call(address, "/api/open", organic, {}) == 200
        assert await call(address, "/api/order", by_ad, {**tea, "item": "gold"}) == 404
        events = [each.body for each in await gp_sandbox.grampixel.wait_for(3)]
    assert sorted(
        (each["telegram_id"], each["event_name"], each.get("session_id"), each.get("value"))
        for each in events
    ) == [
        (7, "Purchase", "gp_a1b2c3", 9.9),
        (7, "REG", "gp_a1b2c3", None),
        (8, "REG", None, None),
    ]


async def test_whom_telegram_does_not_vouch_for_is_refused(
    app: Any, gp_sandbox: Sandboxes
) -> None:
    ada = gp_sandbox.telegram.user(7, "Ada")
    good = gp_sandbox.telegram.init_data(ada, start_param="gp_a1b2c3")
    old = gp_sandbox.telegram.init_data(ada, auth_date=int(time.time()) - 25 * 3600)
    async with served(app) as address:
        for refused in (good.replace("gp_a1b2c3", "gp_stolen"), old, "", "user=7"):
            assert await call(address, "/api/open", refused, {}) == 401
    assert not gp_sandbox.grampixel.events
