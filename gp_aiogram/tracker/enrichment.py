"""Completes a draft with what the store knows of its user: bot, session, click and traits."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.identity.traits import merged, split_off
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.model.session import Attribution, Session, SessionQuery, pick
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.keys import OnceKey, opt_out_key
from gp_aiogram.stores.records import ContextQuery, UserContext
from gp_aiogram.tracker.bots import Bots
from gp_aiogram.tracker.journals import Journals
from gp_aiogram.tracker.pending_touches import PendingTouches
from gp_aiogram.tracker.request import Draft, NewTouch
from gp_aiogram.tracker.session_history import History

logger = logging.getLogger("gp_aiogram")


class Enriched(NamedTuple):
    """A draft's event with everything that is known.

    :param session: the touch that counts; None when there is none, or the caller named a session.
    :param keys: those of the once-keys in question that are known.
    """

    event: Event
    session: Session | None
    keys: Collection[OnceKey]


class Enrichment:
    """Knows who a user is, as far as the store does.

    A session or profile that cannot be read costs no event. A bot that cannot be found out does,
    because a user's once-key depends on it; so does an opt-out that cannot be read.

    :param history: resolves sessions from elsewhere.
    :param journals: hold touches that the store does not know yet.
    :param phone_region: country of phone numbers without a country code.
    :param counts: failures are counted here.
    """

    def __init__(
        self,
        *,
        store: Store,
        attribution: Attribution,
        bots: Bots,
        pending: PendingTouches,
        journals: Journals,
        history: History,
        phone_region: str | None,
        counts: Counter[TrackerCount],
    ) -> None:
        self._store = store
        self._attribution = attribution
        self._bots = bots
        self._pending = pending
        self._journals = journals
        self._history = history
        self._phone_region = phone_region
        self._counts = counts
        self._is_callers = False

    def within(self, store: Store) -> Enrichment:
        """Return the same for a store that works in a transaction of the caller's."""
        other = copy(self)
        other._store = store  # noqa: SLF001 - of this class
        other._is_callers = True  # noqa: SLF001
        return other

    async def with_bot(self, draft: Draft) -> Draft:
        """Return the draft with the bot that knows the user, where the caller named none.

        :raises StoreError: when the store failed.
        """
        event = draft.event
        if draft.names_bot:
            return draft
        await self._pending.wait(event.telegram_id)
        bot_id = await self.bot_of(event.telegram_id)
        return draft._replace(event=replace(event, bot_id=bot_id))

    async def enrich(self, draft: Draft, keys: Collection[OnceKey] = ()) -> Enriched | None:
        """Complete a draft; what the caller gave takes precedence.

        :param keys: once-keys to look up on the way.
        :return: None when the user has opted out.
        :raises StoreError: when the store failed.
        """
        event = draft.event
        if self._pending.has(event.telegram_id):
            await self._pending.wait(event.telegram_id)
        opt_out = opt_out_key(event.telegram_id)
        until = event.event_time if draft.is_timed else None
        touch = self._query(event.telegram_id, event.bot_id, event.event_time, until)
        # Before the store is read: what leaves the journal meanwhile is in the store by then.
        waiting = await self._waiting_touches(event)
        query = ContextQuery(touch, event.session_id, (opt_out, *keys))
        context = await self._store.load_context(query)
        if waiting:
            context = await self._with_touches(waiting, touch, context)
        if len(self._journals.touches) and context.profile.click is None:
            context = await self._with_click(event, context)
        if context.failures:
            self._report(event.telegram_id, context)
        if opt_out in context.keys:
            return None
        if event.session_id is None and self._history.is_there:
            session = await self._history.find(touch, context.session)
            context = await self._with_session(session, touch, context)
        return Enriched(self._complete(event, context), context.session, context.keys)

    async def session(
        self,
        telegram_id: int,
        bot_id: int | None,
        moment: datetime,
        until: datetime | None,
    ) -> Session | None:
        """Return the touch that counts at a moment.

        :param until: leaves out later touches. None where the moment is "now": it comes from this
            machine's clock and the time of a touch from Telegram's, which may be ahead.
        """
        await self._pending.wait(telegram_id)
        query = self._query(telegram_id, bot_id, moment, until)
        return await self._history.find(query, await self._store.find_session(query))

    async def bot_of(self, telegram_id: int) -> int | None:
        """Find the bot that knows a user: by a touch, by an event, or because it is the only one.

        :raises StoreError: when the store failed.
        """
        history = await self._store.sessions.history(telegram_id)
        if history and history[-1].bot_id is not None:
            return history[-1].bot_id
        bot_id = await self._store.outbox.bot_of(telegram_id)
        return self._bots.only() if bot_id is None else bot_id

    async def remember(self, event: Event) -> None:
        """Store the session that a caller has named as a touch, so that later events find it."""
        if event.session_id is None:
            return
        telegram_id, bot_id, moment = event.telegram_id, event.bot_id, event.event_time
        try:
            last = await self._store.find_session(
                SessionQuery(telegram_id, bot_id, moment - self._attribution.window, moment)
            )
            if last is None or last.session_id != event.session_id:
                named = event.session_id
                touch = Session(bot_id, telegram_id, named, "manual", moment, named)
                await self._store.sessions.add(touch)
        except Exception:
            if self._is_callers:
                raise  # their transaction has failed, and with it what was recorded
            logger.exception("the session of user %d could not be stored", telegram_id)
            self._counts["session_errors"] += 1

    def pick_waiting(self, waiting: Sequence[NewTouch], bot_id: int | None) -> Session | None:
        """Return the touch that counts among those that wait in the journal.

        A touch of the bot's own links does not, since the store may know one of an ad.
        """
        touches = [new.session for new in waiting if not self._attribution.is_own(new.session)]
        if not touches:
            return None
        latest = touches[-1]
        return pick(touches, self._query(latest.telegram_id, bot_id, latest.at, None))

    async def _waiting_touches(self, event: Event) -> list[NewTouch]:
        """Return the user's touches that the store has not taken yet, if a touch is looked for."""
        if event.session_id is not None or not len(self._journals.touches):
            return []
        return await self._journals.touches_of(event.telegram_id)

    async def _with_touches(
        self,
        waiting: Sequence[NewTouch],
        query: SessionQuery,
        context: UserContext,
    ) -> UserContext:
        """Consider touches that wait in the journal beside the one that the store found."""
        stored = [] if context.session is None else [context.session]
        touches = [*stored, *(new.session for new in waiting)]
        session = pick(sorted(touches, key=lambda touch: touch.at), query)
        return await self._with_session(session, query, context, waiting)

    async def _with_session(
        self,
        session: Session | None,
        query: SessionQuery,
        context: UserContext,
        waiting: Sequence[NewTouch] = (),
    ) -> UserContext:
        """Put another session, with its click, in the place of the one that the store found."""
        if session is None or session == context.session:
            return context
        try:
            profile = await self._store.profiles.profile(query.telegram_id, session.session_id)
        except Exception:  # noqa: BLE001 - half of the store is away
            profile = replace(context.profile, click=None)
        if profile.click is None:
            profile = replace(profile, click=_click_of(session, waiting))
        return context._replace(session=session, profile=profile)

    async def _with_click(self, event: Event, context: UserContext) -> UserContext:
        """Consider a click that waits in the journal, or has left it since the store was read."""
        session = context.session
        session_id = event.session_id if session is None else session.session_id
        if session_id is None:
            return context
        try:
            click = await self._journals.click_of(session_id)
            if click is None:
                found = await self._store.profiles.profile(event.telegram_id, session_id)
                click = found.click
        except Exception:  # noqa: BLE001 - half of the store is away, or the journal's disk
            return context
        return context._replace(profile=replace(context.profile, click=click))

    def _query(
        self,
        telegram_id: int,
        bot_id: int | None,
        moment: datetime,
        until: datetime | None,
    ) -> SessionQuery:
        policy = self._attribution
        return SessionQuery(
            telegram_id,
            bot_id,
            moment - policy.window,
            until,
            policy.touch == "first",
            policy.preferred,
            policy.own_links,
        )

    def _complete(self, event: Event, context: UserContext) -> Event:
        session = context.session
        user_data, contacts = split_off(event.user_data, phone_region=self._phone_region)
        return Event(
            event.event_id,
            event.name,
            event.event_time,
            event.telegram_id,
            event.bot_id,
            event.session_id if session is None else session.session_id,
            event.value,
            event.currency,
            user_data,
            context.profile.click,
            merged(merged(context.profile.traits, event.traits), contacts),
            self._bots.username(event.bot_id),
        )

    def _report(self, telegram_id: int, context: UserContext) -> None:
        for part, error in context.failures.items():
            logger.error(
                "the %s of user %d could not be read, the event is recorded without it",
                part,
                telegram_id,
                exc_info=error,
            )
            self._counts[_FAILURES[part]] += 1


def _click_of(session: Session, waiting: Sequence[NewTouch]) -> Click | None:
    """Return what the payload of a touch that waits says of its click."""
    for new in waiting:
        if new.session == session and new.ids:
            return Click.of_ids(session.at, new.ids)
    return None


#: What a part that could not be read is counted as.
_FAILURES: dict[str, TrackerCount] = {"session": "session_errors", "profile": "profile_errors"}
