"""What Metrica's answers mean for the events that were sent.

Source: Metrica, "Errors": ``{errors: [{error_type, message, location}], code, message}``, with
``invalid_parameter`` (400), ``access_denied`` (403), ``backend_error`` (503). Over quota, the
Russian page has 429 and the English one 420.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from gp_aiogram.destinations.answers import json_object, retry_after_header
from gp_aiogram.errors import (
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    RateLimited,
)

#: Both mean "slow down"; the first is Metrica's own.
OVER_QUOTA = (420, 429)

#: By their ``error_type``. Those of quotas begin with ``quota``.
_ERRORS: Mapping[str, type[DeliveryError]] = {
    "access_denied": DestinationMisconfigured,
    "invalid_token": DestinationMisconfigured,
    "unauthorized": DestinationMisconfigured,
    "not_found": DestinationMisconfigured,
    "invalid_parameter": EventRejected,
    "invalid_uploading": EventRejected,
    "backend_error": DeliveryFailed,
}


def metrica_error(response: httpx.Response) -> DeliveryError | None:
    """Return the error that an answer stands for; None when it says nothing of Metrica's own.

    :param response: none of success.
    """
    answer = json_object(response)
    found = _first_error(answer)
    kind = str(found.get("error_type", ""))
    status = response.status_code
    reason = (
        f"Metrica {kind or 'error'} (HTTP {status}): "
        f"{found.get('message') or answer.get('message') or response.text}"
    )
    if location := found.get("location"):
        reason += f", at {location}"
    if status in OVER_QUOTA or kind.startswith("quota"):
        return RateLimited(reason, retry_after=retry_after_header(response), status=status)
    error = _ERRORS.get(kind)
    return None if error is None else error(reason, status=status)


def _first_error(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    return first if isinstance(first, Mapping) else {}
