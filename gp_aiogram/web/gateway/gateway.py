"""The gateway: both documented APIs as routes of an application."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from aiohttp import web

from gp_aiogram.model import codec
from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.request import validate_bot_id
from gp_aiogram.web.gateway import batch, custom_events
from gp_aiogram.web.gateway.batch import Batches
from gp_aiogram.web.gateway.custom_events import CustomEvents
from gp_aiogram.web.gateway.endpoint import Door, Endpoint
from gp_aiogram.web.gateway.idempotency import Identities
from gp_aiogram.web.gateway.keys import ApiKeys
from gp_aiogram.web.gateway.leads import IdentifiedLeads, Leads, Pixels, TrackerPixels
from gp_aiogram.web.gateway.limits import GatewayLimits
from gp_aiogram.web.gateway.openapi import document
from gp_aiogram.web.gateway.pixels import PATH as FIRE_PATH
from gp_aiogram.web.gateway.pixels import FiredPixels
from gp_aiogram.web.gateway.recorder import Recorder
from gp_aiogram.web.gateway.refusals import in_words, with_code

_DEFAULT_LIMITS = GatewayLimits()


class Gateway:
    """Serves "Send Custom Event" of GramPixel and "Fire a conversion pixel event" of LeadSail.

    A bot or backend sends its requests here instead of there. Your own tracker records the events
    and forwards them to your own destinations. A request succeeds when its event is durable. If an
    event names no session, the tracker's attribution finds it, by default in the documented order:
    an invite, ``Attribution(history=...)``, the last touch.

    :param tracker: records and delivers; you start and close it.
    :param keys: workspace (a UUID) by API key. A workspace may have several keys. To replace one,
        add the new key, move the clients, and remove the old key.
    :param limits: limits per request and per key.
    :param leads: finds the user of a ``leadId``; by default among the users of this tracker.
    :param pixels: finds the destinations of a ``pixelId``; by default those of this tracker.
    :param bot_id: the bot of all events, if there is only one; it is then not looked up for each
        event.
    :param clock: the clock to use.
    :raises ConfigurationError: when an argument is invalid.
    """

    def __init__(
        self,
        tracker: Tracker,
        keys: Mapping[str, str | UUID],
        *,
        limits: GatewayLimits = _DEFAULT_LIMITS,
        leads: Leads | None = None,
        pixels: Pixels | None = None,
        bot_id: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        api_keys = ApiKeys(keys)
        bot = validate_bot_id(bot_id)
        recorder = Recorder(tracker, limits.store_timeout)
        identities = Identities(clock, is_shared=len(api_keys.workspaces) > 1)
        self._door = Door(api_keys, limits, clock.monotonic)
        events = CustomEvents(recorder, identities, bot)
        batches = Batches(events, recorder, self._door)
        fired = FiredPixels(
            recorder,
            leads or IdentifiedLeads(tracker.store),
            pixels or TrackerPixels(tracker.destinations),
            identities,
            bot,
        )
        #: ``POST /v1/events/custom``, ``POST /v1/events/batch`` and ``POST /api/v1/pixels/fire``.
        self.custom = Endpoint(custom_events.PATHS[0], events.answer, in_words, self._door)
        self.batch = Endpoint(batch.PATH, batches.answer, in_words, self._door)
        self.fire = Endpoint(FIRE_PATH, fired.answer, with_code, self._door)
        self._limits = limits

    def routes(self, prefix: str = "") -> list[web.RouteDef]:
        """Return the routes, to be added to an application.

        :param prefix: the path before them, such as ``/gateway``.
        """
        above = f"/{prefix.strip('/')}".rstrip("/")
        schema = codec.encode(document(above, self._limits))

        async def openapi(_: web.Request) -> web.Response:
            return web.Response(body=schema, content_type="application/json")

        served = [
            *((path, self.custom) for path in custom_events.PATHS),
            (batch.PATH, self.batch),
            (FIRE_PATH, self.fire),
        ]
        return [
            web.get(f"{above}/openapi.json", openapi),
            *(web.post(f"{above}{path}", endpoint.post) for path, endpoint in served),
            *(web.route("*", f"{above}{path}", one.wrong_method) for path, one in served),
        ]

    def setup(self, app: web.Application, prefix: str = "") -> None:
        """Add the routes to an application.

        :param prefix: the path before them, such as ``/gateway``.
        """
        app.add_routes(self.routes(prefix))

    def replace_keys(self, keys: Mapping[str, str | UUID]) -> None:
        """Accept these keys from now on, and no others.

        :raises ConfigurationError: when an argument is invalid; the old keys stay valid.
        """
        self._door.keys = ApiKeys(keys)
