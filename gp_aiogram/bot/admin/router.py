"""A router for those who run a bot: ``/gp``, its buttons, and alerts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import timedelta, timezone, tzinfo
from typing import Any

from aiogram import Bot, Dispatcher, F, Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiogram.types import BufferedInputFile, CallbackQuery, Message

from gp_aiogram.bot.admin.buttons import Press, buttons
from gp_aiogram.bot.admin.conditions import Alerts
from gp_aiogram.bot.admin.messenger import Messenger
from gp_aiogram.bot.admin.overview import Overview, read_overview
from gp_aiogram.bot.admin.pictures import picture_of
from gp_aiogram.bot.admin.texts import overview_text
from gp_aiogram.bot.admin.watch import Watch
from gp_aiogram.errors import ConfigurationError, EventError, StoreError, short_repr
from gp_aiogram.model.event import validate_telegram_id
from gp_aiogram.tracker import Tracker

logger = logging.getLogger("gp_aiogram.admin")

#: Characters of a picture's caption (Bot API, ``sendPhoto``); markup does not count.
_CAPTION = 1024

#: Seconds for the store.
_PATIENCE = 20.0

#: What reading the figures may end in.
_UNREAD = (StoreError, asyncio.TimeoutError)

_AWAY = "The store does not answer now. Handlers go on: what they record waits in the journal."


def admin_router(
    tracker: Tracker,
    *,
    admins: Collection[int],
    backlog: timedelta = timedelta(hours=1),
    zone: tzinfo = timezone.utc,
    command: str = "gp",
    bot: Bot | None = None,
    check_every: float = 30.0,
    cured_after: timedelta = timedelta(minutes=5),
) -> Router:
    """Return a router that shows figures, alerts and buttons to admins only.

    Include it before the bot's other routers. It ignores everyone else, and groups: their updates
    go on to the other routers.

    :param admins: Telegram ids. Each admin must have started the bot, because bots cannot write
        first.
    :param backlog: alert when events have waited for longer than this.
    :param zone: where a day begins and ends.
    :param command: the command that shows the figures, without the slash.
    :param bot: sends the alerts; needed behind a webhook, unless
        ``setup_application(..., bot=bot)`` tells which one it is.
    :param check_every: seconds between two checks of the destinations.
    :param cured_after: a problem must be gone for this long before it is reported as cured.
    :raises ConfigurationError: when an argument is invalid.
    """
    _validate(admins, backlog, check_every, cured_after)
    messenger = Messenger(admins, time.monotonic)
    alerts = Alerts(time.monotonic, cured_after.total_seconds())
    watch = Watch(tracker, messenger, alerts, backlog=backlog.total_seconds(), every=check_every)
    desk = _Desk(tracker, messenger, zone)
    router = Router(name="gp_aiogram admin")

    async def start(**data: Any) -> None:
        # Polling tells all bots, a webhook one or none.
        told = [bot, *data.get("bots", ()), data.get("bot")]
        known = [each for each in told if each is not None]
        if not known:
            logger.warning(
                "no alerts until an admin sends /%s: give admin_router bot=...", command
            )
        if isinstance(dispatcher := data.get("dispatcher"), Dispatcher):
            _stop_first(dispatcher, watch.stop)
        watch.start(known)

    router.startup.register(start)
    router.shutdown.register(watch.stop)
    theirs = F.from_user.id.in_(frozenset(admins))
    router.message.register(desk.show, theirs, F.chat.type == "private", Command(command))
    router.callback_query.register(
        desk.press, theirs, F.message.chat.type == "private", Press.filter()
    )
    return router


def _stop_first(dispatcher: Dispatcher, stop: Callable[[], Awaitable[None]]) -> None:
    """Stop before the tracker closes its store: routers shut down after their dispatcher."""
    handlers = dispatcher.shutdown.handlers
    if stop not in [handler.callback for handler in handlers]:
        dispatcher.shutdown.register(stop)
        handlers.insert(0, handlers.pop())


class _Desk:
    """Answers an admin's command and buttons."""

    def __init__(self, tracker: Tracker, messenger: Messenger, zone: tzinfo) -> None:
        self._tracker = tracker
        self._messenger = messenger
        self._zone = zone

    async def show(self, message: Message, bot: Bot) -> None:
        """Show the figures."""
        self._meet(message.chat.id, bot)
        try:
            overview = await self._look()
        except _UNREAD:
            logger.warning("an admin is not answered: the store does not", exc_info=True)
            await message.answer(_AWAY)
            return
        await self._send(message, overview)

    async def press(self, call: CallbackQuery, callback_data: Press, bot: Bot) -> None:
        """Do what a button says."""
        self._meet(call.from_user.id, bot)
        try:
            names = (await self._tracker.stats()).destinations
            done = await self._do(callback_data, callback_data.destination(names))
        except StoreError:
            logger.warning("a button did nothing: the store is away", exc_info=True)
            done = "The store does not answer now: nothing was done."
        with suppress(TelegramAPIError):  # pressed too long ago: the figures tell as well
            await call.answer(done)
        if isinstance(call.message, Message):
            await self._refresh(call.message)

    async def _look(self) -> Overview:
        """Read the figures.

        :raises StoreError: when the store failed.
        :raises asyncio.TimeoutError: when it hangs.
        """
        return await asyncio.wait_for(read_overview(self._tracker, self._zone), _PATIENCE)

    def _meet(self, admin: int, bot: Bot) -> None:
        self._messenger.reached(admin)
        self._messenger.learn([bot])

    async def _do(self, press: Press, name: str | None) -> str:
        """Do it, and return what to tell."""
        if name is None:
            return "This destination is not there any more."
        if press.action == "replay":
            count = await self._tracker.replay(name)
            logger.info("an admin has %d dead letters of %s replayed", count, name)
            return f"{count} replayed." if count else "There was nothing to replay."
        try:
            resumed = self._tracker.resume(name)
        except ConfigurationError:
            resumed = False
        logger.info("an admin resumes %s%s", name, "" if resumed else ", which waits for nothing")
        return f"{name} is tried now." if resumed else f"{name} does not wait."

    async def _send(self, message: Message, overview: Overview) -> None:
        text, keyboard = overview_text(overview), buttons(overview.destinations)
        picture = await picture_of(overview)
        if picture is None:
            await message.answer(text, parse_mode="HTML", reply_markup=keyboard)
            return
        photo = BufferedInputFile(picture, "today.png")
        if len(text) <= _CAPTION:
            await message.answer_photo(
                photo, caption=text, parse_mode="HTML", reply_markup=keyboard
            )
            return
        await message.answer_photo(photo)
        await message.answer(text, parse_mode="HTML", reply_markup=keyboard)

    async def _refresh(self, message: Message) -> None:
        """Show below a pressed button how things are now; a picture stays as it is."""
        try:
            overview = await self._look()
            text, keyboard = overview_text(overview), buttons(overview.destinations)
            if message.photo:
                await message.edit_caption(caption=text, parse_mode="HTML", reply_markup=keyboard)
            else:
                await message.edit_text(text, parse_mode="HTML", reply_markup=keyboard)
        except (*_UNREAD, TelegramAPIError) as error:
            # Telegram refuses an edit that changes nothing.
            logger.debug("the figures below a button stay as they were", exc_info=error)


def _validate(admins: object, backlog: object, check_every: float, cured_after: object) -> None:
    if isinstance(admins, (str, bytes)) or not isinstance(admins, Collection) or not admins:
        msg = (
            "admin_router(admins=...) wants Telegram ids, such as {123456789}, not "
            f"{short_repr(admins)}"
        )
        raise ConfigurationError(msg)
    try:
        for admin in admins:
            validate_telegram_id(admin)
    except EventError as error:
        msg = f"admin_router(admins=...): {error}"
        raise ConfigurationError(msg) from None
    for name, value in (("backlog", backlog), ("cured_after", cured_after)):
        if not isinstance(value, timedelta) or value < timedelta(0):
            msg = f"admin_router({name}=...) must be a timedelta, not {short_repr(value)}"
            raise ConfigurationError(msg)
    if not check_every > 0:
        msg = f"admin_router(check_every=...) must be seconds, not {short_repr(check_every)}"
        raise ConfigurationError(msg)
