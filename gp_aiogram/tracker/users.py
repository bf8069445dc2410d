"""Stores what is known of users: their touches, clicks and traits."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.errors import EventError
from gp_aiogram.identity.init_data import validate_init_data
from gp_aiogram.identity.traits import (
    from_contact,
    from_order_info,
    from_user,
    left_out,
    prepared,
    usable,
)
from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import Clock
from gp_aiogram.model.event import (
    Traits,
    utc_from_timestamp,
    validate_moment,
    validate_telegram_id,
)
from gp_aiogram.model.session import (
    SOURCES,
    START_LENGTH,
    STARTAPP_LENGTH,
    Attribution,
    Session,
    Source,
)
from gp_aiogram.model.wording import describe
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.tracker.enrichment import Enrichment
from gp_aiogram.tracker.invites import Invites
from gp_aiogram.tracker.pending_touches import PendingTouches
from gp_aiogram.tracker.request import Arrival, NewClick, NewTouch, validate_bot_id

logger = logging.getLogger("gp_aiogram")

#: Random bytes in a session id. As digits they pass the grammars that bots have, and with their
#: prefix they fit into the 32 characters of an invite link's name.
_SESSION_ENTROPY = 14


class Identified(NamedTuple):
    """What you gave ``identify()``.

    :param traits: normalised and hashed.
    :param usable: names of what at least one platform can use.
    """

    traits: Traits
    usable: frozenset[str]


class Users:
    """Stores touches, clicks and traits.

    :param store: keeps them.
    :param enrichment: knows a user's bot.
    :param attribution: reads payloads.
    :param invites: knows the sessions of invite links.
    :param pending: is told of touches that are being stored.
    :param clock: gives touches without a time of their own the present one.
    :param phone_region: country of phone numbers without a country code.
    :param without_traits: names of destinations to which ``identify()`` means nothing.
    :param arrived: is told of each touch that is stored.
    :param counts: what happened is counted here.
    """

    def __init__(
        self,
        *,
        store: Store,
        enrichment: Enrichment,
        attribution: Attribution,
        invites: Invites,
        pending: PendingTouches,
        clock: Clock,
        phone_region: str | None,
        without_traits: Collection[str],
        arrived: Callable[[Session], Awaitable[None]],
        counts: Counter[TrackerCount],
    ) -> None:
        self._store = store
        self._enrichment = enrichment
        self._attribution = attribution
        self._invites = invites
        self._pending = pending
        self._clock = clock
        self._phone_region = phone_region
        self._without_traits = without_traits
        self._arrived = arrived
        self._told = False
        self._counts = counts

    def touch(
        self,
        telegram_id: int,
        payload: str,
        *,
        bot_id: int | None,
        source: Source,
        at: datetime | None,
    ) -> NewTouch | None:
        """Read the touch in a payload; None when it holds no session.

        :raises EventError: when the user, the source or the time is invalid.
        """
        if source not in SOURCES:
            sources = ", ".join(sorted(SOURCES))
            msg = f"source must be one of {sources}, not {describe(source)}"
            raise EventError(msg)
        longest = STARTAPP_LENGTH if source == "startapp" else START_LENGTH
        parsed = self._attribution.read(payload, longest=longest)
        if parsed is None:
            self._tell_no_session(telegram_id, payload)
            return None
        session = Session(
            bot_id=validate_bot_id(bot_id),
            telegram_id=validate_telegram_id(telegram_id),
            session_id=parsed.session_id,
            source=source,
            at=self._moment(at),
            payload=payload,
        )
        return NewTouch(session, parsed.ids)

    def _tell_no_session(self, telegram_id: int, payload: str) -> None:
        if not self._attribution.is_malformed(payload):
            logger.debug("the payload of user %s holds no session: it is not ours", telegram_id)
            return
        self._counts["malformed_payloads"] += 1
        logger.info(
            "the payload of user %s begins like a session but is none: it is too long, or has "
            "characters that do not belong there",
            telegram_id,
        )

    def arrival(
        self,
        telegram_id: int,
        link: str,
        name: str | None,
        *,
        bot_id: int | None,
        source: Source,
        at: datetime | None,
    ) -> Arrival:
        """Describe how a user came by an invite link.

        :raises EventError: when the user or the time is invalid.
        """
        return Arrival(
            bot_id=validate_bot_id(bot_id),
            telegram_id=validate_telegram_id(telegram_id),
            link=link,
            name=name,
            source=source,
            at=self._moment(at),
        )

    async def store_touch(self, new: NewTouch) -> Session | None:
        """Store a touch; None when the user has opted out.

        :raises StoreError: when the store failed.
        """
        with self._pending.track(new.session.telegram_id):
            touch = await self._store_touch(new)
        return await self._announce(touch)

    async def store_arrival(self, arrival: Arrival) -> Session | None:
        """Store the touch of an invite link; None when the link carries no session.

        :raises StoreError: when the store failed.
        """
        with self._pending.track(arrival.telegram_id):
            parsed = await self._invites.read(arrival.link, arrival.name)
            if parsed is None:
                return None
            payload = self._attribution.payload_of_link(arrival.link)
            touch = arrival.touch(parsed.session_id, payload)
            stored = await self._store_touch(NewTouch(touch, parsed.ids))
        return await self._announce(stored)

    async def capture_init_data(
        self,
        token: str,
        init_data: str,
        *,
        max_age: timedelta | float,
    ) -> Session | None:
        """Store the touch of a Mini App; see :meth:`gp_aiogram.Tracker.capture_init_data`."""
        launch = validate_init_data(token, init_data, now=self.now(), max_age=max_age)
        if launch.start_param is None:
            return None
        touch = self.touch(
            launch.telegram_id,
            launch.start_param,
            bot_id=launch.bot_id,
            source="startapp",
            at=launch.auth_date,
        )
        return None if touch is None else await self.store_touch(touch)

    def new_click(self, click: Click, session_id: str | None) -> NewClick:
        """Check a click, and give it a session id where the caller did not.

        :raises EventError: when no deep link can carry the session id.
        """
        if session_id is None:
            session_id = f"gp_{secrets.token_hex(_SESSION_ENTROPY)}"
        if self._attribution.session_id(session_id) != session_id:
            msg = f"no deep link of this bot can carry the session id: {describe(session_id)}"
            raise EventError(msg)
        return NewClick(session_id, click.normalized(self.now()))

    async def store_click(self, new: NewClick) -> str:
        """Store a click, and return its session id.

        :raises EventError: when there is a click with it already.
        :raises StoreError: when the store failed.
        """
        if not await self.store_click_again(new):
            msg = "there is a click with this session id already"
            raise EventError(msg)
        return new.session_id

    async def store_click_again(self, new: NewClick) -> bool:
        """Store a click unless an earlier try, whose end nobody has seen, has done so.

        :raises StoreError: when the store failed.
        """
        return await self._store.profiles.add_click(*new)

    def traits(
        self,
        telegram_id: int,
        *,
        user: object,
        contact: object,
        order_info: object,
        traits: Mapping[str, object],
    ) -> Identified:
        """Normalise and hash what somebody tells of a user; the log says what was left out.

        :raises EventError: when the user is invalid, or a trait has another name.
        """
        validate_telegram_id(telegram_id)
        told = {
            **from_user(user),
            **from_contact(contact, telegram_id),
            **from_order_info(order_info),
            **traits,
        }
        hashed = prepared(told, phone_region=self._phone_region)
        if useless := left_out(told, hashed):
            names = ", ".join(sorted(useless))
            logger.info("user %d: no platform can use %s", telegram_id, names)
        return Identified(hashed, usable(told, hashed))

    async def store_traits(self, telegram_id: int, traits: Traits) -> None:
        """Store traits, unless the user has opted out.

        :param traits: as :func:`~gp_aiogram.identity.traits.prepared` returns them.
        :raises StoreError: when the store failed.
        """
        if not await self._has_opted_out(telegram_id):
            await self._store.profiles.add_traits(telegram_id, traits)
            self._tell_who_ignores_traits()

    def _tell_who_ignores_traits(self) -> None:
        if self._without_traits and not self._told:
            self._told = True
            names = ", ".join(self._without_traits)
            logger.info("identify() does nothing for %s: it knows people by itself", names)

    async def session(
        self,
        telegram_id: int,
        bot_id: int | None,
        at: datetime | None,
    ) -> Session | None:
        """Return the touch that counts; see :meth:`gp_aiogram.Tracker.session`."""
        return await self._enrichment.session(telegram_id, bot_id, at or self.now(), at)

    def pick_waiting(
        self,
        waiting: Sequence[NewTouch],
        bot_id: int | None,
    ) -> Session | None:
        """Return the touch that counts among those that wait in the journal."""
        return self._enrichment.pick_waiting(waiting, bot_id)

    def now(self) -> datetime:
        """Return the present time, in UTC."""
        return utc_from_timestamp(self._clock.time())

    def _moment(self, at: datetime | None) -> datetime:
        return self.now() if at is None else validate_moment("at", at)

    async def _announce(self, touch: Session | None) -> Session | None:
        """Tell of a touch once nobody waits for it any more: what is told may record events."""
        if touch is not None:
            await self._arrived(touch)
        return touch

    async def _store_touch(self, new: NewTouch) -> Session | None:
        touch, ids = new
        if await self._has_opted_out(touch.telegram_id):
            return None
        if touch.bot_id is None:
            touch = replace(touch, bot_id=await self._enrichment.bot_of(touch.telegram_id))
        if ids:
            await self._store_ids(touch, ids)
        await self._store.sessions.add(touch)
        self._counts["captured"] += 1
        logger.info(
            "captured session %s of user %d (%s)",
            touch.session_id,
            touch.telegram_id,
            touch.source,
        )
        return touch

    async def _store_ids(self, touch: Session, ids: Mapping[str, str]) -> None:
        """Store the ids of a payload as the click of its session, if there is none yet."""
        click = Click.of_ids(touch.at, ids)
        profiles = self._store.profiles
        if await profiles.add_click(touch.session_id, click):
            return
        known = (await profiles.profile(touch.telegram_id, touch.session_id)).click
        if known is not None and click.click_ids().items() - known.click_ids().items():
            logger.warning(
                "session %s keeps the click that it has: the ids that the payload carries are "
                "left out",
                touch.session_id,
            )

    async def _has_opted_out(self, telegram_id: int) -> bool:
        if not await self._store.outbox.known_keys([opt_out_key(telegram_id)]):
            return False
        self._counts["opted_out"] += 1
        return True
