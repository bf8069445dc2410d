"""The scripted people of the Telegram stand-in, with all that they can do."""

from __future__ import annotations

from gp_aiogram.sandbox.telegram.buyers import Buyer
from gp_aiogram.sandbox.telegram.members import Member
from gp_aiogram.sandbox.telegram.mini_apps import MiniAppUser
from gp_aiogram.sandbox.telegram.talkers import Talker


class SandboxUser(Talker, Buyer, Member, MiniAppUser):
    """One person with a private chat with every bot; see :meth:`TelegramSandbox.user`.

    What is done to a bot takes ``bot_id``, by default the stand-in's own bot. :meth:`start`,
    :meth:`send`, :meth:`click` and :meth:`send_web_app_data` return the first message the bot
    sends or edits after the action. With ``expect_reply=False`` they return at once. A bot that
    stays silent is a :class:`TimeoutError` that tells what became of the update. What Telegram
    does not let a user do is a :class:`RefusedError`.

    :ivar messages: all messages from bots, oldest first, as they look now.
    :ivar answers: all answers to pressed buttons, oldest first.
    """
