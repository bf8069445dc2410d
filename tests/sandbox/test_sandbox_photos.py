"""Photos at the Telegram stand-in: sent by aiogram, edited, and refused where Telegram refuses."""

from __future__ import annotations

from io import BytesIO

import pytest
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import BufferedInputFile
from PIL import Image

from fixtures.sandbox_bots import keyboard
from gp_aiogram.sandbox import TelegramSandbox


def png(width: int = 40, height: int = 20) -> BufferedInputFile:
    written = BytesIO()
    Image.new("RGB", (width, height)).save(written, "PNG")
    return BufferedInputFile(written.getvalue(), "photo.png")


async def test_a_photo_arrives_with_its_caption_and_buttons(telegram, bot):
    user = telegram.user(7)
    buttons = keyboard(("Go", {"callback_data": "go"}))
    sent = await bot.send_photo(7, png(), caption="Look", reply_markup=buttons)
    (message,) = user.messages
    assert (message.text, message.buttons[0].text) == ("Look", "Go")
    (size,) = sent.photo
    assert (size.width, size.height) == (40, 20)
    assert telegram.files[size.file_id] == png().data


async def test_a_caption_is_edited_and_the_photo_stays(telegram, bot):
    user = telegram.user(7)
    sent = await bot.send_photo(7, png(), caption="Look")
    await bot.edit_message_caption(chat_id=7, message_id=sent.message_id, caption="Again")
    (message,) = user.messages
    assert (message.text, "photo" in message.raw, "text" in message.raw) == ("Again", True, False)
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await bot.edit_message_caption(chat_id=7, message_id=sent.message_id, caption="Again")
    await bot.edit_message_caption(chat_id=7, message_id=sent.message_id)
    assert user.messages[0].text == ""


async def test_what_is_no_photo_is_refused(telegram, bot):
    telegram.user(7)
    with pytest.raises(TelegramBadRequest, match="IMAGE_PROCESS_FAILED"):
        await bot.send_photo(7, BufferedInputFile(b"no picture", "photo.png"))
    with pytest.raises(TelegramBadRequest, match="there is no photo in the request"):
        await bot.send_photo(7, "file-id")
    with pytest.raises(TelegramBadRequest, match="PHOTO_INVALID_DIMENSIONS"):
        await bot.send_photo(7, png(9_990, 11))
    with pytest.raises(TelegramBadRequest, match="caption is too long"):
        await bot.send_photo(7, png(), caption="x" * 1025)


async def test_texts_and_captions_are_different_things(telegram, bot):
    telegram.user(7)
    photo, text = await bot.send_photo(7, png(), caption="Look"), await bot.send_message(7, "Hi")
    with pytest.raises(TelegramBadRequest, match="there is no text in the message to edit"):
        await bot.edit_message_text("Ho", chat_id=7, message_id=photo.message_id)
    with pytest.raises(TelegramBadRequest, match="there is no caption in the message to edit"):
        await bot.edit_message_caption(chat_id=7, message_id=text.message_id, caption="Ho")


async def test_messages_are_dated_by_the_clock_that_is_given(clock):
    async with TelegramSandbox(clock=clock) as telegram:
        user = telegram.user(7)
        await user.send("hello", expect_reply=False)
        await user.block()
    assert telegram.updates[0]["message"]["date"] == int(clock.now)
    assert telegram.updates[1]["my_chat_member"]["date"] == int(clock.now)
