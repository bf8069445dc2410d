"""``POST /api/v1/pixels/fire``: the LeadSail document "Fire a conversion pixel event", served."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from gp_aiogram.destinations.leadsail import ACTION_SOURCES
from gp_aiogram.model.event import MAX_ID_LENGTH, MAX_NAME_LENGTH, VALUED_NAMES
from gp_aiogram.model.firing import Firing
from gp_aiogram.tracker.recording import Recorded
from gp_aiogram.tracker.request import EventRequest, Idempotency
from gp_aiogram.web.gateway import schema
from gp_aiogram.web.gateway.endpoint import Answer, Call
from gp_aiogram.web.gateway.idempotency import REPLAYED, Identities, digest_of, key_of
from gp_aiogram.web.gateway.leads import Leads, Pixels
from gp_aiogram.web.gateway.recorder import Recorder
from gp_aiogram.web.gateway.refusals import Refusal

PATH = "/api/v1/pixels/fire"

#: "Defaults to system_generated for server-side events."
_DEFAULT_SOURCE = "system_generated"

PLATFORMS = ("facebook", "tiktok")

BODY = schema.Record(
    {
        "leadId": schema.line(MAX_ID_LENGTH).required.describe(
            "The lead to fire the pixel event for.", "lead_abc123"
        ),
        "pixelId": schema.line(MAX_ID_LENGTH).required.describe(
            "The pixel ID from your ad platform.", "123456789"
        ),
        "platform": schema.choice(*PLATFORMS).required.describe(
            "Ad platform to send the event to."
        ),
        "eventName": schema.line(MAX_NAME_LENGTH).required.describe(
            'Conversion event name (e.g. "Lead", "Purchase", "CompleteRegistration").', "Lead"
        ),
        "eventValue": schema.amount().describe("Monetary value of the conversion event."),
        "currency": schema.currency().describe("ISO 4217 currency code for the event value."),
        "actionSource": schema.choice(*ACTION_SOURCES).describe(
            "Where the conversion occurred. Defaults to system_generated for server-side events."
        ),
        "testEventCode": schema.line(MAX_ID_LENGTH).describe(
            "Test event code from the ad platform. When provided, the event is sent in test mode."
        ),
    },
    schema.Condition("eventName", sorted(VALUED_NAMES), "eventValue"),
)

#: What an answer repeats of the request.
ECHOED = ("platform", "eventName", "pixelId", "leadId")


class _Target(NamedTuple):
    telegram_id: int
    destinations: Sequence[str]


class FiredPixels:
    """Fires pixels for leads.

    :param recorder: makes the events durable.
    :param leads: knows whom a lead id means.
    :param pixels: knows which destinations fire a pixel.
    :param identities: gives events their ids.
    :param bot_id: of the bot that all events are of; None has it looked up for each.
    """

    def __init__(
        self,
        recorder: Recorder,
        leads: Leads,
        pixels: Pixels,
        identities: Identities,
        bot_id: int | None,
    ) -> None:
        self._recorder = recorder
        self._leads = leads
        self._pixels = pixels
        self._identities = identities
        self._bot_id = bot_id

    async def answer(self, call: Call) -> Answer:
        """Record the event of a call.

        :raises Refusal: when it is refused; nothing was recorded.
        """
        body = call.body
        if flaws := BODY.errors(body):
            raise Refusal(HTTPStatus.BAD_REQUEST, flaws)
        key = key_of(call.request)
        scope = call.caller.workspace_id
        known = None if key is None else Idempotency(scope, key, digest_of(PATH, body))
        _, result = await self._recorder.in_time(self._record(body, known))
        is_taken = result in ("stored", "duplicate")
        data = {"success": is_taken, **{name: body[name] for name in ECHOED}}
        headers = {REPLAYED: "true"} if result == "duplicate" else {}
        return Answer({"success": True, "data": data}, headers)

    async def _record(self, body: dict[str, Any], known: Idempotency | None) -> Recorded:
        target = await self._find(body)
        request = EventRequest(
            name=body["eventName"],
            telegram_id=target.telegram_id,
            bot_id=self._bot_id,
            value=body.get("eventValue"),
            currency=body.get("currency"),
            event_id=self._identities.event_id(known),
            to=target.destinations,
            firing=Firing(
                event_name=body["eventName"],
                action_source=body.get("actionSource", _DEFAULT_SOURCE),
                test_event_code=body.get("testEventCode"),
            ),
            idempotency=known,
        )
        return await self._recorder.record(request)

    async def _find(self, body: dict[str, Any]) -> _Target:
        destinations = self._pixels.destinations_of(body["platform"], body["pixelId"])
        if destinations is None:
            raise Refusal(HTTPStatus.NOT_FOUND, ["no destination here has this pixel"])
        telegram_id = await self._leads.user_of(body["leadId"])
        if telegram_id is None:
            raise Refusal(HTTPStatus.NOT_FOUND, ["there is no such lead"])
        return _Target(telegram_id, destinations)
