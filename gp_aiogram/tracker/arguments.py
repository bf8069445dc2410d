"""The keyword arguments that an event is recorded with, as types."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from typing_extensions import Required

from gp_aiogram.tracker.request import OnceScope


class _CommonArguments(TypedDict, total=False):
    currency: str | None
    user_data: Mapping[str, Any] | None
    session_id: str | None
    event_id: str | None
    event_time: datetime | None
    to: str | Collection[str] | None
    connection: object | None


class EventArguments(_CommonArguments, total=False):
    """The keyword arguments of :meth:`gp_aiogram.Tracker.track`, apart from the user and bot."""

    value: object
    once: str | int | None
    order: str | int | None
    once_scope: OnceScope


class DepositArguments(_CommonArguments, total=False):
    """The keyword arguments of :meth:`gp_aiogram.Tracker.deposit`, apart from the user and bot."""

    value: Required[object]
    once: str | int | None
    ftd_within: timedelta | None
    ftd_needs_session: bool
    renewal: bool


class RefundArguments(_CommonArguments, total=False):
    """The keyword arguments of :meth:`gp_aiogram.Tracker.refund`, apart from the user and bot."""

    value: object
