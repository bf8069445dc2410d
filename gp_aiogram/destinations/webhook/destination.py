"""Posts signed events to your own receiver: n8n, Make, a CRM, a backend."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple, get_args

import httpx

from gp_aiogram.destinations.addresses import split_address
from gp_aiogram.destinations.answers import json_object
from gp_aiogram.destinations.arguments import (
    validate_batch_size,
    validate_choice,
    validate_event_names,
    validate_flag,
)
from gp_aiogram.destinations.base import Ambiguous, SendOutcome
from gp_aiogram.destinations.http import HTTPDestination
from gp_aiogram.destinations.webhook.body import event_body
from gp_aiogram.destinations.webhook.signing import (
    PREFIX,
    Signer,
    batch_id,
    new_secret,
    read_keys,
    webhook_id,
)
from gp_aiogram.errors import EventRejected
from gp_aiogram.model import codec
from gp_aiogram.model.event import Event

_MOST_EVENTS = 1000

_JSON, _NDJSON = "application/json", "application/x-ndjson"


class _Item(NamedTuple):
    webhook_id: str
    body: bytes


class Webhook(HTTPDestination):
    """Posts each event as JSON, signed by Standard Webhooks 1.0.0.

    A repeated request has the same ``webhook-id``, so that a receiver can recognise it, and the
    time of the new attempt.

    With ``batch`` above 1, a request carries up to that many events as NDJSON, one JSON body per
    line. Each line has its own ``id``, because events may come in another batch after a failure;
    the ``webhook-id`` of the request is made from these ids. A receiver that accepts only some
    lines answers 207 with ``{"rejected": {"<id>": "<why>"}}``. The rejected events become dead
    letters, and the others count as delivered.

    410 pauses the destination, as the standard requires.

    :param url: where to post. Only its host is ever shown, because the rest may hold a key.
    :param secret: ``whsec_`` and base64, as :meth:`new_secret` makes it. To replace a secret, pass
        a list of the old and the new one: each request is signed with both.
    :param traits: also send the SHA-256 digests of what you gave ``identify()``.
    :param batch: events per request, at most 1000.
    :param name: of this destination; each destination of a tracker needs its own.
    :param event_names: values of ``type`` to use instead of our event names.
    :param only: names of the events to send; None sends all.
    :param ambiguous: ``"retry"`` sends again after a lost answer; ``"hold"`` makes the event a
        dead letter, and you decide.
    :param proxy: URL of an HTTP proxy; None uses the proxy of the environment, if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``.
    :raises ConfigurationError: when an argument is invalid.
    """

    concurrency = 4

    address_argument: ClassVar[str] = "url"

    hides_path: ClassVar[bool] = True

    def __init__(
        self,
        url: str,
        secret: str | Sequence[str],
        *,
        traits: bool = False,
        batch: int = 1,
        name: str = "webhook",
        event_names: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        ambiguous: Ambiguous = "retry",
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        address = split_address("Webhook(url=...)", url)
        keys = read_keys("Webhook(secret=...)", secret)
        secrets = [secret] if isinstance(secret, str) else secret
        super().__init__(
            name=name,
            base_url=address.origin,
            secrets=[*address.secrets, *secrets, *(each.removeprefix(PREFIX) for each in secrets)],
            only=only,
            proxy=proxy,
            transport=transport,
        )
        self.event_names = validate_event_names("Webhook(event_names=...)", event_names)
        validate_choice("Webhook(ambiguous=...)", ambiguous, get_args(Ambiguous))
        self.ambiguous = ambiguous
        self.batch_size = validate_batch_size("Webhook(batch=...)", batch, _MOST_EVENTS)
        self._traits = validate_flag("Webhook(traits=...)", traits)
        self._path = f"{address.path}?{address.query}" if address.query else address.path
        self._signer = Signer(keys)

    def __repr__(self) -> str:
        return f"Webhook({self.base_url!r}, name={self.name!r})"

    @staticmethod
    def new_secret() -> str:
        """Return a new random secret. The receiver needs it as well."""
        return new_secret()

    def prepare(self, event: Event) -> _Item:
        """Build the body of an event."""
        own_id = webhook_id(event.event_id, event.name)
        body = event_body(
            event,
            webhook_id=own_id,
            kind=self.event_names.get(event.name, event.name),
            traits=self._traits,
        )
        return _Item(own_id, codec.encode(body))

    async def send(self, batch: Sequence[_Item]) -> Sequence[SendOutcome]:
        """Post events in one request; the receipt holds its ``webhook_id``.

        :raises DeliveryError: see :meth:`Destination.send <gp_aiogram.Destination.send>`.
        """
        ids = [item.webhook_id for item in batch]
        if self.batch_size == 1:
            request_id, content, kind = ids[0], batch[0].body, _JSON
        else:
            request_id, kind = batch_id(ids), _NDJSON
            content = b"".join(item.body + b"\n" for item in batch)
        signed = self._signer.headers(request_id, int(time.time()), content)
        headers = {"content-type": kind, **signed}
        response = await self.request("POST", self._path, content=content, headers=headers)
        self.raise_for_status(response)
        receipt = self.receipt({"webhook_id": request_id})
        refused = self._refused(response)
        return [
            EventRejected(refused[each], status=response.status_code)
            if each in refused
            else receipt
            for each in ids
        ]

    def _refused(self, response: httpx.Response) -> dict[str, str]:
        """Return which lines a receiver did not take, and why."""
        told: Any = None
        if response.status_code == HTTPStatus.MULTI_STATUS:
            told = json_object(response).get("rejected")
        if not isinstance(told, dict):
            return {}
        return {each: self.redact(f"HTTP 207: {why}") for each, why in told.items()}
