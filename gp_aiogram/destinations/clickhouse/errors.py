"""What ClickHouse's answers mean for the rows that were sent.

Source: ``src/Common/ErrorCodes.cpp`` of ClickHouse. A code keeps its meaning for ever; the HTTP
status differs by version, and nothing else is read from the texts but "Unknown field", since its
code is that of spoilt rows as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from gp_aiogram.errors import (
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventRejected,
    RateLimited,
)

_CODE = re.compile(r"Code: ([0-9]{1,5})")

_MISCONFIGURED = (
    *(192, 193, 194, 195, 516),  # user, password, address
    *(164, 291, 497, 36, 48),  # rights, a read-only server, arguments
    *(60, 81),  # no such table, no such database
    *(8, 16, 47, 62, 115, 352, 417),  # a column, an identifier, syntax, a setting
)

#: Values that cannot be read: of some row of the batch.
_BAD_ROWS = (
    *(6, 24, 25, 26, 27, 33, 38, 41, 72, 117, 131),
    *(53, 69, 70, 349, 407, 441, 467, 470),
)

#: Quota; too many parts: the table merges more slowly than is inserted; too many queries.
_RATE_LIMITED = (201, 202, 252)

_ERRORS: Mapping[int, type[DeliveryError]] = {
    **dict.fromkeys(_MISCONFIGURED, DestinationMisconfigured),
    **dict.fromkeys(_BAD_ROWS, EventRejected),
    **dict.fromkeys(_RATE_LIMITED, RateLimited),
}

_OTHER_COLUMNS = "Unknown field"


def clickhouse_error(response: httpx.Response) -> DeliveryError | None:
    """Return the error that an answer stands for; None when ClickHouse names none.

    An exception may come under a status of success, when the answer had begun before. A code that
    is not listed, such as that of memory (241), is tried again.
    """
    code = _code(response)
    if code is None:
        return None
    status = response.status_code
    reason = f"ClickHouse code {code} (HTTP {status}): {response.text}"
    kind = _ERRORS.get(code, DeliveryFailed)
    if _OTHER_COLUMNS in response.text:
        kind = DestinationMisconfigured
    if kind is DeliveryFailed:
        return DeliveryFailed(reason, ambiguous=True, status=status)
    return kind(reason, status=status)


def _code(response: httpx.Response) -> int | None:
    told = response.headers.get("x-clickhouse-exception-code", "")
    if told.isdecimal():
        return int(told)
    if response.is_success and "DB::Exception" not in response.text:
        return None
    match = _CODE.search(response.text)
    return int(match[1]) if match else None
