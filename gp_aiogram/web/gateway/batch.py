"""``POST /v1/events/batch``: many custom events in one request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from gp_aiogram.model.event import MAX_ID_LENGTH
from gp_aiogram.tracker.recording import Recorded
from gp_aiogram.tracker.request import Idempotency
from gp_aiogram.web.gateway import custom_events, schema
from gp_aiogram.web.gateway.custom_events import (
    CustomEvents,
    known_by,
    refuse_flaws,
    refuse_foreign,
)
from gp_aiogram.web.gateway.endpoint import Answer, Call, Door
from gp_aiogram.web.gateway.idempotency import REPLAYED, digest_of, key_of
from gp_aiogram.web.gateway.recorder import STATUSES, Recorder, key_reused, told
from gp_aiogram.web.gateway.refusals import Refusal

PATH = "/v1/events/batch"

#: One event of a batch.
ITEM = schema.Record(
    {
        **custom_events.EVENT_FIELDS,
        "event_id": schema.line(MAX_ID_LENGTH).describe(
            "Your own id of the event, by which it counts once, as by an Idempotency-Key.",
            "order-1001",
        ),
        "event_time": schema.seconds().describe(
            "When it happened, in unix seconds; now if omitted.", 1769860800
        ),
    },
    custom_events.NEEDS_VALUE,
)

#: What became of one event: those of a single one, and what only a batch has to tell.
BATCH_STATUSES = ("processed", "duplicate", "ignored", "refused")


def body(max_batch: int) -> schema.Record:
    """Return what a batch must be, apart from the flaws of its events."""
    events = schema.Field(
        f"array of 1 to {max_batch} events",
        lambda value: isinstance(value, list) and 0 < len(value) <= max_batch,
        {"type": "array", "minItems": 1, "maxItems": max_batch, "items": ITEM.schema()},
    )
    return schema.Record({"workspace_id": custom_events.WORKSPACE_ID, "events": events.required})


class Batches:
    """Records batches.

    A batch with a flaw is refused as a whole, before anything of it is recorded. Its first event
    decides whether its idempotency key is another batch's; the others follow at once.

    :param events: makes requests of its events.
    :param recorder: makes them durable.
    :param door: counts them.
    """

    def __init__(self, events: CustomEvents, recorder: Recorder, door: Door) -> None:
        self._events = events
        self._recorder = recorder
        self._door = door
        self._body = body(door.limits.max_batch)

    async def answer(self, call: Call) -> Answer:
        """Record the events of a call.

        :raises Refusal: when it is refused; nothing was recorded, unless it says otherwise.
        """
        flaws = self._body.errors(call.body)
        items = call.body.get("events")
        if isinstance(items, list):
            items = items[: self._door.limits.max_batch]
            for number, item in enumerate(items):
                flaws += ITEM.errors(item, f"events[{number}].")
        refuse_flaws(flaws)
        refuse_foreign(call.caller, call.body["workspace_id"])
        self._door.charge(call.caller, len(call.body["events"]))
        key = key_of(call.request)
        known = _known(call, key)
        results = await self._recorder.in_time(self._record(call.body["events"], known, key))
        is_replay = key is not None and all(one["status"] == "duplicate" for one in results)
        headers = {REPLAYED: "true"} if is_replay else {}
        return Answer({"ok": True, "data": {"events": results}}, headers)

    async def _record(
        self,
        items: Sequence[Mapping[str, Any]],
        known: Sequence[Idempotency | None],
        key: str | None,
    ) -> list[dict[str, str | None]]:
        first = await self._one(items[0], known[0])
        if isinstance(first, Recorded) and first.result == "conflict" and key is not None:
            raise key_reused()
        pairs = zip(items[1:], known[1:], strict=True)
        others = await asyncio.gather(
            *(self._one(item, one) for item, one in pairs),
            return_exceptions=True,
        )
        results = []
        for outcome in (first, *others):
            if isinstance(outcome, BaseException) and not isinstance(outcome, Refusal):
                raise outcome
            results.append(_result(outcome))
        return results

    async def _one(
        self,
        item: Mapping[str, Any],
        known: Idempotency | None,
    ) -> Recorded | Refusal:
        try:
            return await self._recorder.tell(self._events.request(item, known))
        except Refusal as refusal:
            return refusal


def _known(call: Call, key: str | None) -> list[Idempotency | None]:
    """Return by what each event is known: its own id, else the key of the batch and its place."""
    scope = call.caller.workspace_id
    whole = None if key is None else digest_of(PATH, call.body)
    known: list[Idempotency | None] = []
    for number, item in enumerate(call.body["events"]):
        own = item.get("event_id")
        if own is not None:
            content = {name: part for name, part in item.items() if name != "event_id"}
            known.append(known_by(quote(own), content, call.caller))
        elif whole is not None:
            known.append(Idempotency(scope, f"{key}-{number}", whole))
        else:
            known.append(None)
    return known


def _result(outcome: Recorded | Refusal) -> dict[str, str | None]:
    if isinstance(outcome, Refusal):
        return {"event_id": None, "session_id": None, "status": "refused", "error": str(outcome)}
    event, result = outcome
    if result == "conflict":
        return {**told(event, "refused"), "error": str(key_reused())}
    return told(event, "duplicate" if result == "duplicate" else STATUSES[result])
