"""The error bodies of TikTok's Business API: some to fail with, and those of its refusals."""

from __future__ import annotations

from typing import Any, NamedTuple

from gp_aiogram.sandbox.platforms.schema import DIGEST_WANTED, Flaw

Body = dict[str, Any]


def envelope(code: int, message: str) -> Body:
    """Build a response body of the Business API.

    :param code: 0 for success.
    :param message: the text for developers.
    """
    request_id = "20260101000000000000000000000000"
    return {"code": code, "message": message, "request_id": request_id, "data": {}}


#: Too many requests; documented with HTTP 401, seen with HTTP 200.
THROTTLED = envelope(40100, "App reaches the QPS limit.")
#: The token is missing; HTTP 401.
TOKEN_MISSING = envelope(40104, "Access token is empty.")
#: The token is wrong or was revoked; HTTP 401, seen with HTTP 200.
TOKEN_REVOKED = envelope(40105, "Access token is incorrect or has been revoked.")
#: The token has expired; HTTP 401.
TOKEN_EXPIRED = envelope(40102, "Access token has expired.")
#: TikTok itself fails; seen with HTTP 200.
SYSTEM_ERROR = envelope(50000, "System error")
#: Some events may have been accepted, so the batch must not be sent again; HTTP 200.
PARTIALLY_OK = envelope(20001, "Partial success")
#: A gateway in front of TikTok fails, without a code; HTTP 502.
BAD_GATEWAY = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
    "<body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n"
)


class Refusal(NamedTuple):
    """Why a request is refused.

    :param status: the HTTP status documented for the code.
    :param code: the code.
    :param message: the message.
    """

    status: int
    code: int
    message: str


NO_TOKEN = Refusal(401, TOKEN_MISSING["code"], TOKEN_MISSING["message"])
WRONG_TOKEN = Refusal(401, TOKEN_REVOKED["code"], TOKEN_REVOKED["message"])


def unknown_route(method: str, path: str) -> Refusal:
    """Refuse an unknown method or path.

    :param method: the HTTP method.
    :param path: the path.
    """
    return Refusal(404, 40400, f"No route for {method} {path}")


def not_permitted(event_source_id: str) -> Refusal:
    """Refuse a pixel, app or event set that the token cannot access.

    :param event_source_id: its id.
    """
    message = (
        f"No permission to operate pixel code: {event_source_id}. "
        "You must be an admin or operator of this advertiser account."
    )
    return Refusal(400, 40001, message)


def flawed(flaw: Flaw) -> Refusal:
    """Refuse a field that is missing, unknown or wrong.

    "Invalid value for event_id: not a valid string." is recorded from TikTok; the other texts
    are modelled on it.

    :param flaw: the flaw, located in the event or, outside of events, in the body. As in the
        recorded text, its path need not say which event.
    """
    if flaw.kind == "missing":
        complaint = "missing data for required field"
    elif flaw.kind == "unknown":
        complaint = "unknown field (TikTok itself would silently accept it)"
    else:
        complaint = f"not a valid {flaw.wanted}"
    code = 40062 if flaw.wanted == DIGEST_WANTED else 40002
    where = ".".join(map(str, flaw.path)) or "object"
    return Refusal(400, code, f"Invalid value for {where}: {complaint}.")
