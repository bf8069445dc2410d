"""The part of a tracker that respects what users want to be known of them."""

from __future__ import annotations

from gp_aiogram.delivery.lane import OPTED_OUT
from gp_aiogram.model.event import validate_telegram_id
from gp_aiogram.stores.keys import opt_out_key
from gp_aiogram.tracker.base import TrackerBase
from gp_aiogram.tracker.pruning import prune


class Privacy(TrackerBase):
    """Stops recording a user, and forgets him."""

    async def opt_out(self, telegram_id: int) -> None:
        """Record nothing more of a user, whatever bot he talks to, until he opts in again.

        What waits for delivery is not sent. What is stored stays: see :meth:`forget`.

        :raises StoreError: when the store failed.
        """
        validate_telegram_id(telegram_id)
        await self._outbox.add_keys([opt_out_key(telegram_id)])
        await self._outbox.cancel_user(telegram_id, OPTED_OUT)

    async def opt_in(self, telegram_id: int) -> None:
        """Record a user again; harmless when he never opted out.

        :raises StoreError: when the store failed.
        """
        await self._outbox.drop_keys([opt_out_key(validate_telegram_id(telegram_id))])

    async def forget(self, telegram_id: int) -> None:
        """Erase a user's sessions, clicks, traits and events, delivered or not.

        Once-keys stay, and the wish of a user who opted out, as digests that name nobody: a first
        deposit counts once all the same. What destinations have got is theirs to erase.

        :raises StoreError: when the store failed; forget again.
        """
        validate_telegram_id(telegram_id)
        # Kept until their clicks are erased: the next try finds no touches to tell them.
        session_ids = self._unerased.setdefault(telegram_id, set())
        session_ids |= await self._sessions.forget_sessions(telegram_id)
        await self._profiles.forget_profile(telegram_id, session_ids)
        self._unerased.pop(telegram_id, None)
        # Last, so that what was recorded in the meantime goes, too: it knows what was known.
        await self._outbox.forget_events(telegram_id)

    async def prune(self) -> int:
        """Erase what :attr:`retention` keeps no longer, and return how many rows were.

        A started tracker does so every hour.

        :raises StoreError: when the store failed.
        """
        now = self._enrichment.now()
        return await prune(self.retention, self._sessions, self._profiles, self._outbox, now)
