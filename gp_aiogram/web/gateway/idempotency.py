"""What makes a repeated request one event: its ``Idempotency-Key``, and what it asked for."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from gp_aiogram.model.clock import Clock
from gp_aiogram.model.event import MAX_ID_LENGTH, Event, time_ordered_id, utc_from_timestamp
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.request import Idempotency
from gp_aiogram.web.gateway.refusals import Refusal

HEADER = "Idempotency-Key"

#: Says of an answer that the request was known, and nothing was recorded again.
REPLAYED = "Idempotency-Replayed"

#: Room for every event id of ours, percent-encoded: 128 characters of four bytes.
MAX_KEY = 1536

PATTERN = r"^[!-~]+$"

_KEY = re.compile(PATTERN)


def key_of(request: web.Request) -> str | None:
    """Return the idempotency key of a request.

    :raises Refusal: when it is no key.
    """
    key = request.headers.get(HEADER)
    if key is None or (len(key) <= MAX_KEY and _KEY.fullmatch(key)):
        return key
    wrong = f"{HEADER} must be 1 to {MAX_KEY} visible ASCII characters"
    raise Refusal(HTTPStatus.BAD_REQUEST, [wrong])


def digest_of(path: str, body: Any) -> str:
    """Return a digest of what is asked for, whatever the order of the fields.

    :param path: of the endpoint, without any prefix.
    :param body: JSON values that were checked.
    """
    try:
        written = orjson.dumps([path, body], option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer beyond 64 bits
        written = json.dumps([path, body], sort_keys=True).encode()
    return sha256(written).hexdigest()


class Identities:
    """Gives requests their event ids.

    The id of a request with a key is the key itself, percent-decoded, so that an event is the same
    to Meta and TikTok whether it comes from here, from the bot or from a pixel in the browser.
    Several workspaces may use the same order numbers: there it is a digest of workspace and key.

    :param clock: tells the time, by which ids that are drawn sort.
    :param is_shared: there are several workspaces.
    """

    def __init__(self, clock: Clock, *, is_shared: bool) -> None:
        self._clock = clock
        self._is_shared = is_shared

    def event_id(self, known: Idempotency | None) -> str:
        """Return the id of an event.

        :param known: by what the request is known; None draws an id.
        """
        if known is None:
            return f"evt_{time_ordered_id(utc_from_timestamp(self._clock.time()))}"
        decoded = unquote(known.key)
        is_id = decoded.isprintable() and decoded.strip() == decoded
        if self._is_shared or not is_id or len(decoded) > MAX_ID_LENGTH:
            return f"evt_{sha256(f'{known.scope} {known.key}'.encode()).hexdigest()[:32]}"
        return decoded


async def original(tracker: Tracker, event: Event) -> Event:
    """Return an event as it was recorded the first time, or as it would be now.

    :raises StoreError: when the store failed.
    """
    for delivery in await tracker.deliveries(event.event_id):
        if delivery.event.name == event.name:
            return delivery.event
    return event
