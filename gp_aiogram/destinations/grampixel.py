"""GramPixel: its backend maps each event to Meta and TikTok and knows the clicks itself.

Source of every rule: the GramPixel document "Send Custom Event" (``POST /v1/events/custom``).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, get_args
from urllib.parse import quote

import httpx

from gp_aiogram.destinations.base import Ambiguous, Receipt
from gp_aiogram.destinations.http import HTTPDestination, validate_secret
from gp_aiogram.errors import ConfigurationError, DeliveryFailed, EventRejected, short_repr
from gp_aiogram.model.event import Event

#: What the answer tells of an event.
_RECEIPT = ("event_id", "session_id", "status")


class GramPixel(HTTPDestination):
    """Sends events to GramPixel, one per request.

    The document knows no idempotency, so an event whose answer was lost may be counted twice when
    it is sent again. Each request carries ``Idempotency-Key: <event_id>`` all the same, and
    ``ambiguous`` says what to do.

    :param api_key: sent as ``x-api-key``.
    :param workspace_id: UUID of the workspace.
    :param ambiguous: ``"retry"`` sends again after a lost answer; ``"hold"`` keeps the event as a
        dead letter for you to decide on.
    :param event_names: what to call our events there, e.g. ``{"Lead": "Subscribe"}``.
    :param transport: what carries the requests, e.g. ``httpx.MockTransport`` in tests.
    :raises ConfigurationError: when one of them cannot work.
    """

    def __init__(
        self,
        api_key: str,
        workspace_id: str | uuid.UUID,
        *,
        base_url: str = "https://api.grampixel.com",
        name: str = "grampixel",
        event_names: Mapping[str, str] | None = None,
        ambiguous: Ambiguous = "retry",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        key = validate_secret("GramPixel(api_key=...)", api_key)
        super().__init__(
            name=name,
            base_url=base_url,
            headers={"x-api-key": key},
            secrets=(key,),
            transport=transport,
        )
        if ambiguous not in get_args(Ambiguous):
            msg = (
                f"GramPixel(ambiguous=...) must be 'retry' or 'hold', not {short_repr(ambiguous)}"
            )
            raise ConfigurationError(msg)
        self.workspace_id = _workspace_id(workspace_id)
        self.ambiguous = ambiguous
        self._event_names = dict(event_names or {})

    def __repr__(self) -> str:
        return f"GramPixel(workspace_id={self.workspace_id!r}, name={self.name!r})"

    async def send(self, events: Sequence[Event]) -> Sequence[Receipt]:
        """Send one event; the receipt holds the server's ``event_id``, ``session_id``, ``status``.

        :raises DeliveryError: as the contract says.
        """
        (event,) = events
        response = await self.post(
            "/v1/events/custom",
            self._body(event),
            {"idempotency-key": quote(event.event_id, errors="surrogatepass")},
        )
        self.raise_for_status(response)
        return [self._receipt(response)]

    def _body(self, event: Event) -> dict[str, Any]:
        body: dict[str, Any] = {
            "event_name": self._event_names.get(event.name, event.name),
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
        return body

    def _receipt(self, response: httpx.Response) -> Receipt:
        """Read a success. Errors under a 2xx status are undocumented; ``ok`` decides."""
        answered = self._reason(f"HTTP {response.status_code}: {response.text}")
        try:
            answer = response.json()
            accepted = answer["ok"]
        except (ValueError, TypeError, KeyError, RecursionError):
            msg = f"the answer is not GramPixel's: {answered}"
            raise DeliveryFailed(msg, ambiguous=True) from None
        if accepted is not True:
            raise EventRejected(answered)
        data = answer.get("data")
        if not isinstance(data, dict):
            return {}
        # Only what is documented, and not at any length.
        known = {key: data.get(key) for key in _RECEIPT}
        return {key: self._reason(str(value)) for key, value in known.items() if value is not None}


def _workspace_id(value: object) -> str:
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        msg = (
            "GramPixel(workspace_id=...) must be the UUID of your workspace, such as "
            "'0f8fad5b-d9cb-469f-a165-70867728950e'; is it the API key by mistake?"
        )
        raise ConfigurationError(msg) from None
