"""Beside the real aiogram-i18n: translated handlers are tracked, and no click is lost to it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.filters import CommandStart
from aiogram.types import Message
from aiogram_i18n import I18nContext, I18nMiddleware, LazyFilter
from aiogram_i18n.cores.jinja2_core import Jinja2Core
from aiogram_i18n.managers import BaseManager, FSMManager
from aiogram_i18n.managers.memory import MemoryManager

from fixtures import updates
from gp_aiogram import Event, MemoryStore, Tracker, UserTracker, track
from gp_aiogram.model.session import SessionQuery

Recorded = Callable[[], Awaitable[list[Event]]]

TEXTS = {"en": {"pay": "Pay", "hello": "Hello"}, "de": {"pay": "Zahlen", "hello": "Hallo"}}


@pytest.fixture
def core(tmp_path: Path) -> Jinja2Core:
    for locale, texts in TEXTS.items():
        (tmp_path / locale).mkdir()
        for key, text in texts.items():
            (tmp_path / locale / f"{key}.j2").write_text(text, encoding="utf-8")
    return Jinja2Core(path=tmp_path)


@pytest.fixture(params=[FSMManager, MemoryManager])
def manager(request: pytest.FixtureRequest) -> BaseManager:
    manager: BaseManager = request.param()
    return manager


@pytest.fixture(params=["i18n last", "i18n first"])
def dp(
    tracker: Tracker,
    core: Jinja2Core,
    manager: BaseManager,
    request: pytest.FixtureRequest,
) -> Dispatcher:
    dp = Dispatcher()
    i18n = I18nMiddleware(core, manager)
    if request.param == "i18n first":
        i18n.setup(dp)
    tracker.setup(dp)
    if request.param == "i18n last":
        i18n.setup(dp)
    return dp


async def test_translated_handlers_are_captured_and_tracked(
    dp: Dispatcher,
    bot: Bot,
    recorded: Recorded,
) -> None:
    seen: list[Any] = []

    @dp.message(CommandStart())
    @track("REG", user_data={"locale": lambda i18n: i18n.locale})
    async def start(message: Message, i18n: I18nContext, gp: UserTracker) -> None:
        seen.extend([i18n.get("hello"), gp.session and gp.session.session_id])
        await i18n.set_locale("de")

    @dp.message(LazyFilter("pay"))
    @track("FTD", value=5, user_data={"said": lambda i18n: i18n.get("hello")})
    async def pay(message: Message, i18n: I18nContext) -> None: ...

    await dp.emit_startup(dispatcher=dp)
    await dp.feed_raw_update(bot, updates.start("gp_a1b2c3", date=int(time.time())))
    await dp.feed_raw_update(bot, updates.message("Zahlen", date=int(time.time()) + 1))
    registered, paid = await recorded()
    assert seen == ["Hello", "gp_a1b2c3"]
    assert (registered.name, registered.user_data) == ("REG", {"locale": "de"})
    assert (paid.name, paid.user_data) == ("FTD", {"said": "Hallo"})
    assert {registered.session_id, paid.session_id} == {"gp_a1b2c3"}


async def test_a_locale_that_cannot_be_read_hides_no_click(
    dp: Dispatcher,
    bot: Bot,
    manager: BaseManager,
    store: MemoryStore,
    tracker: Tracker,
) -> None:
    async def broken(**_: Any) -> str:
        raise LookupError

    manager.locale_getter = broken
    with pytest.raises(LookupError):
        await dp.feed_raw_update(bot, updates.start("gp_a1b2c3"))
    session = await store.find_session(SessionQuery(7, 42))
    assert session is not None
    assert session.session_id == "gp_a1b2c3"
    assert tracker.counts["capture_errors"] == 0
