"""docs/howto/several-bots.md and several-pixels.md: their code run, and where its events go."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiogram.client.telegram import TelegramAPIServer

from fixtures.pages import blocks, modules_of, paste_files
from fixtures.sandbox_bots import polling
from gp_aiogram import Click, Tracker
from gp_aiogram.testing import RecordedEvents
from gp_aiogram.testing.sandboxes import Sandboxes

SHOP, GAMES = 42, 43


@pytest.fixture
def bots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gp_sandbox: Sandboxes) -> Iterator[Any]:
    """The bots of the page, on the stand-in of Telegram."""
    page = blocks("howto/several-bots")
    (tmp_path / "bots.py").write_text("\n".join(page), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_TOKEN", f"{SHOP}:SANDBOX")
    monkeypatch.setenv("GAMES_TOKEN", f"{GAMES}:SANDBOX")
    monkeypatch.setenv("GP_GRAMPIXEL__API_KEY", gp_sandbox.grampixel.api_key)
    monkeypatch.setenv("GP_GRAMPIXEL__WORKSPACE_ID", gp_sandbox.grampixel.workspace_id)
    monkeypatch.setenv("GP_GRAMPIXEL__BASE_URL", gp_sandbox.grampixel.url)
    with modules_of(tmp_path):
        module = importlib.import_module("bots")
        for bot in (module.shop, module.games):
            bot.session.api = TelegramAPIServer.from_base(gp_sandbox.telegram.url)
        yield module


async def test_bots_share_a_tracker_and_no_sessions(
    bots: Any, gp_sandbox: Sandboxes, gp_events: RecordedEvents
) -> None:
    ada = gp_sandbox.telegram.user(7, "Ada")
    async with polling(bots.dp, bots.shop, bots.games):
        assert (await ada.start("gp_shop", bot_id=SHOP)).text == "The shop, gp_shop"
        assert (await ada.start(bot_id=GAMES)).text == "The games, organic"
        for bot_id in (SHOP, GAMES):
            await ada.send("/register", bot_id=bot_id)
        await bots.paid(7, "order-1", "49.90")
        await bots.paid(7, "order-1", "49.90")
        await bots.tracker.deposit(telegram_id=7, bot_id=GAMES, value=5, once="order-1")
        unnamed = await bots.tracker.track("VIP", telegram_id=7)
    for bot in (bots.shop, bots.games):
        await bot.session.close()
    assert [
        (each.name, each.event.bot_id, each.session_id) for each in gp_events if each.name != "VIP"
    ] == [
        ("REG", SHOP, "gp_shop"),
        ("REG", GAMES, None),
        ("CompleteRegistration", SHOP, "gp_shop"),
        ("FTD", SHOP, "gp_shop"),
        ("FTD", GAMES, None),
    ]
    assert unnamed.bot_id == SHOP, "the bot of the latest touch"


@pytest.fixture
def pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the first block of the page leaves behind, for the others to follow."""
    for name in ("META", "AGENCY", "TIKTOK"):
        monkeypatch.setenv(f"{name}_PIXEL", "1234567890123456")
        monkeypatch.setenv(f"{name}_TOKEN", "token")
    monkeypatch.chdir(tmp_path)
    paste_files("howto/several-pixels", tmp_path)
    with modules_of(tmp_path):
        importlib.import_module("pixels")
        yield vars(sys.modules["pixels"])


def pasted(names: dict[str, Any], *holding: str) -> Tracker:
    """Paste the blocks that hold these texts; return the tracker that they make."""
    for text in holding:
        (block,) = [each for each in blocks("howto/several-pixels") if text in each]
        exec(compile(block, "block", "exec", dont_inherit=True), names)
    return names["tracker"]


def receivers(events: RecordedEvents) -> list[tuple[str, set[str]]]:
    return [(each.name, set(each.to)) for each in events]


async def test_every_pixel_gets_an_event_unless_told(
    pixels: dict[str, Any], gp_events: RecordedEvents
) -> None:
    tracker = pixels["tracker"]
    await tracker.track("REG", telegram_id=7)
    await tracker.track("VIP", telegram_id=7, to="meta_agency")
    await tracker.close()
    assert receivers(gp_events) == [
        ("REG", {"meta", "meta_agency", "tiktok"}),
        ("VIP", {"meta_agency"}),
    ]


async def test_a_pixel_may_belong_to_a_bot(
    pixels: dict[str, Any], gp_events: RecordedEvents
) -> None:
    tracker = pasted(pixels, "class PixelOfBot")
    await tracker.track("REG", telegram_id=7, bot_id=SHOP)
    await tracker.track("FTD", telegram_id=7, bot_id=GAMES, value=5)
    await tracker.close()
    assert receivers(gp_events) == [("REG", {"shop"}), ("FTD", {"games"})]


async def test_a_pixel_may_belong_to_a_campaign(
    pixels: dict[str, Any], gp_events: RecordedEvents
) -> None:
    tracker = pasted(pixels, "class PixelOfBot", "class AgencyPixel")
    for user, source in ((7, "agency"), (8, "own")):
        session = await tracker.register_click(Click(utm={"utm_source": source}))
        await tracker.capture(user, session, bot_id=SHOP)
        await tracker.track("REG", telegram_id=user)
    await tracker.track("REG", telegram_id=9)
    await tracker.track("VIP", telegram_id=9, to="meta_agency")
    await tracker.close()
    assert receivers(gp_events) == [
        ("REG", {"meta_agency"}),
        ("REG", {"meta"}),
        ("REG", {"meta"}),
        ("VIP", {"meta_agency"}),
    ]


async def test_settings_may_be_joined_by_another_pixel(
    pixels: dict[str, Any], monkeypatch: pytest.MonkeyPatch, gp_events: RecordedEvents
) -> None:
    monkeypatch.setenv("GP_META__PIXEL_ID", "1234567890123456")
    monkeypatch.setenv("GP_META__ACCESS_TOKEN", "token")
    tracker = pasted(pixels, "settings.destinations()")
    await tracker.track("REG", telegram_id=7)
    await tracker.close()
    assert receivers(gp_events) == [("REG", {"meta", "meta_agency"})]


async def test_a_worker_of_ones_own_runs_until_it_is_told_to_stop(
    pixels: dict[str, Any], gp_events: RecordedEvents
) -> None:
    await pixels["tracker"].track("REG", telegram_id=7)
    tracker = pasted(pixels, "async def work")
    working = asyncio.create_task(pixels["work"]())
    while not tracker.running:
        await asyncio.sleep(0.01)
    assert await tracker.flush(5)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(working, 10)
    assert not tracker.running
