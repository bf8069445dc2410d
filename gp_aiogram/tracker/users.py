"""The part of a tracker that knows users: their touches, clicks and traits."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from gp_aiogram.errors import EventError, short_repr
from gp_aiogram.identity.init_data import validate_init_data
from gp_aiogram.identity.traits import from_contact, from_user, prepared
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import validate_moment, validate_telegram_id
from gp_aiogram.model.session import SOURCES, Session, Source
from gp_aiogram.tracker.base import TrackerBase

#: Random bytes in a session id. As digits they pass the grammars that bots have, and with their
#: prefix they fit into the 32 characters of an invite link's name.
_SESSION_ENTROPY = 14


class Users(TrackerBase):
    """Keeps what is known of users."""

    async def capture(
        self,
        telegram_id: int,
        payload: str,
        *,
        bot_id: int | None = None,
        source: Source = "manual",
        at: datetime | None = None,
    ) -> Session | None:
        """Keep a touch of a user.

        :param payload: what came with the deep link.
        :param bot_id: None means whichever bot of this store knows the user.
        :param at: when it happened, with time zone; now when None.
        :return: None when the payload holds no session, or the user opted out.
        :raises EventError: when the user or the source makes no sense.
        :raises StoreError: when the store failed.
        """
        if source not in SOURCES:
            msg = f"source must be one of {', '.join(sorted(SOURCES))}, not {short_repr(source)}"
            raise EventError(msg)
        session_id = self.attribution.session_id(payload)
        if session_id is None:
            return None
        with self._enrichment.arrivals.arriving(validate_telegram_id(telegram_id)):
            return await self._touched(
                telegram_id, session_id, payload, bot_id=bot_id, source=source, at=at
            )

    async def capture_invite(
        self,
        telegram_id: int,
        link: str,
        *,
        name: str | None = None,
        bot_id: int | None = None,
        source: Source = "invite",
        at: datetime | None = None,
    ) -> Session | None:
        """Keep the touch of a user who came by an invite link; see :attr:`Tracker.invites`.

        :param link: the invite link.
        :param name: its name, which carries a session if the link was made so.
        :return: None when the link stands for no session, or the user opted out.
        :raises EventError: when the user makes no sense.
        :raises StoreError: when the store failed.
        """
        with self._enrichment.arrivals.arriving(validate_telegram_id(telegram_id)):
            session_id = await self.invites.session_id(link, name)
            if session_id is None:
                return None
            payload = name or session_id
            return await self._touched(
                telegram_id, session_id, payload, bot_id=bot_id, source=source, at=at
            )

    async def capture_init_data(
        self,
        token: str,
        init_data: str,
        *,
        max_age: timedelta | float = timedelta(hours=24),
    ) -> Session | None:
        """Keep the touch of a user who opened a Mini App by a ``?startapp=…`` link.

        :param token: of the bot whose Mini App it is; Telegram signs with it.
        :param init_data: ``Telegram.WebApp.initData`` as it is.
        :param max_age: older data is refused, since whoever got hold of it could use it for ever;
            a timedelta, or seconds.
        :return: None when there was no ``startapp``, or it holds no session.
        :raises EventError: when the data is forged, another bot's, too old, from the future or
            malformed; the text holds neither token nor data.
        :raises StoreError: when the store failed.
        """
        opening = validate_init_data(token, init_data, now=self._enrichment.now(), max_age=max_age)
        if opening.start_param is None:
            return None
        return await self.capture(
            opening.telegram_id,
            opening.start_param,
            bot_id=opening.bot_id,
            source="startapp",
            at=opening.auth_date,
        )

    async def register_click(self, click: Click, session_id: str | None = None) -> str:
        """Keep what a landing page saw of a click; put the result into ``?start=``.

        :param session_id: made anew, and impossible to guess, when None.
        :raises EventError: when no deep link can carry the session id, or a click has it already.
        :raises StoreError: when the store failed.
        """
        if session_id is None:
            session_id = f"gp_{secrets.token_hex(_SESSION_ENTROPY)}"
        if self.attribution.session_id(session_id) != session_id:
            msg = f"no deep link of this bot can carry the session id {short_repr(session_id)}"
            raise EventError(msg)
        if not await self._profiles.add_click(session_id, click.with_fbc()):
            msg = f"there is a click with the session id {short_repr(session_id)} already"
            raise EventError(msg)
        return session_id

    async def identify(
        self,
        telegram_id: int,
        *,
        user: object = None,
        contact: object = None,
        **traits: object,
    ) -> None:
        """Keep what is known of a user, for the platforms to find him by.

        Everything is normalised and hashed, as each platform wants it, before it is stored. A
        value that cannot be used is left out.

        :param user: Telegram's own ``User``, if its names and language shall be used.
        :param contact: a ``Contact`` that the user has shared of himself; somebody else's is
            left out.
        :param traits: ``email``, ``phone`` (with country code), ``first_name``, ``last_name``,
            ``gender``, ``birthday``, ``city``, ``state``, ``zip_code``, ``country``,
            ``external_id``, ``lead_id``.
        :raises EventError: when a trait has another name.
        :raises StoreError: when the store failed.
        """
        validate_telegram_id(telegram_id)
        if await self._opted_out(telegram_id):
            return
        known = {**from_user(user), **from_contact(contact, telegram_id), **traits}
        await self._profiles.add_traits(telegram_id, prepared(known))

    async def session(
        self,
        telegram_id: int,
        bot_id: int | None = None,
        *,
        at: datetime | None = None,
    ) -> Session | None:
        """Return the session that counts for a user, by the attribution policy.

        :param bot_id: None means whichever bot of this store knows the user.
        :param at: when it shall count, with time zone; now when None.
        """
        return await self._enrichment.session(telegram_id, bot_id, at)

    async def _touched(
        self,
        telegram_id: int,
        session_id: str,
        payload: str,
        *,
        bot_id: int | None,
        source: Source,
        at: datetime | None,
    ) -> Session | None:
        moment = self._enrichment.now() if at is None else validate_moment("at", at)
        if await self._opted_out(telegram_id):
            return None
        if bot_id is None:
            bot_id = await self._enrichment.bot_of(telegram_id)
        session = Session(bot_id, telegram_id, session_id, source, moment, payload)
        await self._sessions.add_session(session)
        self.counts["captured"] += 1
        return session
