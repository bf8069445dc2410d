"""Writes docs/reference/settings.md from the models of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gp_aiogram.settings.receivers import PostbackGroup
from gp_aiogram.settings.settings import Settings, _group_of, _holds_named_groups

HEAD = """# Settings

`Tracker.from_settings()`, `gp-aiogram` and the worker read these environment variables, and the
file `.env` in the working folder. A variable of the environment takes precedence over the file.
`gp-aiogram init` writes the file, and `gp-aiogram doctor` checks it.

- `GP_GROUP__NAME` has two underscores between the group and the name.
- Names are not case-sensitive.
- A misspelt name within a group is an error. A top-level name that resembles a setting is logged
  as a warning.
- A destination is configured when one of its variables is set. Settings configure one destination
  of each kind. For several, see [several pixels](../howto/several-pixels.md).

This page is made from the code, so it is complete.
"""

#: Groups by their headings, with the page that explains them.
SECTIONS = {
    "attribution": ("Attribution", "[How attribution works](../explanation/attribution.md)."),
    "stars": ("Telegram Stars", "[Payments](../howto/payments.md#telegram-stars)."),
    "retention": ("Retention", "[Privacy](../howto/privacy.md)."),
    "gateway": ("Gateway", "For `gp-aiogram serve`: [the gateway](../howto/gateway.md)."),
    "inspector": ("Inspector", "For `gp-aiogram serve`: [the inspector](../howto/inspector.md)."),
    "grampixel": ("GramPixel", ""),
    "leadsail": ("LeadSail", ""),
    "meta": ("Meta", ""),
    "tiktok": ("TikTok", ""),
    "metrica": ("Yandex Metrica", "[Yandex](../howto/yandex.md)."),
    "clickhouse": ("ClickHouse", "[ClickHouse](../howto/clickhouse.md)."),
    "snapchat": ("Snapchat", "[Destinations](destinations.md#snapchat)."),
    "webhook": ("Webhook", "[Signed webhooks](../howto/signed-webhooks.md)."),
    "keitaro": ("Keitaro", "[Postbacks](../howto/postbacks.md#tell-your-tracker)."),
    "binom": ("Binom 1", ""),
    "binom_v2": ("Binom 2", ""),
    "voluum": ("Voluum", ""),
    "redtrack": ("RedTrack", ""),
    "peerclick": ("PeerClick", ""),
    "adness": ("Adness", ""),
    "adsgram": ("AdsGram", ""),
    "richads": ("RichAds", ""),
    "tappads": ("Tappads", ""),
}


def page() -> str:
    """Return the text of the page."""
    return "\n".join([HEAD, *_general(), *_groups(), *_postbacks()])


def _general() -> Iterator[str]:
    fields = {
        name: field for name, field in Settings.model_fields.items() if _group_of(field) is None
    }
    yield "## General\n"
    yield from _table("GP_", fields)


def _groups() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        group = None if _holds_named_groups(field) else _group_of(field)
        if group is None:
            continue
        heading, text = SECTIONS[name]
        yield f"## {heading}\n"
        if text:
            yield f"{text}\n"
        yield from _table(f"GP_{name.upper()}__", group.model_fields)


def _postbacks() -> Iterator[str]:
    yield "## Any other tracker\n"
    yield (
        "`NAME` is yours; several trackers may each have one. "
        "[Postbacks](../howto/postbacks.md#tell-your-tracker).\n"
    )
    yield from _table("GP_POSTBACK__NAME__", PostbackGroup.model_fields)


def _table(prefix: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    yield "| variable | value | default |"
    yield "|---|---|---|"
    for name, field in fields.items():
        if _holds_named_groups(field):
            continue
        variable = f"`{prefix}{name.upper()}`"
        yield f"| {variable} | {field.description or ''} | {_default(field)} |"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required() or field.default is PydanticUndefined:
        return "required"
    value: Any = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "" or (not value and isinstance(value, (frozenset, dict))):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    assert not isinstance(value, BaseModel)
    return f"`{value}`"
