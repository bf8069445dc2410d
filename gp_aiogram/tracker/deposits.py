"""The part of a tracker that tells first deposits from later ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gp_aiogram.errors import EventError, short_repr
from gp_aiogram.model.event import FIRST_DEPOSIT, LATER_DEPOSIT, Event, validate_telegram_id
from gp_aiogram.tracker.recording import Events, order_of, user_key

#: Users marked in one transaction.
_MARKED = 2000


class Deposits(Events):
    """Records deposits as FTD or DEP."""

    async def deposit(
        self,
        *,
        telegram_id: int,
        value: object,
        bot_id: int | None = None,
        currency: str | None = None,
        user_data: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        event_id: str | None = None,
        event_time: datetime | None = None,
        once: str | int | None = None,
        to: str | Collection[str] | None = None,
        ftd_within: timedelta | None = None,
        ftd_needs_session: bool = False,
        renewal: bool = False,
    ) -> Event | None:
        """Record a deposit: ``FTD`` when it is the user's first (with this bot), else ``DEP``.

        The store decides it, so of any number of deposits at the same time one is the first. The
        other arguments are those of :meth:`track`.

        :param once: an order's id; reported again, a deposit stays what it was.
        :param ftd_within: the first deposit is an FTD only so long after the touch that counts.
        :param ftd_needs_session: the first deposit is an FTD only of a user with a session.
        :param renewal: it was made by no decision of the user, so it is never an FTD.
        :raises EventError: when no event can be built from this; nothing was recorded.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        named = self._named(to)
        order = order_of(once)
        if once == "user":
            msg = "once='user' would let one deposit through: give the order's id, or nothing"
            raise EventError(msg)
        _check_window(ftd_within)
        deposit = await self._completed(
            LATER_DEPOSIT,
            telegram_id=telegram_id,
            bot_id=bot_id,
            session_id=session_id,
            event_time=event_time,
            value=value,
            currency=currency,
            user_data=user_data,
            event_id=event_id,
        )
        if deposit is None:
            return None
        keys = [] if order is None else [f"key:deposit:{order}"]
        first = user_key(deposit.bot_id, telegram_id, FIRST_DEPOSIT)
        if not await self._outbox.known_keys([first, user_key(None, telegram_id, FIRST_DEPOSIT)]):
            is_ftd = not renewal and await self._may_be_ftd(
                deposit,
                event_time,
                ftd_within,
                needs_session=ftd_needs_session,
            )
            name = FIRST_DEPOSIT if is_ftd else LATER_DEPOSIT
            kept = await self._reviewed(replace(deposit, name=name))
            if kept is None or await self._accepted(kept, named, [*keys, first], order):
                return await self._remembered(kept, session_id)
        # Not the first, or another one was faster.
        kept = await self._keep(deposit, named, keys, order)
        return await self._remembered(kept, session_id)

    async def mark_deposited(
        self,
        telegram_ids: int | Iterable[int],
        *,
        bot_id: int | None = None,
    ) -> int:
        """Make known who has deposited before gp_aiogram was there: no FTD will come of them.

        :param telegram_ids: of one user or of many.
        :param bot_id: None means with any bot.
        :return: how many were not known yet.
        :raises EventError: when one of them is no user; nothing was kept.
        :raises StoreError: when the store failed; mark them again.
        """
        given = [telegram_ids] if isinstance(telegram_ids, int) else telegram_ids
        ids = sorted({validate_telegram_id(telegram_id) for telegram_id in given})
        keys = [user_key(bot_id, telegram_id, FIRST_DEPOSIT) for telegram_id in ids]
        # Piece by piece, so that events need not wait for all of them.
        pieces = [keys[start : start + _MARKED] for start in range(0, len(keys), _MARKED)]
        return sum([await self._outbox.add_keys(piece) for piece in pieces])

    async def _may_be_ftd(
        self,
        deposit: Event,
        event_time: datetime | None,
        within: timedelta | None,
        *,
        needs_session: bool,
    ) -> bool:
        """Tell whether the rules let a first deposit be an FTD.

        :param event_time: None when the caller gave no time of its own.
        """
        if within is None:
            return deposit.session_id is not None or not needs_session
        session = await self._enrichment.session(deposit.telegram_id, deposit.bot_id, event_time)
        if session is None or session.session_id != deposit.session_id:
            # A session that the caller has named is a touch of now.
            return deposit.session_id is not None
        return deposit.event_time - session.at <= within


def _check_window(within: object) -> None:
    if within is not None and (not isinstance(within, timedelta) or within <= timedelta(0)):
        msg = f"ftd_within must be a positive timedelta, not {short_repr(within)}"
        raise EventError(msg)
