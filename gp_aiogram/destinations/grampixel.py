"""GramPixel: its backend maps each event to Meta and TikTok, and knows the clicks itself.

Source of every rule: the GramPixel document "Send Custom Event" (``POST /v1/events/custom``).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, get_args

import httpx

from gp_aiogram.destinations.answers import json_object
from gp_aiogram.destinations.arguments import validate_event_names, validate_secret
from gp_aiogram.destinations.base import Ambiguous, Receipt
from gp_aiogram.destinations.http import HTTPDestination
from gp_aiogram.errors import ConfigurationError, DeliveryFailed, EventRejected, short_repr
from gp_aiogram.model.event import Event

_PATH = "/v1/events/custom"

#: How a server may write a yes; 1 is equal to true.
_YES = (True, "true")

_NOT_SAID = object()

#: What a receipt keeps of an answer.
_RECEIPT = ("event_id", "session_id", "status")


class _Conversion(NamedTuple):
    body: Mapping[str, Any]
    event_id: str


class GramPixel(HTTPDestination):
    """Sends events to GramPixel, one per request.

    GramPixel documents no idempotency, so an event may be counted twice if its answer was lost and
    it is sent again. ``ambiguous`` says what to do then. Each request carries
    ``Idempotency-Key: <event_id>`` anyway.

    :param api_key: sent as ``x-api-key``.
    :param workspace_id: UUID of the workspace.
    :param name: of this destination; each destination of a tracker needs its own.
    :param event_names: the platform's names for our events, e.g. ``{"Lead": "Subscribe"}``.
    :param only: names of the events to send; None sends all.
    :param ambiguous: ``"retry"`` sends again after a lost answer; ``"hold"`` makes the event a
        dead letter, and you decide.
    :param proxy: URL of an HTTP proxy; None uses the proxy of the environment, if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``.
    :raises ConfigurationError: when an argument is invalid.
    """

    #: GramPixel knows people by the session.
    uses_traits: ClassVar[bool] = False

    def __init__(
        self,
        api_key: str,
        workspace_id: str | uuid.UUID,
        *,
        base_url: str = "https://api.grampixel.com",
        name: str = "grampixel",
        event_names: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        ambiguous: Ambiguous = "retry",
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        key = validate_secret("GramPixel(api_key=...)", api_key)
        super().__init__(
            name=name,
            base_url=base_url,
            headers={"x-api-key": key},
            secrets=(key,),
            only=only,
            proxy=proxy,
            transport=transport,
        )
        if ambiguous not in get_args(Ambiguous):
            msg = (
                f"GramPixel(ambiguous=...) must be 'retry' or 'hold', not {short_repr(ambiguous)}"
            )
            raise ConfigurationError(msg)
        self.workspace_id = _validate_workspace(workspace_id)
        self.ambiguous = ambiguous
        self.event_names = validate_event_names("GramPixel(event_names=...)", event_names)

    def __repr__(self) -> str:
        return f"GramPixel(workspace_id={self.workspace_id!r}, name={self.name!r})"

    def prepare(self, event: Event) -> _Conversion:
        """Build the body of a request."""
        body: dict[str, Any] = {
            "event_name": self.event_names.get(event.name, event.name),
            "telegram_id": event.telegram_id,
            "workspace_id": self.workspace_id,
        }
        # Without a session the server resolves one by telegram_id; a null would say "none".
        if event.session_id is not None:
            body["session_id"] = event.session_id
        if event.value is not None:
            body["value"] = float(event.value)
        if event.currency is not None:
            body["currency"] = event.currency
        if event.user_data:
            body["user_data"] = dict(event.user_data)
        return _Conversion(body, event.event_id)

    async def send(self, batch: Sequence[_Conversion]) -> Sequence[Receipt]:
        """Send one event; the receipt holds the server's ``event_id``, ``session_id``, ``status``.

        :raises DeliveryError: see :meth:`Destination.send <gp_aiogram.Destination.send>`.
        """
        ((body, event_id),) = batch
        response = await self.post(_PATH, body, idempotency_key=event_id)
        self.raise_for_status(response)
        return [self._read(response)]

    def _read(self, response: httpx.Response) -> Receipt:
        """Read a success. Errors under a 2xx status are undocumented; ``ok`` decides."""
        answered = f"HTTP {response.status_code}: {response.text}"
        answer = json_object(response)
        accepted = answer.get("ok", _NOT_SAID)
        if not accepted or accepted == "false":
            raise EventRejected(self.redact(answered), status=response.status_code)
        if accepted not in _YES:
            msg = f"the answer is not GramPixel's: {answered}"
            raise DeliveryFailed(self.redact(msg), ambiguous=True, status=response.status_code)
        data = answer.get("data")
        told = data if isinstance(data, dict) else {}
        return self.receipt({key: told.get(key) for key in _RECEIPT})


def _validate_workspace(value: object) -> str:
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        msg = (
            "GramPixel(workspace_id=...) must be the UUID of your workspace, such as "
            "'0f8fad5b-d9cb-469f-a165-70867728950e'; is it the API key by mistake?"
        )
        raise ConfigurationError(msg) from None
