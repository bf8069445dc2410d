"""Asks the history of sessions, if there is one, without letting it cost anything."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.delivery.waiting import failure_of, limited
from gp_aiogram.model.session import Session, SessionHistory, SessionQuery, is_by_own_link

logger = logging.getLogger("gp_aiogram")

#: Seconds that the history gets. A handler waits for it, so it is a part of what the store gets.
PATIENCE = 0.25

#: Seconds in which a history that has failed is not asked again.
PAUSE = 30.0

#: Seconds that the history gets to close.
_CLOSING = 1.0


class History:
    """A history that may be slow or away: then an event is recorded without it.

    :param source: None where there is none.
    :param counts: failures are counted here.
    :param monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        source: SessionHistory | None,
        counts: Counter[TrackerCount],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._counts = counts
        self._monotonic = monotonic
        self._not_before = 0.0

    @property
    def is_there(self) -> bool:
        """Whether there is a history to ask."""
        return self._source is not None

    async def find(self, query: SessionQuery, touch: Session | None) -> Session | None:
        """Return the session that counts, of what the store and the history know.

        :param query: which session is looked for.
        :param touch: what the store has found; by an invite link it counts before all else, unless
            that is the bot's own.
        """
        is_own = touch is not None and is_by_own_link(touch, query)
        is_preferred = touch is not None and touch.source in query.preferred and not is_own
        if self._source is None or is_preferred or self._monotonic() < self._not_before:
            return touch
        found = await self._asked(self._source, query)
        if found is None or (touch is not None and not is_own and is_by_own_link(found, query)):
            return touch
        return found

    async def close(self) -> None:
        """Let go of connections."""
        if self._source is not None:
            closing = await limited(self._source.close(), _CLOSING, name="closing the history")
            if closing is not None and (error := failure_of(closing)) is not None:
                logger.error("closing the history of sessions failed", exc_info=error)

    async def _asked(self, source: SessionHistory, query: SessionQuery) -> Session | None:
        asking = asyncio.ensure_future(source.find(query))
        try:
            await asyncio.wait([asking], timeout=PATIENCE)
        finally:
            if not asking.done():
                asking.add_done_callback(_forget)
                asking.cancel()
        reason = f"no answer within {PATIENCE:g} s"
        if asking.done():
            error = failure_of(asking)
            answer: object = None if error is not None else asking.result()
            if error is None and (answer is None or isinstance(answer, Session)):
                return answer
            wrong = "find() must return a Session or None"
            reason = wrong if error is None else f"{type(error).__name__}: {error}"
        self._not_before = self._monotonic() + PAUSE
        self._counts["history_errors"] += 1
        logger.error(
            "the history of sessions could not be asked, the last touch counts, and it is left "
            "alone for %.0f s: %s",
            PAUSE,
            reason,
        )
        return None


def _forget(asking: asyncio.Future[Session | None]) -> None:
    if not asking.cancelled():
        asking.exception()  # looked at, so that asyncio does not report it
