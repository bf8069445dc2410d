"""Sends messages to admins, and survives what Telegram answers."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.types import InlineKeyboardMarkup

logger = logging.getLogger("gp_aiogram.admin")

#: Seconds for one call: nobody waits for it.
_PATIENCE = 15

#: Messages that are kept for an admin whom Telegram does not let through for the moment.
_OWED = 20

#: Answers after which there is no use in trying again: the admin has not started the bot, or has
#: blocked it.
_UNREACHABLE = (TelegramBadRequest, TelegramForbiddenError, TelegramUnauthorizedError)


_Answer = Literal["sent", "later", "unreachable"]


class _Message(NamedTuple):
    text: str
    buttons: InlineKeyboardMarkup | None


class Messenger:
    """Tells admins by whichever bot reaches them; what fails for the moment is sent later.

    :param admins: Telegram ids.
    :param monotonic: seconds on a clock that never goes back.
    :ivar bots: through which to send; the first that reaches an admin does.
    """

    def __init__(self, admins: Iterable[int], monotonic: Callable[[], float]) -> None:
        self.bots: list[Bot] = []
        self._owed: dict[int, deque[_Message]] = {
            admin: deque(maxlen=_OWED) for admin in sorted(admins)
        }
        self._monotonic = monotonic
        self._not_before = 0.0
        self._unreachable: set[int] = set()

    def learn(self, bots: Sequence[Bot]) -> None:
        """Send by these bots as well."""
        self.bots += [bot for bot in bots if bot not in self.bots]

    def reached(self, admin: int) -> None:
        """Note that an admin writes to the bot, so that they can be written to."""
        self._unreachable.discard(admin)

    async def tell(self, text: str, buttons: InlineKeyboardMarkup | None = None) -> bool:
        """Tell all admins.

        :return: False when nobody was reached: tell them again later.
        """
        message = _Message(text, buttons)
        late = [admin for admin in self._owed if not await self._send(admin, message)]
        if len(late) == len(self._owed):
            return False
        for admin in late:
            self._owed[admin].append(message)
        return True

    async def catch_up(self) -> None:
        """Send what could not be sent before."""
        for admin, owed in self._owed.items():
            while owed and await self._send(admin, owed[0]):
                owed.popleft()

    async def _send(self, admin: int, message: _Message) -> bool:
        if admin in self._unreachable or self._monotonic() < self._not_before:
            return False
        for bot in self.bots:
            answer = await self._send_by(bot, admin, message)
            if answer != "unreachable":
                return answer == "sent"
        if self.bots:
            self._unreachable.add(admin)
            logger.warning(
                "admin %d gets no alerts: they must start the bot, and not block it. They are "
                "tried again once they have sent it a command",
                admin,
            )
        return False

    async def _send_by(self, bot: Bot, admin: int, message: _Message) -> _Answer:
        try:
            await bot.send_message(
                admin,
                message.text,
                parse_mode="HTML",
                reply_markup=message.buttons,
                request_timeout=_PATIENCE,
            )
        except TelegramRetryAfter as error:
            self._not_before = self._monotonic() + error.retry_after
            return "later"
        except _UNREACHABLE as error:
            logger.debug("admin %d is not reached: %s", admin, type(error).__name__)
            return "unreachable"
        except (TelegramAPIError, OSError, TimeoutError) as error:
            logger.info("alerts wait, Telegram answers: %s", type(error).__name__)
            return "later"
        return "sent"
