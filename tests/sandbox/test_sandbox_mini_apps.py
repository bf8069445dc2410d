"""Mini Apps in the Telegram stand-in: launch data that verifies, data sent to a real bot."""

import json
import time
from urllib.parse import parse_qs

import pytest
from aiogram import Dispatcher
from aiogram.utils.web_app import check_webapp_signature, safe_parse_webapp_init_data

from fixtures.sandbox_bots import bot_of, polling


async def test_init_data_is_signed_for_the_bot(telegram):
    user = telegram.user(7, "Ada / Lovelace", username="ada7")
    sent = telegram.init_data(user, start_param="gp_a1b2c3")
    data = safe_parse_webapp_init_data(telegram.token, sent)
    assert (data.user.id, data.user.first_name, data.user.username) == (
        7,
        "Ada / Lovelace",
        "ada7",
    )
    assert (data.start_param, data.query_id, data.chat_type) == ("gp_a1b2c3", None, "sender")
    assert data.auth_date.timestamp() == pytest.approx(time.time(), abs=2)
    assert not check_webapp_signature("42:OTHER", sent)
    assert not check_webapp_signature(telegram.token, sent.replace("gp_a1b2c3", "gp_forged"))


async def test_init_data_is_complete(telegram):
    sent = parse_qs(telegram.init_data(telegram.user(7), auth_date=1_790_000_000))
    assert set(sent) == {"user", "query_id", "auth_date", "signature", "hash"}
    assert sent["auth_date"] == ["1790000000"]
    assert json.loads(sent["user"][0]) == {
        "id": 7,
        "first_name": "Ada",
        "language_code": "en",
        "allows_write_to_pm": True,
    }


async def test_init_data_of_another_bot_needs_its_token(telegram):
    user = telegram.user(7)
    with pytest.raises(LookupError):
        telegram.init_data(user, bot_id=77)
    async with bot_of(telegram, "77:other") as other:
        await other.get_me()
    assert check_webapp_signature("77:other", telegram.init_data(user, bot_id=77))


async def test_a_mini_app_sends_data_to_its_bot(telegram):
    dp = Dispatcher()

    @dp.message()
    async def take(message):
        sent = message.web_app_data
        await message.answer(f"{sent.button_text}: {sent.data}")

    user = telegram.user(7)
    async with bot_of(telegram) as bot, polling(dp, bot):
        assert (await user.send_web_app_data('{"item":1}', "Order")).text == 'Order: {"item":1}'
        assert await user.send_web_app_data("x", expect_reply=False) is None
    for data in ("", "ä" * 2049):
        with pytest.raises(ValueError, match="1-4096 bytes"):
            await user.send_web_app_data(data)
