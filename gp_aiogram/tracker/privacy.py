"""Respects what users want: stops recording them, and forgets them."""

from __future__ import annotations

from dataclasses import replace

from gp_aiogram.model.event import validate_telegram_id
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.stores.records import Change, DeliveryFilter
from gp_aiogram.tracker.journals import Journals
from gp_aiogram.tracker.pages import every_page

#: Reason of a delivery that an opt-out has cancelled.
OPTED_OUT = "the user opted out before it was sent"

#: What an opt-out cancels: what is pending, and what is held, which a request that is under way
#: may make pending again.
_UNDELIVERED = (
    DeliveryFilter(states=frozenset({"pending"})),
    DeliveryFilter(states=frozenset({"dead"}), maybe_delivered=True),
)


class Privacy:
    """Carries out opt-outs and erasure.

    :param store: holds everything about a user.
    :param journals: hold clicks that the store does not know yet.
    """

    def __init__(self, store: Store, journals: Journals) -> None:
        self._store = store
        self._journals = journals

    async def opt_out(self, telegram_id: int) -> None:
        """Let nothing more be recorded of a user, and cancel what was not delivered yet.

        :raises StoreError: when the store failed.
        """
        key = opt_out_key(validate_telegram_id(telegram_id))
        await self._store.outbox.add_keys([key])
        for undelivered in _UNDELIVERED:
            await self._cancel(replace(undelivered, telegram_id=telegram_id))

    async def opt_in(self, telegram_id: int) -> None:
        """Record a user again. Does nothing when they never opted out.

        :raises StoreError: when the store failed.
        """
        key = opt_out_key(validate_telegram_id(telegram_id))
        await self._store.outbox.drop_keys([key])

    async def forget(self, telegram_id: int) -> None:
        """Erase a user's clicks, traits, touches and events.

        Clicks go before the touches that lead to them, so that whoever forgets again after a
        crash still finds them.

        :raises StoreError: when the store failed; forget again.
        """
        sessions = self._store.sessions
        history = await sessions.history(validate_telegram_id(telegram_id))
        session_ids = {touch.session_id for touch in history}
        await self._erase_profile(telegram_id, session_ids)
        if late := await sessions.erase(telegram_id) - session_ids:
            await self._erase_profile(telegram_id, late)
        # Last, so that what was recorded in the meantime goes, too: it knows what was known.
        outbox, of_user = self._store.outbox, DeliveryFilter(telegram_id=telegram_id)
        await every_page(lambda limit: outbox.erase(of_user, limit=limit))

    async def _erase_profile(self, telegram_id: int, session_ids: set[str]) -> None:
        """Erase traits, and the clicks that no other user came by: a click goes with its last."""
        shared = await self._store.sessions.shared(telegram_id, session_ids)
        await self._journals.erase_clicks(session_ids - shared)
        await self._store.profiles.erase(telegram_id, session_ids - shared)

    async def _cancel(self, undelivered: DeliveryFilter) -> None:
        outbox, opted_out = self._store.outbox, Change("skipped", OPTED_OUT)
        await every_page(
            lambda limit: outbox.transition(undelivered, opted_out, limit=limit),
        )
