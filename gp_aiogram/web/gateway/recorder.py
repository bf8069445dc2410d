"""Hands requests on to the tracker, and answers only when their events are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus
from typing import TypeVar

from gp_aiogram.errors import EventError, StoreError
from gp_aiogram.model.event import Event
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.recording import Recorded, RecordResult
from gp_aiogram.tracker.request import EventRequest
from gp_aiogram.web.gateway.idempotency import HEADER, original
from gp_aiogram.web.gateway.log import logger
from gp_aiogram.web.gateway.refusals import Refusal

T = TypeVar("T")

#: Seconds after which a client may find the store back.
_RETRY_AFTER = 5


class Recorder:
    """Records requests.

    :param tracker: whose store makes events durable.
    :param timeout: seconds that it may take for one request.
    """

    def __init__(self, tracker: Tracker, timeout: float) -> None:
        self._tracker = tracker
        self._timeout = timeout

    async def record(self, request: EventRequest) -> Recorded:
        """Record an event; return when it is durable.

        :raises Refusal: when it is no event, or its idempotency key stands for another request.
        :raises StoreError: when the store failed.
        """
        recorded = await self.tell(request)
        if recorded.result == "conflict":
            raise key_reused()
        return recorded

    async def tell(self, request: EventRequest) -> Recorded:
        """Record an event, whatever becomes of it.

        What was recorded before is told as it was then.

        :raises Refusal: when it is no event.
        :raises StoreError: when the store failed.
        """
        try:
            event, result = await self._tracker.record(request)
        except EventError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, [str(error)]) from None
        if result == "duplicate":
            event = await original(self._tracker, event)
        return Recorded(event, result)

    async def in_time(self, working: Awaitable[T]) -> T:
        """Wait for the store, and not longer than a client does.

        :raises Refusal: when the store failed or took too long.
        """
        try:
            return await asyncio.wait_for(working, self._timeout)
        except asyncio.TimeoutError:
            late = "the store took longer than %g s: clients are asked to repeat"
            logger.error(late, self._timeout)
            reason = "the store took too long, and may have recorded it: repeat the request"
            raise _unavailable(reason) from None
        except StoreError as error:
            logger.error("the store failed: clients are asked to repeat: %s", error)
            reason = "the store is away: repeat the request"
            raise _unavailable(reason) from None


def _unavailable(reason: str) -> Refusal:
    advice = f"{reason} with the same {HEADER}"
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, [advice], retry_after=_RETRY_AFTER)


def key_reused() -> Refusal:
    """Return the refusal of a key that stands for another request."""
    reason = f"this {HEADER} was used for another request: a key stands for one body"
    return Refusal(HTTPStatus.CONFLICT, [reason])


#: What "Send Custom Event" calls ``status``; its document knows the first only.
STATUSES: dict[RecordResult, str] = {
    "stored": "processed",
    "duplicate": "processed",
    "opted_out": "ignored",
    "dropped": "ignored",
}


def told(event: Event, status: str) -> dict[str, str | None]:
    """Return what an answer tells of an event."""
    return {"event_id": event.event_id, "session_id": event.session_id, "status": status}
