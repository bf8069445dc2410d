"""The script knows every form of a link to the bot, and tells pages that open it themselves.

After ktgbotapi#768 (tg:// bot links), aiogram-3-guide#114 (telegram.dog) and awesome-ton#10. The
forms are those of https://core.telegram.org/api/links; what a real browser makes of them is in
tests/web/test_landing_browser.py. Here the form that the script looks for is read out of it.
"""

from __future__ import annotations

import re

import pytest

from gp_aiogram.web.links import BotLinks
from gp_aiogram.web.script import gp_js

SCRIPT = gp_js(BotLinks("my_bot"))


def form() -> re.Pattern[str]:
    """Return the expression of the script, which means the same in Python."""
    found = re.search(r"RegExp\(`(.*?)`\+`(.*?)`", SCRIPT)
    assert found
    source = (found[1] + found[2]).replace("\\\\", "\\")
    return re.compile(
        source.replace('${plain.split("/")[2]}', "t.me").replace("${bot}", "my_bot"),
        re.IGNORECASE,
    )


@pytest.mark.parametrize(
    "link",
    [
        "https://t.me/my_bot",
        "http://t.me/my_bot",
        "https://t.me/My_Bot/",
        "https://www.t.me/my_bot",
        "https://telegram.me/my_bot",
        "https://telegram.dog/my_bot",
        "https://my_bot.t.me",
        "https://my_bot.t.me/",
        "https://t.me/my_bot/app",
        "https://t.me/my_bot?startapp",
        "tg://resolve?domain=my_bot",
        "tg://resolve?domain=my_bot&start",
        "tg:resolve?start=&domain=my_bot",
    ],
)
def test_a_link_to_the_bot_is_known(link: str) -> None:
    assert form().match(link)


@pytest.mark.parametrize(
    "link",
    [
        "https://t.me/my_bot2",
        "https://t.me/s/my_bot",
        "https://t.me.evil.example/my_bot",
        "https://evil.example/t.me/my_bot",
        "https://other.t.me/my_bot.t.me",
        "tg://resolve?domain=my_bot2",
        "tg://resolve?x=domain=my_bot",
        "tg://join?domain=my_bot",
    ],
)
def test_another_link_is_not(link: str) -> None:
    assert not form().match(link)


def test_a_page_that_opens_the_bot_itself_has_a_function_to_ask() -> None:
    assert "gpLink=" in SCRIPT
