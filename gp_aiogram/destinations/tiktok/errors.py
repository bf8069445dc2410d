"""What TikTok's answers mean for the events that were sent.

The ``code`` in the body decides: the same codes are seen with HTTP 200 and with others, and 40100,
which asks to wait, comes as 401. Sources: the return codes of TikTok's Business API SDK, and
"Events API Responses and errors".
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from gp_aiogram.destinations.http import json_object, retry_after_header
from gp_aiogram.errors import (
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    RateLimited,
)

#: PARTIAL_OK names no event; those who know it (RudderStack, TikTok's Android SDK) never resend.
TAKEN = frozenset({0, 20001})

_THROTTLED = (40100, 40132, 51021, 61000)

#: Permission, token, app and scope; and an API version or address that is no more.
_REFUSED = (40001, 40102, 40104, 40105, 40113, 40118, 40130, 40006, 40400, 41001)

_UNREACHABLE = (40201, 40202, 60001)

_VERDICTS: Mapping[int, type[DeliveryError]] = {
    **dict.fromkeys(_THROTTLED, RateLimited),
    **dict.fromkeys(_REFUSED, DestinationMisconfigured),
    **dict.fromkeys(_UNREACHABLE, DeliveryFailed),
}

#: Parameters, formats, batch size, hashing.
_BAD_REQUESTS = range(40000, 50000)


def answered_code(response: httpx.Response) -> int | None:
    """Return the code in an answer; None when it has none and is not TikTok's."""
    code = json_object(response).get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def tiktok_error(response: httpx.Response, code: int) -> DeliveryError:
    """Return the error that a code stands for, which is not one of :data:`TAKEN`.

    A code that nobody knows is retried like those of TikTok's own failures (5xxxx).
    """
    answer = json_object(response)
    reason = (
        f"TikTok code {code} (HTTP {response.status_code}): {answer.get('message')}; "
        f"request_id {answer.get('request_id')}"
    )
    kind = _VERDICTS.get(code, EventRejected if code in _BAD_REQUESTS else DeliveryFailed)
    if kind is RateLimited:
        return RateLimited(reason, retry_after=retry_after_header(response))
    if kind is DeliveryFailed:
        return DeliveryFailed(reason, ambiguous=True)
    return kind(reason)
