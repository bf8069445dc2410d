"""Why a request is refused, and how each of the two APIs says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

#: Writes a refusal as an API has it: the body of the answer.
Envelope = Callable[["Refusal", str], dict[str, Any]]


class Refusal(Exception):  # noqa: N818 - reads as what happened
    """A request that is answered with an error.

    :param status: the HTTP status.
    :param details: what is wrong, each flaw in a sentence for the developer who called.
    :param retry_after: seconds after which to try again, where that helps.
    """

    def __init__(
        self,
        status: HTTPStatus,
        details: Sequence[str],
        *,
        retry_after: int | None = None,
    ) -> None:
        super().__init__("; ".join(details))
        self.status = status
        self.details = list(details)
        self.retry_after = retry_after


def in_words(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Write a refusal for "Send Custom Event", whose document has no form for errors."""
    return {
        "ok": False,
        "error": str(refusal),
        "details": refusal.details,
        "request_id": request_id,
    }


#: "Fire a conversion pixel event": the codes and messages of its error bodies.
_DOCUMENTED = {
    HTTPStatus.BAD_REQUEST: ("VALIDATION_ERROR", "Invalid input data"),
    HTTPStatus.UNAUTHORIZED: ("UNAUTHORIZED", "Authentication required"),
    HTTPStatus.NOT_FOUND: ("NOT_FOUND", "Resource not found"),
}

#: What that document leaves open.
_OWN_CODES = {
    HTTPStatus.METHOD_NOT_ALLOWED: "METHOD_NOT_ALLOWED",
    HTTPStatus.REQUEST_TIMEOUT: "REQUEST_TIMEOUT",
    HTTPStatus.CONFLICT: "IDEMPOTENCY_KEY_REUSED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "PAYLOAD_TOO_LARGE",
    HTTPStatus.UNPROCESSABLE_ENTITY: "NOT_RECORDED",
    HTTPStatus.TOO_MANY_REQUESTS: "RATE_LIMITED",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
}


def with_code(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Write a refusal for "Fire a conversion pixel event"; its own bodies are to the letter."""
    if refusal.status in _DOCUMENTED:
        code, message = _DOCUMENTED[refusal.status]
        error: dict[str, Any] = {"code": code, "message": message}
        if code == "VALIDATION_ERROR":
            error["details"] = refusal.details
    else:
        code = _OWN_CODES.get(refusal.status, "INTERNAL_ERROR")
        error = {"code": code, "message": str(refusal), "requestId": request_id}
    return {"success": False, "error": error}
