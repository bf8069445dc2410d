"""Starts and stops what a tracker runs: store, journal, courier, pruning."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gp_aiogram.delivery.courier import Courier
from gp_aiogram.errors import StoreError, StoreUnavailable
from gp_aiogram.stores.contract import Store
from gp_aiogram.tracker.background import Background
from gp_aiogram.tracker.intake import Intake
from gp_aiogram.tracker.journal_queue import PATIENCE, failure
from gp_aiogram.tracker.pruning import keep_pruning
from gp_aiogram.tracker.session_history import History

logger = logging.getLogger("gp_aiogram")

#: Seconds that the store gets to close, and pruning to end.
_CLOSING = 5.0


class LifeCycle:
    """What runs from :meth:`start` to :meth:`close`.

    :param delivers: whether the courier runs.
    :param prune: erases what is kept no longer.
    """

    def __init__(
        self,
        *,
        store: Store,
        intake: Intake,
        courier: Courier,
        background: Background,
        history: History,
        delivers: bool,
        prune: Callable[[], Awaitable[int]],
    ) -> None:
        self._store = store
        self._intake = intake
        self._courier = courier
        self._background = background
        self._history = history
        self._delivers = delivers
        self._prune = prune
        self._pruning: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether everything that shall run does."""
        return self._pruning is not None and (self._courier.running or not self._delivers)

    async def start(self, started: Callable[[], None]) -> None:
        """Start everything. Does nothing when already started.

        :param started: called when nothing was running before.
        :raises StoreError: when the store cannot be used as it is configured.
        """
        await self._open_store()
        await self._intake.start()
        if not self.running:
            started()
        if self._delivers:
            self._courier.start()
        if self._pruning is None:
            pruning = keep_pruning(self._prune)
            self._pruning = asyncio.create_task(pruning, name="gp_aiogram prunes")

    async def close(self, grace: float) -> None:
        """Stop everything; what does not stop in time is cut off.

        :param grace: seconds to let requests that are under way finish.
        """
        pruning, self._pruning = self._pruning, None
        if pruning is not None:
            pruning.cancel()
            await asyncio.wait([pruning], timeout=_CLOSING)
        await self._background.finish(grace)
        await self._intake.close()
        await self._courier.stop(grace)
        await self._history.close()
        await self._close_store()

    async def _open_store(self) -> None:
        opening = asyncio.ensure_future(self._store.open())
        await asyncio.wait([opening], timeout=PATIENCE)
        error = failure(opening)
        if isinstance(error, StoreError) and not isinstance(error, StoreUnavailable):
            raise error
        if error is not None:
            opening.cancel()
            logger.error(
                "started without the store, which is away; what handlers record waits in the "
                "journal: %s: %s",
                type(error).__name__,
                error,
            )

    async def _close_store(self) -> None:
        closing = asyncio.ensure_future(self._store.close())
        await asyncio.wait([closing], timeout=_CLOSING)
        if not closing.done():
            closing.cancel()
            logger.error("the store did not close within %.0f s", _CLOSING)
        elif not closing.cancelled() and (error := closing.exception()):
            logger.error("closing the store failed", exc_info=error)
