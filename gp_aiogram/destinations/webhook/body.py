"""The body of a webhook: what a receiver learns of an event, in a documented schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gp_aiogram.destinations.schema import is_digest
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.model.money import json_number

#: Grows when a field changes its meaning or goes; new fields alone do not change it.
SCHEMA_VERSION = 1


def event_body(event: Event, *, webhook_id: str, kind: str, traits: bool) -> dict[str, Any]:
    """Return what is sent of an event. Every field is always there; None where nothing is known.

    :param webhook_id: the request's, and in a batch the line's own.
    :param kind: what the receiver calls such events.
    :param traits: with the digests of what is known of the user.
    """
    data: dict[str, Any] = {
        "event_id": event.event_id,
        "name": event.name,
        "telegram_id": event.telegram_id,
        "bot_id": event.bot_id,
        "bot_username": event.bot_username,
        "session_id": event.session_id,
        "value": None if event.value is None else json_number(event.value),
        "currency": event.currency,
        "user_data": dict(event.user_data),
        "click": None if event.click is None else _click(event.click),
    }
    if traits:
        data["traits"] = _digests(event.traits)
    return {
        "version": SCHEMA_VERSION,
        "id": webhook_id,
        "type": kind,
        "timestamp": event.event_time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": data,
    }


def _click(click: Click) -> dict[str, Any]:
    fields = {**vars(click), "utm": dict(click.utm), "ids": dict(click.ids)}
    at = None if click.at is None else click.at.isoformat(timespec="milliseconds")
    return {**fields, "at": None if at is None else at.replace("+00:00", "Z")}


def _digests(traits: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return what is hashed of a user's traits, by platform."""
    hashed = {
        platform: {field: value for field, value in fields.items() if is_digest(value)}
        for platform, fields in traits.items()
    }
    return {platform: fields for platform, fields in hashed.items() if fields}
