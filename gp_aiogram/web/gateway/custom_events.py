"""``POST /v1/events/custom``: the GramPixel document "Send Custom Event", served."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from gp_aiogram.model.event import (
    MAX_ID_LENGTH,
    MAX_NAME_LENGTH,
    VALUED_NAMES,
    utc_from_timestamp,
)
from gp_aiogram.tracker.recording import Recorded
from gp_aiogram.tracker.request import EventRequest, Idempotency
from gp_aiogram.web.gateway import schema
from gp_aiogram.web.gateway.endpoint import Answer, Call
from gp_aiogram.web.gateway.idempotency import REPLAYED, Identities, digest_of, key_of
from gp_aiogram.web.gateway.keys import Caller
from gp_aiogram.web.gateway.recorder import STATUSES, Recorder, told
from gp_aiogram.web.gateway.refusals import Refusal

#: The document names both.
PATHS = ("/v1/events/custom", "/api/v1/events/custom")

#: More flaws than these help nobody.
_MOST_DETAILS = 100

WORKSPACE_ID = schema.workspace_id().required.describe("Your workspace ID.")

#: What an event is, apart from its workspace.
EVENT_FIELDS: Mapping[str, schema.Field] = {
    "event_name": schema.line(MAX_NAME_LENGTH).required.describe(
        "Event key: FTD, DEP, REG, Subscribe, JoinRequest, Purchase, INSTALL, TRIAL, or any "
        "custom name.",
        "FTD",
    ),
    "telegram_id": schema.telegram_id().required.describe(
        "Telegram User ID. Used for session resolution and S2S attribution.", 123456789
    ),
    "session_id": schema.line(MAX_ID_LENGTH).describe(
        "The session ID (from the ?start= deep link parameter). Auto-resolved if omitted.",
        "gp_a1b2c3",
    ),
    "value": schema.amount().describe(
        "Monetary value. Required for FTD, DEP, Purchase events for ROAS tracking.", 150.0
    ),
    "currency": schema.currency().describe(
        "3-letter ISO 4217 currency code. Defaults to USD.", "USD"
    ),
    "user_data": schema.metadata().describe(
        "Additional user metadata. E-mail addresses and phone numbers in it are hashed or left "
        "out before anything is stored.",
        {"plan": "premium"},
    ),
}

NEEDS_VALUE = schema.Condition("event_name", sorted(VALUED_NAMES), "value")

BODY = schema.Record(
    {
        **{name: EVENT_FIELDS[name] for name in ("event_name", "telegram_id")},
        "workspace_id": WORKSPACE_ID,
        **EVENT_FIELDS,
    },
    NEEDS_VALUE,
)


class CustomEvents:
    """Records custom events.

    :param recorder: makes them durable.
    :param identities: gives them their ids.
    :param bot_id: of the bot that all events are of; None has it looked up for each.
    """

    def __init__(
        self,
        recorder: Recorder,
        identities: Identities,
        bot_id: int | None,
    ) -> None:
        self._recorder = recorder
        self._identities = identities
        self._bot_id = bot_id

    async def answer(self, call: Call) -> Answer:
        """Record the event of a call.

        :raises Refusal: when it is refused; nothing was recorded.
        """
        body = call.body
        refuse_flaws(BODY.errors(body))
        refuse_foreign(call.caller, body["workspace_id"])
        key = key_of(call.request)
        known = None if key is None else known_by(key, body, call.caller)
        event, result = await self._recorder.in_time(self._record(body, known))
        headers = {REPLAYED: "true"} if result == "duplicate" else {}
        return Answer({"ok": True, "data": told(event, STATUSES[result])}, headers)

    async def _record(self, body: Mapping[str, Any], known: Idempotency | None) -> Recorded:
        return await self._recorder.record(self.request(body, known))

    def request(
        self,
        fields: Mapping[str, Any],
        known: Idempotency | None,
    ) -> EventRequest:
        """Return the request to record an event.

        :param fields: those of :data:`EVENT_FIELDS`, checked.
        :param known: by what it is known when it comes again.
        """
        moment = fields.get("event_time")
        return EventRequest(
            name=fields["event_name"],
            telegram_id=int(fields["telegram_id"]),
            bot_id=self._bot_id,
            value=fields.get("value"),
            currency=fields.get("currency"),
            user_data=fields.get("user_data"),
            session_id=fields.get("session_id"),
            event_id=self._identities.event_id(known),
            event_time=None if moment is None else utc_from_timestamp(moment),
            idempotency=known,
        )


def known_by(key: str, fields: Mapping[str, Any], caller: Caller) -> Idempotency:
    """Return by what an event is known when it comes again.

    :param key: the idempotency key.
    :param fields: of the event, checked; however they are written, they mean the same.
    """
    scope = caller.workspace_id
    content = {**fields, "workspace_id": scope, "telegram_id": int(fields["telegram_id"])}
    return Idempotency(scope, key, digest_of(PATHS[0], content))


def refuse_flaws(flaws: list[str]) -> None:
    """Refuse a body that has flaws, naming all of them.

    :raises Refusal: when there are any.
    """
    if not flaws:
        return
    if len(flaws) > _MOST_DETAILS:
        flaws = [*flaws[:_MOST_DETAILS], f"and {len(flaws) - _MOST_DETAILS} more"]
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, flaws)


def refuse_foreign(caller: Caller, workspace_id: str) -> None:
    """Refuse what is meant for a workspace that a key does not stand for.

    :raises Refusal: when it is.
    """
    if workspace_id.lower() != caller.workspace_id:
        reason = "workspace_id is not the workspace that this x-api-key stands for"
        raise Refusal(HTTPStatus.FORBIDDEN, [reason])
