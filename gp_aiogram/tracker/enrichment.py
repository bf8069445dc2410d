"""Completes an event with what the store knows of its user: bot, session, click and traits."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from datetime import datetime
from typing import Any

from gp_aiogram.identity.traits import merged, split_off
from gp_aiogram.model.event import Event, utc_from_timestamp
from gp_aiogram.model.session import Attribution, Session
from gp_aiogram.stores.contract import SplitStore, Store
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.stores.records import Known, Profile
from gp_aiogram.tracker.pending_touches import Arrivals

logger = logging.getLogger("gp_aiogram")


class Enrichment:
    """Knows who a user is, as far as the store does.

    A session or profile that cannot be read costs no event. A bot that cannot be found out does:
    the once-key of a user depends on it; so does a wish not to be recorded.

    :param counts: what goes wrong is counted here.
    """

    def __init__(
        self,
        store: Store | SplitStore,
        attribution: Attribution,
        counts: Counter[str],
    ) -> None:
        #: Bots whose updates came through here, with their usernames as far as aiogram has
        #: learned them. The only one stands in where none is named.
        self.bots: dict[int, str | None] = {}
        #: Touches that are being kept: what comes in at the same time waits for them.
        self.arrivals = Arrivals()
        #: The store, if all its parts are in one place.
        self.whole = store if isinstance(store, Store) else None
        self._sessions = store.sessions
        self._profiles = store.profiles
        self._outbox = store.outbox
        self._attribution = attribution
        self._counts = counts

    def now(self) -> datetime:
        """Return the time by the outbox's clock."""
        return utc_from_timestamp(self._outbox.clock.time())

    async def complete(
        self,
        event: Event,
        *,
        bot_id: int | None,
        session_id: str | None,
        event_time: datetime | None,
    ) -> Event | None:
        """Return the event with all that is known; what the caller gave stands.

        :param event_time: None when the caller gave no time of its own.
        :return: None when the user has opted out.
        """
        await self.arrivals.arrived(event.telegram_id)
        if bot_id is None:
            bot_id = await self.bot_of(event.telegram_id)
        known = await self._known(event, bot_id, session_id, event_time)
        return self.completed(event, known, bot_id, session_id)

    def completed(
        self,
        event: Event,
        known: Known,
        bot_id: int | None,
        session_id: str | None = None,
    ) -> Event | None:
        """Return the event with what is known; None when the user has opted out."""
        if known.keys:
            return None
        if known.session is not None:
            session_id = known.session.session_id
        user_data, contacts = split_off(event.user_data)
        return Event(
            event_id=event.event_id,
            name=event.name,
            event_time=event.event_time,
            telegram_id=event.telegram_id,
            bot_id=bot_id,
            session_id=session_id,
            value=event.value,
            currency=event.currency,
            user_data=user_data,
            click=known.profile.click,
            traits=merged(known.profile.traits, contacts),
            bot_username=None if bot_id is None else self.bots.get(bot_id),
        )

    async def remember(self, event: Event) -> None:
        """Keep the session that a caller has named, as a touch: later events know it, too."""
        if event.session_id is None:
            return
        touch = Session(
            bot_id=event.bot_id,
            telegram_id=event.telegram_id,
            session_id=event.session_id,
            source="manual",
            at=event.event_time,
            payload=event.session_id,
        )
        try:
            last = await self._sessions.find_session(
                event.telegram_id,
                event.bot_id,
                since=event.event_time - self._attribution.window,
                until=event.event_time,
            )
            if last is None or last.session_id != touch.session_id:
                await self._sessions.add_session(touch)
        except Exception:
            logger.exception("the session of user %d could not be kept", event.telegram_id)
            self._counts["session_errors"] += 1

    async def bot_of(self, telegram_id: int) -> int | None:
        """Find the bot that knows a user: by a touch, by an event, or because it is the only."""
        touch = await self._sessions.find_session(telegram_id, None)
        if touch is not None and touch.bot_id is not None:
            return touch.bot_id
        known = await self._outbox.bot_of(telegram_id)
        if known is None and len(self.bots) == 1:
            (known,) = self.bots
        return known

    async def _known(
        self,
        event: Event,
        bot_id: int | None,
        session_id: str | None,
        event_time: datetime | None,
    ) -> Known:
        """Return what the store knows; no session where the caller has named one."""
        telegram_id = event.telegram_id
        if self.whole is not None and session_id is None:
            # What fails is read once more part by part, so that the other parts are not lost.
            with suppress(Exception):
                which = self.which(event, event_time)
                return await self.whole.known(telegram_id, bot_id, **which)
        session = None
        if session_id is None:
            session = await self._readable_session(telegram_id, bot_id, event_time)
            session_id = None if session is None else session.session_id
        profile = await self._readable_profile(telegram_id, session_id)
        keys = await self._outbox.known_keys([opt_out_key(telegram_id)])
        return Known(session, profile, keys)

    def which(self, event: Event, event_time: datetime | None) -> dict[str, Any]:
        """Return what of its user is wanted for an event, as :meth:`Store.known` takes it."""
        which = self._which(event.event_time, event_time)
        which["keys"] = [opt_out_key(event.telegram_id)]
        return which

    async def _readable_session(
        self,
        telegram_id: int,
        bot_id: int | None,
        event_time: datetime | None,
    ) -> Session | None:
        try:
            return await self.session(telegram_id, bot_id, event_time)
        except Exception:
            # An event without its session is worth more than no event.
            logger.exception("the session of user %d could not be read", telegram_id)
            self._counts["session_errors"] += 1
            return None

    async def _readable_profile(self, telegram_id: int, session_id: str | None) -> Profile:
        try:
            return await self._profiles.profile(telegram_id, session_id)
        except Exception:
            logger.exception("what is known of user %d could not be read", telegram_id)
            self._counts["profile_errors"] += 1
            return Profile()

    async def session(
        self,
        telegram_id: int,
        bot_id: int | None,
        event_time: datetime | None,
    ) -> Session | None:
        """Find the touch that counts for an event; ``event_time`` None means now.

        Only an event with a time of its own is protected from later touches: "now" comes from this
        machine's clock and the time of a touch from Telegram's, which may be ahead.
        """
        await self.arrivals.arrived(telegram_id)
        which = self._which(event_time or self.now(), event_time)
        return await self._sessions.find_session(telegram_id, bot_id, **which)

    def _which(self, moment: datetime, until: datetime | None) -> dict[str, Any]:
        return {
            "first": self._attribution.touch == "first",
            "since": moment - self._attribution.window,
            "until": until,
            "preferred": self._attribution.preferred,
        }
