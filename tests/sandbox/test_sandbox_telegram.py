"""The Telegram stand-in: the Bot API it speaks, its scripted users, real aiogram bots on it."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiogram import Dispatcher, F
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramNotFound,
    TelegramUnauthorizedError,
)
from aiogram.filters import CommandStart
from aiogram.methods import GetChat
from aiogram.types import (
    BotCommand,
    CallbackQuery,
    KeyboardButton,
    ReplyKeyboardMarkup,
    Update,
)
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

from fixtures.sandbox_bots import bot_of, call, keyboard, polling
from gp_aiogram.sandbox import SandboxAnswer, SandboxButton, TelegramSandbox


@asynccontextmanager
async def serving(handler):
    """A web server for webhooks; yields its address."""
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}/".format(*runner.addresses[0])
    finally:
        await runner.cleanup()


def shop():
    """A dispatcher that greets with its payload and takes deposits by button."""
    dp = Dispatcher()

    @dp.message(CommandStart())
    async def start(message, command):
        buttons = keyboard(("Deposit 10", {"callback_data": "deposit:10"}))
        await message.answer(f"payload {command.args}", reply_markup=buttons)

    @dp.callback_query(F.data.startswith("deposit:"))
    async def deposit(call):
        await call.answer("thanks", show_alert=True)
        await call.message.edit_text(f"deposited {call.data[8:]}")

    @dp.message(F.text == "quiet")
    async def quiet(_):
        pass

    @dp.message(F.text)
    async def echo(message):
        await message.answer(message.text.upper())

    return dp


# A real bot, end to end


async def test_a_polling_bot_talks_with_a_user(telegram, bot):
    user = telegram.user(1001)
    async with polling(shop(), bot):
        greeting = await user.start("gp_a1b2c3")
        assert greeting.text == "payload gp_a1b2c3"
        assert greeting.buttons == (SandboxButton("Deposit 10", "deposit:10"),)
        edited = await user.click("Deposit 10")
        assert (edited.text, edited.message_id) == ("deposited 10", greeting.message_id)
        assert user.answers == [SandboxAnswer(42, "thanks", show_alert=True)]
        assert (await user.send("hi")).text == "HI"
        assert [message.text for message in user.messages] == ["deposited 10", "HI"]
        assert (await user.start()).text == "payload None"
    methods = [call.method for call in telegram.calls if call.method != "getUpdates"]
    assert methods == [
        "getMe",
        "sendMessage",
        "answerCallbackQuery",
        "editMessageText",
        "sendMessage",
        "sendMessage",
    ]


async def test_users_do_not_see_each_others_messages(telegram, bot):
    ada, bob = telegram.user(1), telegram.user(2, "Bob")
    async with polling(shop(), bot):
        replies = await asyncio.gather(ada.send("from ada"), bob.send("from bob"))
    assert [reply.text for reply in replies] == ["FROM ADA", "FROM BOB"]
    assert [message.text for message in bob.messages] == ["FROM BOB"]


async def test_several_bots_share_a_stand_in(telegram, bot):
    user = telegram.user(1001)
    async with bot_of(telegram, "77:other") as other, polling(shop(), bot, other):
        assert (await user.start("a")).bot_id == 42
        assert (await user.start("b", bot_id=77)).bot_id == 77
        assert (await user.click("deposit:10", bot_id=77)).bot_id == 77
        assert [message.text for message in user.messages] == ["payload a", "deposited 10"]
        assert (await user.send("x", bot_id=77)).text == "X"
    assert (await telegram.push({"message": {}}, bot_id=5))["update_id"] == 5


async def test_only_the_bot_that_was_addressed_replies(telegram, bot):
    user = telegram.user(1001)
    waiting = asyncio.create_task(user.send("x", bot_id=77))
    await asyncio.sleep(0)
    await bot.send_message(1001, "from 42")
    async with bot_of(telegram, "77:other") as other:
        await other.send_message(1001, "from 77")
    assert (await waiting).text == "from 77"


async def test_a_silent_bot_is_told_apart_from_an_absent_one(telegram, bot):
    telegram.timeout = 1
    user = telegram.user(1001)
    with pytest.raises(TimeoutError, match=r"bot 42 sent nothing to user 1001.*has not asked"):
        await user.send("hello?")
    async with polling(shop(), bot):
        await telegram.wait_until(lambda: user.messages, timeout=10)
        with pytest.raises(TimeoutError, match=r"was handed to the bot; since then .*: nothing"):
            await user.send("quiet")
        telegram.timeout = 10
        await user.start()
    telegram.timeout = 1
    async with polling(Dispatcher(), bot, allowed_updates=["message"]):
        with pytest.raises(TimeoutError, match=r"was dropped: .*\['message'\]"):
            await user.click("Deposit 10")


async def test_a_reply_need_not_be_expected(telegram, bot):
    user = telegram.user(1001)
    assert await user.send("one", expect_reply=False) is None
    assert await user.start(expect_reply=False) is None
    async with polling(shop(), bot):
        await telegram.wait_until(lambda: len(user.messages) == 2)
        assert await user.click("Deposit 10", expect_reply=False) is None
        await telegram.wait_until(lambda: user.answers)


async def test_waiting_in_vain_names_the_calls(telegram, bot):
    await bot.get_me()
    with pytest.raises(TimeoutError, match="getMe"):
        await telegram.wait_until(lambda: False, timeout=0.01)


async def test_a_webhook_bot_talks_with_a_user(telegram, bot):
    user = telegram.user(1001)
    handler = SimpleRequestHandler(shop(), bot, secret_token="s3cret")
    async with serving(handler.handle) as url:
        await bot.set_webhook(url, secret_token="s3cret")
        assert (await user.start("gp_1")).text == "payload gp_1"
        assert (await user.click("deposit:10")).text == "deposited 10"


@pytest.mark.parametrize("as_json", [False, True])
async def test_a_webhook_may_answer_with_a_method(telegram, bot, as_json):
    dp = Dispatcher()

    @dp.message()
    async def echo(message):
        buttons = keyboard(("Again", {"callback_data": "again"}))
        return message.answer(f"you said {message.text}", reply_markup=buttons)

    async def answer_in_json(request):
        chat = (await request.json())["message"]["chat"]
        call = {"method": "sendMessage", "chat_id": chat["id"], "text": "you said hi"}
        return web.json_response(
            {
                **call,
                "reply_markup": {
                    "inline_keyboard": [[{"text": "Again", "callback_data": "again"}]]
                },
            }
        )

    in_form = SimpleRequestHandler(dp, bot, handle_in_background=False).handle
    async with serving(answer_in_json if as_json else in_form) as url:
        await bot.set_webhook(url)
        reply = await telegram.user(1001).send("hi")
    assert reply.text == "you said hi"
    assert [button.callback_data for button in reply.buttons] == ["again"]


# Webhooks


async def test_a_webhook_gets_updates_in_order_until_it_accepts_them(telegram, bot):
    got = []

    async def handler(request):
        got.append((await request.json())["update_id"])
        return web.Response(status=(500, 302, 404, 200, 204, 200)[len(got) - 1])

    user = telegram.user(1001)
    for text in ("a", "b", "c"):
        await user.send(text, expect_reply=False)
    async with serving(handler) as url:
        began = time.monotonic()
        await bot.set_webhook(url)
        await telegram.wait_until(lambda: len(got) == 2)
        info = await bot.get_webhook_info()
        assert (info.url, info.pending_update_count) == (url, 3)
        assert "500" in info.last_error_message or "302" in info.last_error_message
        await telegram.wait_until(lambda: len(telegram._state.bot(42).queue) == 0)
    assert got == [1, 1, 1, 1, 2, 3]
    assert time.monotonic() - began > 0.05 + 0.1 + 0.2


async def test_a_webhook_may_be_away_for_a_while(telegram, bot):
    got = []

    async def handler(request):
        got.append((await request.json())["update_id"])
        return web.Response(text="not json")

    await bot.set_webhook("http://127.0.0.1:1/")
    telegram.timeout = 0.1
    with pytest.raises(TimeoutError, match=r"not accepted by the webhook: Connection failed"):
        await telegram.user(1001).send("a")
    telegram.timeout = 5
    assert "Connection failed" in (await bot.get_webhook_info()).last_error_message
    async with serving(handler) as url:
        await bot.set_webhook(url)
        await telegram.user(1001).send("b", expect_reply=False)
        await telegram.wait_until(lambda: got == [1, 2])


async def test_a_webhook_is_sent_the_secret_and_only_allowed_updates(telegram, bot):
    requests = []

    async def handler(request):
        requests.append((request.headers.copy(), await request.json()))
        return web.Response()

    async with serving(handler) as url:
        await bot.set_webhook(url, secret_token="s3", allowed_updates=["poll"])
        await telegram.push({"message": {}})
        sent = await telegram.push({"poll": {"id": "1"}})
        await telegram.wait_until(lambda: requests)
        ((headers, update),) = requests
        assert headers["X-Telegram-Bot-Api-Secret-Token"] == "s3"
        assert update == sent
        info = await bot.get_webhook_info()
        assert (info.allowed_updates, info.last_error_date) == (["poll"], None)
        await bot.set_webhook(url)
        await telegram.push({"poll": {"id": "2"}})
        await telegram.wait_until(lambda: len(requests) == 2)
    assert "X-Telegram-Bot-Api-Secret-Token" not in requests[1][0]


async def test_polling_and_a_webhook_exclude_each_other(telegram, bot):
    waiting = asyncio.create_task(bot.get_updates(timeout=30))
    await telegram.wait_until(lambda: telegram.calls)
    await bot.set_webhook("http://127.0.0.1:1/")
    with pytest.raises(TelegramConflictError, match="terminated by setWebhook"):
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(TelegramConflictError, match="deleteWebhook"):
        await bot.get_updates()
    await bot.delete_webhook()
    await telegram.user(1001).send("x", expect_reply=False)
    assert len(await bot.get_updates()) == 1
    assert (await call(telegram, "getWebhookInfo"))[1]["result"] == {
        "url": "",
        "has_custom_certificate": False,
        "pending_update_count": 1,
    }


async def test_waiting_updates_can_be_dropped(telegram, bot):
    user = telegram.user(1001)
    for drop in (bot.delete_webhook, lambda **kw: bot.set_webhook("http://127.0.0.1:1/", **kw)):
        await user.send("x", expect_reply=False)
        assert await drop(drop_pending_updates=False) is True
        assert (await bot.get_webhook_info()).pending_update_count == 1
        await drop(drop_pending_updates=True)
        assert (await bot.get_webhook_info()).pending_update_count == 0
    await bot.set_webhook("")
    assert await bot.get_updates() == []


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"url": "ftp://x"}, "bad webhook"),
        ({"url": "http://x", "secret_token": "ä"}, "secret token contains unallowed characters"),
    ],
)
async def test_a_bad_webhook_is_refused(bot, kwargs, text):
    with pytest.raises(TelegramBadRequest, match=text):
        await bot.set_webhook(**kwargs)
    assert (await bot.get_webhook_info()).url == ""


# Long polling


async def test_an_update_comes_back_until_it_is_confirmed(telegram, bot):
    user = telegram.user(1001)
    for text in ("a", "b", "c"):
        await user.send(text, expect_reply=False)
    assert [update.update_id for update in await bot.get_updates()] == [1, 2, 3]
    assert [update.update_id for update in await bot.get_updates(limit=2)] == [1, 2]
    assert [update.update_id for update in await bot.get_updates(offset=3)] == [3]
    assert [update.update_id for update in await bot.get_updates()] == [3]
    assert await bot.get_updates(offset=4) == []


async def test_a_negative_offset_counts_from_the_end(telegram, bot):
    for text in ("a", "b", "c"):
        await telegram.user(1001).send(text, expect_reply=False)
    assert [update.update_id for update in await bot.get_updates(offset=-1)] == [3]
    assert [update.update_id for update in await bot.get_updates()] == [3]


async def test_a_long_poll_waits_for_the_first_update(telegram, bot):
    waiting = asyncio.create_task(bot.get_updates(timeout=30))
    await telegram.wait_until(lambda: telegram.calls)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await telegram.user(1001).send("x", expect_reply=False)
    assert len(await asyncio.wait_for(waiting, 1)) == 1


async def test_a_long_poll_ends_after_its_timeout(telegram):
    queue = telegram._state.bot(42).queue
    began = time.monotonic()
    assert await queue.poll(offset=0, limit=100, timeout=0.05, allowed=None) == []
    assert 0.04 < time.monotonic() - began < 1


async def test_a_newer_poll_ends_the_older(telegram, bot):
    older = asyncio.create_task(bot.get_updates(timeout=30))
    await telegram.wait_until(lambda: telegram.calls)
    await bot.get_updates()
    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates"):
        await asyncio.wait_for(older, 5)


async def test_allowed_updates_are_honoured(telegram, bot):
    await telegram.push({"update_id": 1, "message": {}})
    for kind in ("chat_member", "poll"):
        await telegram.push({kind: {}})

    async def kinds(allowed=None):
        form = {} if allowed is None else {"allowed_updates": json.dumps(allowed)}
        async with aiohttp.ClientSession() as client:
            url = f"{telegram.url}/bot{telegram.token}/getUpdates"
            async with client.post(url, data=form) as response:
                updates = (await response.json())["result"]
        return [key for update in updates for key in update if key != "update_id"]

    assert await kinds(["message", "chat_member"]) == ["message", "chat_member"]
    await telegram.push({"poll": {}})
    assert await kinds() == ["message", "chat_member"]
    assert await kinds([]) == ["message"]
    assert await kinds(["poll"]) == []


async def test_an_old_update_id_is_handed_out_again(telegram, bot):
    got = []
    dp = Dispatcher()

    @dp.update.outer_middleware
    async def collect(_, event, __):
        got.append(event.update_id)

    user = telegram.user(1001)
    async with polling(dp, bot, allowed_updates=["message"]):
        await user.send("x", expect_reply=False)
        await user.send("y", expect_reply=False)
        await telegram.wait_until(lambda: got == [1, 2])
        await telegram.push(telegram.updates[0])
        await telegram.wait_until(lambda: got == [1, 2, 1])
        await user.send("z", expect_reply=False)
        await telegram.wait_until(lambda: got == [1, 2, 1, 3])
    assert await bot.get_updates(offset=4) == []
    await telegram.push(telegram.updates[0])
    assert [update.update_id for update in await bot.get_updates(offset=4)] == [1]
    assert await bot.get_updates(offset=2) == []


# What updates look like


async def test_a_message_is_complete(telegram, bot):
    user = telegram.user(1001, "Ada", username="ada", language_code="de")
    await user.start("gp_a1b2c3", expect_reply=False)
    (update,) = telegram.updates
    assert update["message"].pop("date") == pytest.approx(time.time(), abs=2)
    assert update == {
        "update_id": 1,
        "message": {
            "message_id": 1,
            "from": {
                "id": 1001,
                "is_bot": False,
                "first_name": "Ada",
                "username": "ada",
                "language_code": "de",
            },
            "chat": {"id": 1001, "first_name": "Ada", "username": "ada", "type": "private"},
            "text": "/start gp_a1b2c3",
            "entities": [{"type": "bot_command", "offset": 0, "length": 6}],
        },
    }


async def test_a_press_is_complete(telegram, bot):
    user = telegram.user(1001, language_code=None)
    buttons = keyboard(("Go", {"callback_data": "go"}))
    sent = await bot.send_message(1001, "choose", reply_markup=buttons)
    await user.click("go", expect_reply=False)
    await user.click("go", expect_reply=False)
    calls = [Update.model_validate(update).callback_query for update in telegram.updates]
    assert all(isinstance(call, CallbackQuery) for call in calls)
    assert [call.data for call in calls] == ["go", "go"]
    assert calls[0].id != calls[1].id
    assert calls[0].from_user.model_dump(exclude_none=True) == {
        "id": 1001,
        "is_bot": False,
        "first_name": "Ada",
    }
    assert "language_code" not in telegram.updates[0]["callback_query"]["from"]
    assert calls[0].message.message_id == sent.message_id
    assert calls[0].message.from_user.is_bot
    assert calls[0].message.reply_markup == buttons


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ("hello", None),
        ("/help", [(0, 5)]),
        ("😀 /help and /stop@my_bot", [(3, 5), (13, 12)]),
        ("https://t.me/start and/or a//b", None),
    ],
)
async def test_commands_are_marked_as_telegram_counts(telegram, text, entities):
    await telegram.user(1).send(text, expect_reply=False)
    found = telegram.updates[0]["message"].get("entities")
    assert (found and [(e["offset"], e["length"]) for e in found]) == entities


async def test_update_ids_increase(telegram, bot):
    await telegram.push({"update_id": 10, "poll": {}})
    await telegram.push({"update_id": 3, "poll": {}})
    assert (await telegram.push({"poll": {}}, 77))["update_id"] == 11
    assert [update["update_id"] for update in telegram.updates] == [10, 3, 11]


async def test_a_pushed_update_is_a_copy_and_makes_its_chat_known(telegram, bot):
    group = {"id": -100, "type": "supergroup", "title": "G"}
    update = {"my_chat_member": {"chat": group}}
    sent = await telegram.push(update)
    assert (update, sent["update_id"]) == ({"my_chat_member": {"chat": group}}, 1)
    assert (await bot.send_message(-100, "hi all")).chat.title == "G"


async def test_a_user_is_one_and_may_be_renamed(telegram):
    user = telegram.user(1001, "Ada")
    assert telegram.user(1001, "Countess", username="ada") is user
    assert user.chat["username"] == "ada"
    assert repr(user) == "SandboxUser(1001, 'Countess')"


# Pressing buttons


async def test_the_newest_message_that_has_the_button_is_pressed(telegram, bot):
    user = telegram.user(1001)
    for number in (1, 2):
        await bot.send_message(
            1001, "x", reply_markup=keyboard(("Go", {"callback_data": f"go:{number}"}))
        )
    await bot.send_message(1001, "y", reply_markup=keyboard(("No", {"callback_data": "no"})))
    await user.click("Go", expect_reply=False)
    await user.click("go:1", expect_reply=False)
    data = [update["callback_query"]["data"] for update in telegram.updates]
    assert data == ["go:2", "go:1"]


async def test_a_missing_button_is_an_error_that_lists_the_buttons(telegram, bot):
    user = telegram.user(1001)
    with pytest.raises(LookupError, match=r"'Go'.*there are: none"):
        await user.click("Go")
    buttons = keyboard(("Site", {"url": "https://example.org"}), ("Buy", {"callback_data": "b"}))
    await bot.send_message(1001, "x", reply_markup=buttons)
    with pytest.raises(LookupError, match=r"'Site' \(does not send callback data\), 'Buy' \(b\)"):
        await user.click("Site")
    with pytest.raises(LookupError, match="bot 77; newest first there are: none"):
        await user.click("Buy", bot_id=77)
    assert user.messages[0].buttons[0].url == "https://example.org"


# The Bot API


async def test_get_me(telegram, bot):
    me = await bot.get_me()
    assert (me.id, me.is_bot, me.username) == (42, True, "sandbox_42_bot")


async def test_sending_and_editing(telegram, bot):
    user = telegram.user(1001)
    sent = await bot.send_message(
        1001, "one", reply_markup=keyboard(("Go", {"callback_data": "go"}))
    )
    assert (sent.chat.id, sent.from_user.id, sent.text) == (1001, 42, "one")
    assert sent.date.timestamp() == pytest.approx(time.time(), abs=2)
    first = user.messages[0]
    place = {"chat_id": 1001, "message_id": sent.message_id}
    assert (await bot.edit_message_text("two", **place, reply_markup=sent.reply_markup)).edit_date
    edited = await bot.edit_message_text("two", **place)
    assert (edited.text, edited.reply_markup) == ("two", None)
    assert (first.text, user.messages[0].text, user.messages[0].buttons) == ("one", "two", ())
    assert first.raw["text"] == "one"


async def test_reply_keyboards_are_not_inline_buttons(telegram, bot):
    user = telegram.user(1001)
    markup = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Menu")]])
    await bot.send_message(1001, "x", reply_markup=markup)
    assert user.messages[0].buttons == ()


@pytest.mark.parametrize(
    ("chat_id", "text", "description"),
    [
        (1001, "", "message text is empty"),
        (1001, " \n", "message text is empty"),
        (1001, "x" * 4097, "message is too long"),
        (5, "x", "chat not found"),
        ("@someone", "x", "chat not found"),
    ],
)
async def test_a_bad_message_is_refused(telegram, bot, chat_id, text, description):
    user = telegram.user(1001)
    with pytest.raises(TelegramBadRequest, match=f"Bad Request: {description}"):
        await bot.send_message(chat_id, text)
    assert user.messages == []
    await bot.send_message(1001, "x" * 4096)


@pytest.mark.parametrize(
    ("markup", "description"),
    [
        ("[]", "object expected as reply markup"),
        ({"inline_keyboard": [[{"text": "x", "callback_data": "ä" * 33}]]}, "BUTTON_DATA_INVALID"),
        ({"inline_keyboard": [[{"text": " ", "callback_data": "x"}]]}, "non-empty"),
        ({"inline_keyboard": [["x"]]}, "can't parse inline keyboard button"),
        ({"inline_keyboard": 5}, "can't parse inline keyboard button"),
    ],
)
async def test_a_bad_keyboard_is_refused(telegram, markup, description):
    telegram.user(1001)
    params = {"chat_id": 1001, "text": "x", "reply_markup": markup}
    status, answer = await call(telegram, "sendMessage", json=params)
    assert (status, answer["ok"]) == (400, False)
    assert description in answer["description"]


async def test_a_bad_edit_is_refused(telegram, bot):
    telegram.user(1001)
    sent = await bot.send_message(1001, "x")
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("y", chat_id=1001, message_id=99)
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await bot.edit_message_text("x", chat_id=1001, message_id=sent.message_id)
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.edit_message_text("y", chat_id=5, message_id=sent.message_id)
    async with bot_of(telegram, "77:other") as other:
        with pytest.raises(TelegramBadRequest, match="message to edit not found"):
            await other.edit_message_text("y", chat_id=1001, message_id=sent.message_id)


async def test_a_press_is_answered_once(telegram, bot):
    user = telegram.user(1001)
    await bot.send_message(1001, "x", reply_markup=keyboard(("Go", {"callback_data": "go"})))
    await user.click("Go", expect_reply=False)
    query_id = telegram.updates[-1]["callback_query"]["id"]
    assert await bot.answer_callback_query(query_id) is True
    assert user.answers == [SandboxAnswer(42)]
    for bad in (query_id, "nothing"):
        with pytest.raises(TelegramBadRequest, match="query ID is invalid"):
            await bot.answer_callback_query(bad)


async def test_the_small_methods(telegram, bot):
    telegram.user(1001)
    assert await bot.send_chat_action(1001, "typing") is True
    assert await bot.set_my_commands([BotCommand(command="start", description="Begin")]) is True
    assert telegram.calls[-1] == (
        "setMyCommands",
        {"commands": [{"command": "start", "description": "Begin"}]},
    )
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_chat_action(5, "typing")
    assert (await call(telegram, "sendChatAction", json={"chat_id": 1001}))[0] == 400
    assert (await call(telegram, "setMyCommands"))[0] == 400


async def test_unknown_methods_and_bad_tokens(telegram, bot):
    with pytest.raises(TelegramNotFound, match="Not Found"):
        await bot(GetChat(chat_id=1))
    async with bot_of(telegram) as stranger:
        stranger._Bot__token = "SANDBOX"
        with pytest.raises(TelegramUnauthorizedError, match="Unauthorized"):
            await stranger.get_me()
    async with aiohttp.ClientSession(telegram.url) as client, client.get("/") as response:
        assert await response.json() == {
            "ok": False,
            "error_code": 404,
            "description": "Not Found",
        }


async def test_parameters_come_in_every_form(telegram):
    telegram.user(1001)
    markup = {"inline_keyboard": [[{"text": "Go", "callback_data": "go"}]]}
    multipart = aiohttp.FormData(default_to_multipart=True)
    for name, value in (
        ("chat_id", "1001"),
        ("text", "[1]"),
        ("reply_markup", json.dumps(markup)),
    ):
        multipart.add_field(name, value)
    for kwargs in (
        {"json": {"chat_id": 1001, "text": "[1]", "reply_markup": markup}},
        {"json": {"chat_id": "1001", "text": "[1]", "reply_markup": json.dumps(markup)}},
        {"data": {"chat_id": "1001", "text": "[1]", "reply_markup": json.dumps(markup)}},
        {"params": {"chat_id": "1001", "text": "[1]", "reply_markup": json.dumps(markup)}},
        {"data": multipart},
    ):
        status, answer = await call(telegram, "SENDmessage", **kwargs)
        assert (status, answer["result"]["text"]) == (200, "[1]")
        assert answer["result"]["reply_markup"] == markup
        method, params = telegram.calls[-1]
        assert method == "sendMessage"
        assert params == {"chat_id": 1001, "text": "[1]", "reply_markup": markup}


@pytest.mark.parametrize("data", ["{", "[]"])
async def test_parameters_that_cannot_be_read_are_refused(telegram, data):
    headers = {"Content-Type": "application/json"}
    assert (await call(telegram, "getMe", data=data, headers=headers))[0] == 400


# Starting and stopping


async def test_stopping_is_quick_while_polls_and_webhooks_are_open():
    hangs = asyncio.Event()

    async def handler(_):
        hangs.set()
        await asyncio.sleep(60)

    before = asyncio.all_tasks()
    async with serving(handler) as url:
        async with TelegramSandbox() as telegram:
            async with bot_of(telegram) as left:
                poll = asyncio.create_task(left.get_updates(timeout=50))
                await telegram.wait_until(lambda: telegram.calls)
                poll.cancel()
            client = aiohttp.ClientSession()
            staying = asyncio.create_task(
                client.get(f"{telegram.url}/bot77:x/getUpdates", params={"timeout": 50})
            )
            async with bot_of(telegram, "5:hook") as hooked:
                await hooked.set_webhook(url)
            await telegram.push({"message": {}}, bot_id=5)
            await asyncio.wait_for(hangs.wait(), 1)
            await telegram.wait_until(lambda: len(telegram.calls) == 3)
            began = time.monotonic()
        assert time.monotonic() - began < 1
        with pytest.raises(aiohttp.ClientError):
            await staying
        await client.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_token_must_look_like_one():
    with pytest.raises(ValueError, match="42:SANDBOX"):
        TelegramSandbox("nonsense")


async def test_it_can_be_started_again(telegram, bot):
    got = []

    async def handler(request):
        got.append(await request.json())
        return web.Response()

    async with serving(handler) as url:
        await bot.set_webhook(url)
        await telegram.__aexit__()
        await telegram.push({"message": {}})
        async with telegram, bot_of(telegram) as again:
            assert got == []
            await again.set_webhook(url)
            await telegram.wait_until(lambda: got)
