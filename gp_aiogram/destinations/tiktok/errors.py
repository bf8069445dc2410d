"""What TikTok's answers mean for the events that were sent.

The ``code`` in the body outranks the HTTP status: the same codes come with 200 and with others,
and 40100, which asks to wait, with 401. Sources: the return codes of TikTok's Business API SDK,
and "Events API Responses and errors".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from gp_aiogram.destinations.answers import json_object, retry_after_header
from gp_aiogram.errors import (
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    RateLimited,
)

#: OK, and PARTIAL_OK, which names no event: RudderStack and TikTok's Android SDK do not resend.
ACCEPTED = frozenset({0, 20001})

_RATE_LIMITED = (40100, 40132, 51021, 61000)

_MISCONFIGURED = (
    *(40001, 40003, 40102, 40104, 40105, 40113, 40118, 40130),  # permission, token, app, scope
    40007,  # no such thing: the only one that a request names is the pixel
    *(40009, 40013),  # the sandbox is not the production environment
    *(40006, 40400, 41001),  # an API version or address that is gone
)

_FAILED = (40201, 40202, 60001)

_ERRORS: Mapping[int, type[DeliveryError]] = {
    **dict.fromkeys(_RATE_LIMITED, RateLimited),
    **dict.fromkeys(_MISCONFIGURED, DestinationMisconfigured),
    **dict.fromkeys(_FAILED, DeliveryFailed),
}

#: Parameters, formats, batch size, hashing.
_BAD_REQUESTS = range(40000, 50000)


#: How a message may name an event of a batch: ``Batch.0.properties.contents.0.content_id``, as an
#: older endpoint does. Messages of this one that were seen name none.
_POSITION = re.compile(r"\b(?:batch|data)[.\[]([0-9]{1,4})\b", re.IGNORECASE)


def answered_code(response: httpx.Response) -> int | None:
    """Return the code in an answer; None when it has none, so that it is not TikTok's."""
    code = json_object(response).get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def tiktok_error(response: httpx.Response, code: int) -> DeliveryError:
    """Return the error that a code stands for; an unknown one is retried like 5xxxx.

    :param code: none of :data:`ACCEPTED`.
    """
    answer = json_object(response)
    reason = (
        f"TikTok code {code} (HTTP {response.status_code}): {answer.get('message')}; "
        f"request_id {answer.get('request_id')}"
    )
    status = response.status_code
    kind = _ERRORS.get(code, EventRejected if code in _BAD_REQUESTS else DeliveryFailed)
    if kind is RateLimited:
        return RateLimited(reason, retry_after=retry_after_header(response), status=status)
    if kind is DeliveryFailed:
        return DeliveryFailed(reason, ambiguous=True, status=status)
    if kind is EventRejected:
        named = _POSITION.findall(str(answer.get("message")))
        positions = [int(number) for number in named]
        return EventRejected(reason, positions=positions, status=status)
    return kind(reason, status=status)
