"""What Meta's answers mean for the events that were sent.

Sources: Graph API "Handling Errors" and Marketing API "Error Codes" and "Rate Limiting". Code and
subcode outrank the HTTP status (a bad token may come with 500), and nothing is read from the
texts, which are in the language of whoever owns the token, but for the path of a bad event.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import httpx

from gp_aiogram.destinations.answers import json_object, kind_of_status, retry_after_header
from gp_aiogram.errors import (
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    RateLimited,
)

_MISCONFIGURED = (
    *(3, 10, *range(200, 300)),  # permissions
    *(101, 102, 104, 190),  # app, session, token
    *(803, 2500),  # no such pixel, no such path
    *(12, 2635),  # an API version that is gone
)
_RATE_LIMITED = (4, 17, 32, 341, 368, 613, *range(80000, 80015))
_FAILED = (1, 2, 5000, 21009)

_ERRORS: Mapping[int, type[DeliveryError]] = {
    **dict.fromkeys(_MISCONFIGURED, DestinationMisconfigured),
    **dict.fromkeys(_RATE_LIMITED, RateLimited),
    **dict.fromkeys(_FAILED, DeliveryFailed),
}

#: "Invalid parameter": the events are bad, unless a subcode says otherwise.
_INVALID = 100

#: Of code 100: no such pixel, or the token may not use it.
_NO_SUCH_PIXEL = 33

#: Type of an error of the call, not of its parameters: the pixel, or ``appsecret_proof``, which
#: comes with code 100 and no subcode.
_OF_THE_CALL = "GraphMethodException"

_BAD_CLICK_ID = 2804001

#: What known subcodes of code 100 say; Meta's own texts come in any language.
_SUBCODES: Mapping[int, str] = {
    _NO_SUCH_PIXEL: "no such pixel, or the access token may not use it",
    _BAD_CLICK_ID: "the click id (fbc) is malformed",
    2804003: "event_time is more than 7 days ago",
    2804009: "Purchase without value",
    2804010: "Purchase without currency",
    2804016: "a user parameter is not hashed",
    2804019: "a required parameter is missing",
    2804050: "too little is known of the user",
    2804063: "messaging channel is missing",
    2804066: "no event for this messaging channel",
}

#: How Meta names an event of a batch, in any language: ``$['data'][3]['event_time']``. Seen with
#: subcode 2804019; other errors name none.
_POSITION = re.compile(r"\$\['data'\]\[([0-9]{1,4})\]")

#: A wait that is longer is cut, in minutes: a day.
_LONGEST_WAIT = 24 * 60

#: Headers with the load that a token causes, and perhaps minutes to wait.
_USAGE_HEADERS = ("x-business-use-case-usage", "x-business-use-case")


def meta_error(response: httpx.Response) -> DeliveryError | None:
    """Return the error in an answer; None when it is a success or not Meta's."""
    error = json_object(response).get("error")
    if not isinstance(error, dict):
        return None
    status = response.status_code
    kind, reason = _kind(error, status), _reason(error, status)
    if kind is RateLimited:
        return RateLimited(reason, retry_after=_seconds_to_wait(response), status=status)
    if kind is DeliveryFailed:
        return DeliveryFailed(reason, ambiguous=True, status=status)
    if kind is EventRejected:
        return EventRejected(reason, positions=_positions(error), status=status)
    return kind(reason, status=status)


def is_bad_click_id(response: httpx.Response) -> bool:
    """Return whether Meta takes nothing because of an fbc."""
    error = json_object(response).get("error")
    if not isinstance(error, dict):
        return False
    return (error.get("code"), error.get("error_subcode")) == (_INVALID, _BAD_CLICK_ID)


def _kind(error: Mapping[str, Any], status: int) -> type[DeliveryError]:
    code = error.get("code")
    known = _ERRORS.get(code) if isinstance(code, int) else None
    if known is not None:
        return known
    if code == _INVALID and _is_of_the_call(error):
        return DestinationMisconfigured
    if error.get("is_transient") is True:
        return DeliveryFailed
    if code == _INVALID or HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return EventRejected
    return kind_of_status(status)


def _is_of_the_call(error: Mapping[str, Any]) -> bool:
    return error.get("error_subcode") == _NO_SUCH_PIXEL or error.get("type") == _OF_THE_CALL


def _reason(error: Mapping[str, Any], status: int) -> str:
    code, subcode = error.get("code"), error.get("error_subcode")
    number = f"{code}/{subcode}" if subcode is not None else f"{code}"
    known = _SUBCODES.get(subcode) if code == _INVALID and isinstance(subcode, int) else None
    told = (known, error.get("message"), error.get("error_user_msg"), error.get("fbtrace_id"))
    texts = dict.fromkeys(str(text) for text in told if text)
    return f"Meta error {number} (HTTP {status}): {'; '.join(texts)}"


def _positions(error: Mapping[str, Any]) -> list[int]:
    told = f"{error.get('message')} {error.get('error_user_msg')}"
    return [int(number) for number in _POSITION.findall(told)]


def _seconds_to_wait(response: httpx.Response) -> float | None:
    """Read "estimated_time_to_regain_access", in minutes, else Retry-After; None without any."""
    usages = (response.headers.get(header, "") for header in _USAGE_HEADERS)
    minutes = max((found for usage in usages for found in _minutes(usage)), default=0)
    return min(minutes, _LONGEST_WAIT) * 60.0 if minutes > 0 else retry_after_header(response)


def _minutes(usage: str) -> Iterator[int | float]:
    try:
        by_business = json.loads(usage)
        limits = [limit for limits in by_business.values() for limit in limits]
        waits = [limit.get("estimated_time_to_regain_access") for limit in limits]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return
    yield from (wait for wait in waits if isinstance(wait, (int, float)))
