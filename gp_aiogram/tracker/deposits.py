"""Tells first deposits from later ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gp_aiogram.model.event import FIRST_DEPOSIT, LATER_DEPOSIT, Event, validate_telegram_id
from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import Outbox, Store
from gp_aiogram.stores.keys import user_key
from gp_aiogram.tracker.enrichment import Enriched, Enrichment
from gp_aiogram.tracker.once_keys import deposit_guards, imported_depositor_key
from gp_aiogram.tracker.recording import Recording
from gp_aiogram.tracker.request import DepositRules, Draft, validate_bot_id

#: Users marked in one transaction, so that events need not wait for all of them.
_MARKED = 2000


class Deposits:
    """Records deposits as FTD or DEP.

    :param recording: takes events through their steps.
    :param enrichment: knows the touch of a session that the caller has named.
    :param outbox: decides which deposit is the first.
    """

    def __init__(self, recording: Recording, enrichment: Enrichment, outbox: Outbox) -> None:
        self._recording = recording
        self._enrichment = enrichment
        self._outbox = outbox

    def within(self, recording: Recording, store: Store) -> Deposits:
        """Return the same for a store that works in a transaction of the caller's.

        :param recording: for that store.
        """
        return Deposits(recording, self._enrichment.within(store), store.outbox)

    async def record(self, draft: Draft, rules: DepositRules) -> Event | None:
        """Record a deposit; of any number at the same time, one is the first.

        :param draft: a DEP.
        :raises EventError: when ``before_send`` makes no event of it; nothing was recorded.
        :raises StoreError: when the store failed; nothing was recorded.
        """
        with self._recording.observed(draft):
            return await self._record(draft, rules)

    async def _record(self, draft: Draft, rules: DepositRules) -> Event | None:
        recording = self._recording
        draft = await recording.with_bot(draft)
        event = draft.event
        first = user_key(event.bot_id, event.telegram_id, FIRST_DEPOSIT)
        imported = imported_depositor_key(event.telegram_id)
        enriched = await recording.enrich(draft, (first, imported))
        if enriched is None:
            return None
        admitted = deposit_guards(draft, enriched.event)
        if not enriched.keys and not rules.repeated:
            is_ftd = await self._may_be_ftd(draft, enriched, rules)
            name = FIRST_DEPOSIT if is_ftd else LATER_DEPOSIT
            deposit = await recording.review(replace(enriched.event, name=name))
            if deposit is None:
                return None
            result = await recording.accept(
                deposit, draft, admitted._replace(once=[*admitted.once, first])
            )
            if result != "duplicate":
                return deposit if recording.is_stored(result) else None
        # Not the first, or another one was faster.
        deposit = await recording.review(enriched.event)
        if deposit is None:
            return None
        result = await recording.accept(deposit, draft, admitted)
        return deposit if recording.is_stored(result) else None

    async def mark(self, telegram_ids: int | Iterable[int], bot_id: int | None) -> int:
        """Mark users as depositors: no FTD will come of them.

        :param bot_id: None means with any bot.
        :return: how many were not known yet.
        :raises EventError: when one of them is no user; nothing was stored.
        :raises StoreError: when the store failed; mark them again.
        """
        given = [telegram_ids] if isinstance(telegram_ids, int) else telegram_ids
        ids = sorted({validate_telegram_id(telegram_id) for telegram_id in given})
        bot = validate_bot_id(bot_id)
        keys = [user_key(bot, telegram_id, FIRST_DEPOSIT) for telegram_id in ids]
        pages = [keys[start : start + _MARKED] for start in range(0, len(keys), _MARKED)]
        return sum([await self._outbox.add_keys(page) for page in pages])

    async def _may_be_ftd(self, draft: Draft, enriched: Enriched, rules: DepositRules) -> bool:
        """Return whether the rules let a first deposit be an FTD."""
        deposit = enriched.event
        if rules.renewal:
            return False
        if deposit.session_id is None or rules.within is None:
            return deposit.session_id is not None or not (rules.needs_session or rules.within)
        touch = enriched.session or await self._named_touch(draft)
        # A session that is named for the first time is a touch of now.
        return touch is None or deposit.event_time - touch.at <= rules.within

    async def _named_touch(self, draft: Draft) -> Session | None:
        """Return the touch that counts, if it is the one that the caller has named."""
        event = draft.event
        until = event.event_time if draft.is_timed else None
        touch = await self._enrichment.session(
            event.telegram_id, event.bot_id, event.event_time, until
        )
        return touch if touch is not None and touch.session_id == event.session_id else None
