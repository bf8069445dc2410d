"""``admin_router`` on a polling bot: figures, buttons, alerts, and that nobody else sees any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, Router
from aiogram.exceptions import TelegramNetworkError, TelegramRetryAfter
from aiogram.methods import SendMessage
from aiogram.types import CallbackQuery, Message

from fixtures.sandbox_bots import bot_of
from gp_aiogram import (
    ConfigurationError,
    GramPixel,
    MemoryStore,
    SQLiteStore,
    Store,
    StoreUnavailable,
    Tracker,
)
from gp_aiogram.bot import admin_router
from gp_aiogram.bot.admin import pictures
from gp_aiogram.bot.polling import polling
from gp_aiogram.sandbox import Fault, GramPixelSandbox, SandboxUser, TelegramSandbox

ADMIN, OTHER_ADMIN, STRANGER, USER = 1001, 1002, 1003, 777_000_777


class House:
    """A bot with an admin router before its own handlers, on the stand-ins."""

    def __init__(self, telegram: TelegramSandbox, grampixel: GramPixelSandbox) -> None:
        self.telegram = telegram
        self.grampixel = grampixel
        self.admin = telegram.user(ADMIN, "Ada")
        self.stranger = telegram.user(STRANGER, "Bob")
        self.seen: list[str] = []

    def tracker(self, store: Store | None = None, **arguments: Any) -> Tracker:
        destination = GramPixel(
            self.grampixel.api_key, self.grampixel.workspace_id, base_url=self.grampixel.url
        )
        return Tracker([destination], store=store or MemoryStore(), **arguments)

    @asynccontextmanager
    async def open(
        self, tracker: Tracker, *, doors: int = 1, prepare: Callable[[Bot], Any] = id, **options
    ) -> AsyncIterator[Tracker]:
        given = {"admins": {ADMIN}, "check_every": 0.02, "cured_after": timedelta(0), **options}
        dp, own = Dispatcher(), Router()
        tracker.setup(dp)
        dp.include_routers(*(admin_router(tracker, **given) for _ in range(doors)), own)

        @own.message()
        async def message(message: Message) -> None:
            self.seen.append(message.text)
            await message.answer("the bot itself")

        @own.callback_query()
        async def press(call: CallbackQuery) -> None:
            self.seen.append(call.data)

        async with polling(dp, self.telegram.token, self.telegram.url) as bot:
            prepare(bot)
            yield tracker

    async def told(self, beginning: str, user: SandboxUser | None = None) -> Any:
        """Wait for a message that begins so, and return it."""

        def found() -> list[Any]:
            messages = (user or self.admin).messages
            return [each for each in messages if each.text.startswith(beginning)]

        await self.telegram.wait_until(found)
        (message,) = found()
        return message

    def messages(self, beginning: str) -> int:
        return sum(each.text.startswith(beginning) for each in self.admin.messages)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with TelegramSandbox() as telegram, GramPixelSandbox() as grampixel:
        yield House(telegram, grampixel)


async def a_few_looks() -> None:
    await asyncio.sleep(0.2)


async def bury(house: House, tracker: Tracker, count: int = 1) -> None:
    """Make dead letters."""
    house.grampixel.fail(Fault.status(422), times=count)
    for _ in range(count):
        await tracker.track("REG", telegram_id=USER)
        assert await tracker.flush(5)
    assert len(await tracker.dead_letters()) >= count


async def pause(house: House, tracker: Tracker) -> None:
    house.grampixel.fail(Fault.status(401), times=None)
    await tracker.track("REG", telegram_id=USER)
    while tracker.states["grampixel"] != "refused":
        await asyncio.sleep(0.01)


# /gp


async def test_an_admin_sees_figures_and_a_picture(house):
    async with house.open(house.tracker()) as tracker:
        await tracker.capture(USER, "gp_a1b2c3")
        await tracker.track("REG", telegram_id=USER)
        await tracker.deposit(telegram_id=USER, value="49.90", currency="EUR")
        await tracker.flush(5)
        shown = await house.admin.send("/gp")
    assert "Sessions        1\nREG             1  100%\nFTD             1  100%\n" in shown.text
    assert "<b>Value</b>  49.90 EUR" in shown.text
    assert "🟢 <b>grampixel</b> · healthy" in shown.text
    (size,) = shown.raw["photo"]
    assert house.telegram.files[size["file_id"]].startswith(b"\x89PNG")
    assert (size["width"], size["height"]) == (1080, 1080)
    assert shown.buttons == ()
    assert house.seen == []


async def test_without_pillow_there_are_figures_without_a_picture(house, monkeypatch):
    monkeypatch.setattr(pictures, "find_spec", lambda _: None)
    async with house.open(house.tracker()):
        shown = await house.admin.send("/gp")
    assert shown.text.startswith("<b>Today</b>")
    assert "photo" not in shown.raw


async def test_a_chart_that_fails_costs_the_figures_nothing(house, monkeypatch, caplog):
    monkeypatch.setattr("gp_aiogram.bot.admin.chart.draw", lambda _: 1 / 0)
    async with house.open(house.tracker()):
        assert (await house.admin.send("/gp")).text.startswith("<b>Today</b>")
    assert "the chart cannot be drawn" in caplog.text


async def test_figures_too_long_for_a_caption_follow_the_picture(house):
    store = MemoryStore()
    names = [f"{'long' * 12} {number}" for number in range(20)]
    others = Tracker(
        [GramPixel("k", house.grampixel.workspace_id, name=n) for n in names], store=store
    )
    await others.track("REG", telegram_id=USER)
    async with house.open(house.tracker(store)):
        photo = await house.admin.send("/gp")
        figures = await house.told("<b>Today</b>")
    assert (photo.text, "photo" in photo.raw) == ("", True)
    assert names[-1] in figures.text


async def test_for_everybody_else_the_command_does_not_exist(house):
    async with house.open(house.tracker()):
        reply = await house.stranger.send("/gp")
    assert reply.text == "the bot itself"
    assert house.seen == ["/gp"]
    assert house.admin.messages == []


async def test_other_messages_of_an_admin_go_on(house):
    async with house.open(house.tracker()):
        assert (await house.admin.send("hello")).text == "the bot itself"
        assert (await house.admin.send("/start")).text == "the bot itself"


async def test_the_command_may_have_another_name(house):
    async with house.open(house.tracker(), command="figures"):
        assert (await house.admin.send("/gp")).text == "the bot itself"
        assert "Today" in (await house.admin.send("/figures")).text


async def test_in_a_group_nothing_is_shown(house):
    group = house.telegram.group(-1001, "Staff")
    message = {
        "message_id": 1,
        "date": 0,
        "chat": group.raw,
        "from": house.admin.profile,
        "text": "/gp",
        "entities": [{"type": "bot_command", "offset": 0, "length": 3}],
    }
    async with house.open(house.tracker()):
        await house.telegram.push({"message": message})
        await house.telegram.wait_until(lambda: house.seen)
    assert house.seen == ["/gp"]
    assert "sendPhoto" not in {call.method for call in house.telegram.calls}


async def test_a_bot_that_only_records_says_so(house):
    async with house.open(house.tracker(deliver=False)) as tracker:
        await tracker.track("REG", telegram_id=USER)
        shown = await house.admin.send("/gp")
    assert "⚪ <b>grampixel</b> · 1 pending, oldest 0\xa0s" in shown.text
    assert "Workers deliver. Their states are not known here." in shown.text
    assert shown.buttons == ()


class Away(MemoryStore):
    """A store whose counts cannot be read for the moment."""

    away = False

    def __init__(self) -> None:
        super().__init__()
        counts = self.outbox.counts

        async def ask() -> Any:
            if Away.away:
                msg = "away"
                raise StoreUnavailable(msg)
            return await counts()

        self.outbox.counts = ask


async def test_a_store_that_is_away_is_told(house, monkeypatch):
    async with house.open(house.tracker(Away()), check_every=3600) as tracker:
        await bury(house, tracker)
        shown = await house.admin.send("/gp")
        monkeypatch.setattr(Away, "away", True)
        assert (await house.admin.send("/gp")).text.startswith("The store does not answer now.")
        await house.admin.click(shown.buttons[0].callback_data, expect_reply=False)
        await house.telegram.wait_until(lambda: house.admin.answers)
        (answer,) = house.admin.answers
        assert answer.text == "The store does not answer now: nothing was done."


# Buttons


async def test_dead_letters_are_replayed_by_a_button(house):
    async with house.open(house.tracker(), check_every=3600) as tracker:
        await bury(house, tracker, 2)
        shown = await house.admin.send("/gp")
        assert "<b>2 dead</b>" in shown.text
        after = await house.admin.click("↻ Replay 2 dead of grampixel")
        assert await tracker.flush(5)
        assert await tracker.dead_letters() == []
    assert house.admin.answers[0].text == "2 replayed."
    assert "dead" not in after.text
    assert (after.buttons, after.message_id) == ((), shown.message_id)
    assert len(house.grampixel.events) == 2


async def test_what_somebody_else_has_replayed_is_not_replayed_again(house):
    async with house.open(house.tracker(), check_every=3600) as tracker:
        await bury(house, tracker)
        shown = await house.admin.send("/gp")
        await tracker.replay()
        await tracker.flush(5)
        await house.admin.click(shown.buttons[0].callback_data)
    assert house.admin.answers[0].text == "There was nothing to replay."
    assert len(house.grampixel.events) == 1


async def test_a_paused_destination_is_resumed_by_a_button(house):
    async with house.open(house.tracker(), check_every=3600) as tracker:
        await pause(house, tracker)
        shown = await house.admin.send("/gp")
        assert "⛔ <b>grampixel</b> · paused · 1 pending" in shown.text
        house.grampixel.recover()
        await house.admin.click("▶ Resume grampixel", expect_reply=False)
        await house.grampixel.wait_for(1)
        await house.telegram.wait_until(lambda: house.admin.answers)
    assert house.admin.answers[0].text == "grampixel is tried now."


async def test_nobody_else_presses_anything(house):
    async with house.open(house.tracker(), check_every=3600) as tracker:
        await bury(house, tracker)
        shown = await house.admin.send("/gp")
        press = {
            "id": "1",
            "from": house.stranger.profile,
            "chat_instance": "1",
            "data": shown.buttons[0].callback_data,
            "message": {**shown.raw, "chat": house.stranger.chat},
        }
        await house.telegram.push({"callback_query": press})
        await house.telegram.wait_until(lambda: house.seen)
        assert len(await tracker.dead_letters()) == 1
    assert house.seen == [shown.buttons[0].callback_data]
    assert house.stranger.messages == house.stranger.answers == []


async def test_a_destination_that_is_gone_is_told(house):
    store = MemoryStore()
    async with house.open(house.tracker(store), check_every=3600) as tracker:
        await bury(house, tracker)
        shown = await house.admin.send("/gp")
        data = shown.buttons[0].callback_data
        press = {
            "id": house.telegram._state.bot().new_callback_query(ADMIN),
            "from": house.admin.profile,
            "chat_instance": "1",
            "data": data.rsplit(":", 1)[0] + ":000000000000",
            "message": shown.raw,
        }
        await house.telegram.push({"callback_query": press})
        await house.telegram.wait_until(lambda: house.admin.answers)
    assert house.admin.answers[0].text == "This destination is not there any more."


# Alerts


async def test_the_first_dead_letter_is_told_once_and_when_it_is_gone(house):
    async with house.open(house.tracker()) as tracker:
        await bury(house, tracker)
        alert = await house.told("⚠️ <b>grampixel</b>: the first dead letter.")
        await bury(house, tracker)
        await a_few_looks()
        assert house.messages("⚠️") == 1
        await house.admin.click(alert.buttons[0].callback_data, expect_reply=False)
        await house.told("✅ <b>grampixel</b>: no dead letters any more.")
        await bury(house, tracker)
        await house.telegram.wait_until(lambda: house.messages("⚠️") == 1)


async def test_a_pause_is_told_with_a_button_and_when_it_is_over(house):
    async with house.open(house.tracker()) as tracker:
        await pause(house, tracker)
        alert = await house.told("⛔ <b>grampixel</b> is paused")
        assert [button.text for button in alert.buttons] == ["▶ Resume grampixel"]
        await a_few_looks()
        assert house.messages("⛔") == 1
        house.grampixel.recover()
        tracker.resume("grampixel")
        await house.told("✅ <b>grampixel</b> takes events again.")


async def test_a_backlog_is_told_and_when_it_is_gone(house):
    house.grampixel.fail(Fault.hang(), times=1)
    async with house.open(house.tracker(deliver=False), backlog=timedelta(seconds=0.1)) as bot:
        await bot.track("REG", telegram_id=USER)
        alert = await house.told(
            "🕓 <b>grampixel</b>: events wait for 0\xa0s, longer than 0\xa0s."
        )
        assert alert.text.endswith(" 1 pending.")
        house.grampixel.recover()
        worker = house.tracker(bot.store)
        await worker.start()
        assert await worker.flush(5)
        await house.told("✅ <b>grampixel</b>: the backlog is gone.")
        await worker._courier.stop(1)


async def test_a_restart_tells_nothing_again(house, tmp_path):
    def tracker() -> Tracker:
        return house.tracker(SQLiteStore(tmp_path / "gp.sqlite3"))

    async with house.open(tracker()) as first:
        await bury(house, first)
        await house.told("⚠️")
    async with house.open(tracker()) as second:
        await a_few_looks()
        assert house.messages("⚠️") == 1
        await second.replay()
        await house.told("✅ <b>grampixel</b>: no dead letters any more.")


async def test_of_several_processes_one_tells(house):
    async with house.open(house.tracker(), doors=3) as tracker:
        await bury(house, tracker)
        await house.told("⚠️")
        await a_few_looks()
    assert house.messages("⚠️") == 1


async def test_all_admins_are_told_and_who_is_not_there_costs_nothing(house, caplog):
    house.telegram.user(OTHER_ADMIN, "Cyd")
    async with house.open(house.tracker(), admins={ADMIN, OTHER_ADMIN, 4_004}) as tracker:
        await bury(house, tracker)
        await house.told("⚠️")
        await house.told("⚠️", house.telegram.user(OTHER_ADMIN))
        await a_few_looks()
    assert caplog.text.count("admin 4004 gets no alerts: they must start the bot") == 1


async def test_who_has_blocked_the_bot_is_told_once_they_are_back(house):
    await house.admin.block()
    async with house.open(house.tracker()) as tracker:
        await bury(house, tracker)
        await a_few_looks()
        await house.admin.unblock()
        await a_few_looks()
        assert house.admin.messages == []
        await house.admin.send("/gp")
        await house.told("⚠️")


class Flaky:
    """Makes the first messages to admins fail."""

    def __init__(self, *failures: Callable[[Any], Exception]) -> None:
        self.failures = list(failures)
        self.hanging = asyncio.Event()

    def __call__(self, bot: Bot) -> None:
        bot.session.middleware(self.call)

    async def call(self, make_request: Any, bot: Bot, method: Any) -> Any:
        if isinstance(method, SendMessage) and method.chat_id == ADMIN and self.failures:
            failure = self.failures.pop(0)
            if failure is asyncio.sleep:
                self.hanging.set()
                await asyncio.sleep(3600)
            raise failure(method)
        return await make_request(bot, method)


async def test_an_alert_survives_telegram_s_errors(house):
    flaky = Flaky(
        lambda method: TelegramNetworkError(method, "down"),
        lambda method: TelegramRetryAfter(method, "Too Many Requests", retry_after=0),
        lambda method: TelegramNetworkError(method, "down"),
    )
    async with house.open(house.tracker(), prepare=flaky) as tracker:
        await bury(house, tracker)
        await house.told("⚠️")
        await a_few_looks()
    assert flaky.failures == []
    assert house.messages("⚠️") == 1


async def test_an_admin_who_was_left_out_is_told_later(house):
    other = house.telegram.user(OTHER_ADMIN, "Cyd")
    flaky = Flaky(lambda method: TelegramNetworkError(method, "down"))
    async with house.open(house.tracker(), prepare=flaky, admins={ADMIN, OTHER_ADMIN}) as tracker:
        await bury(house, tracker)
        await house.told("⚠️", other)
        await house.told("⚠️")


async def test_a_bot_does_not_wait_for_an_alert(house):
    flaky = Flaky(asyncio.sleep)
    async with house.open(house.tracker(), prepare=flaky) as tracker:
        await bury(house, tracker)
        await flaky.hanging.wait()
        assert (await house.stranger.send("hello")).text == "the bot itself"
        assert await tracker.track("REG", telegram_id=USER) is not None
    # What was not told is told after the restart.
    async with house.open(tracker):
        await house.told("⚠️")


async def test_a_store_that_is_away_is_logged_once(house, monkeypatch, caplog):
    monkeypatch.setattr(Away, "away", True)
    async with house.open(house.tracker(Away())) as tracker:
        await a_few_looks()
        assert caplog.text.count("admins learn nothing now, and will later") == 1
        monkeypatch.setattr(Away, "away", False)
        await bury(house, tracker)
        await house.told("⚠️")


async def test_no_message_names_a_user(house):
    async with house.open(house.tracker()) as tracker:
        await tracker.identify(USER, email="ada@example.com")
        await tracker.capture(USER, "gp_a1b2c3")
        await bury(house, tracker)
        await house.told("⚠️")
        await house.admin.send("/gp")
    for message in house.admin.messages:
        for secret in (str(USER), "ada@", "gp_a1b2c3", house.grampixel.api_key):
            assert secret not in str(message.raw)


async def test_without_a_bot_it_says_what_to_give(house, caplog):
    tracker = house.tracker()
    router = admin_router(tracker, admins={ADMIN})
    await router.emit_startup()
    await router.emit_shutdown()
    assert "no alerts until an admin sends /gp: give admin_router bot=..." in caplog.text


@pytest.mark.parametrize("by_setup", [True, False])
async def test_behind_a_webhook_the_bot_is_given_once(house, by_setup):
    async with bot_of(house.telegram) as bot, house.tracker() as tracker:
        given = None if by_setup else bot
        router = admin_router(tracker, admins={ADMIN}, bot=given, check_every=0.02)
        await router.emit_startup(**({"bot": bot} if by_setup else {}))
        await bury(house, tracker)
        await house.told("⚠️")
        await router.emit_shutdown()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"admins": set()}, r"admins=\.\.\.\) wants Telegram ids, such as \{123456789\}"),
        ({"admins": "1001"}, "wants Telegram ids"),
        ({"admins": {"ada"}}, "telegram_id must be"),
        ({"admins": {1}, "backlog": 3600}, "backlog=.* must be a timedelta"),
        ({"admins": {1}, "cured_after": timedelta(-1)}, "cured_after=.* must be a timedelta"),
        ({"admins": {1}, "check_every": 0}, "check_every=.* must be seconds"),
    ],
)
def test_what_cannot_work_is_refused(tracker, arguments, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        admin_router(tracker, **arguments)
