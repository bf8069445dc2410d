"""The gateway's log: each line names the request that it speaks of."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

#: Of the request that is being answered.
request_id: ContextVar[str] = ContextVar("gp_aiogram_request_id", default="none")

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # takes no parameter before Python 3.11


class _Lines(_Adapter):
    def process(
        self,
        msg: Any,
        kwargs: MutableMapping[str, Any],
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the request to a line, and to what structured handlers get."""
        current = request_id.get()
        kwargs["extra"] = {**(kwargs.get("extra") or {}), "request_id": current}
        return f"{msg} [request {current}]", kwargs


logger = _Lines(logging.getLogger("gp_aiogram.gateway"), {})

#: One line for each answer; apart, so that it can be turned off.
access = _Lines(logging.getLogger("gp_aiogram.gateway.access"), {})
