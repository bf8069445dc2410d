"""The raw updates under tests/data: each is one that aiogram knows in every part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import aiogram
import pytest
from aiogram.enums import UpdateType
from aiogram.types import TelegramObject, Update

from fixtures import updates

FILES = sorted(updates.KEPT.glob("*.json"))
NAMES = [path.stem for path in FILES]

#: Sent for old bots, described no longer: fields that no library has.
UNDESCRIBED = {"can_manage_voice_chats", "can_send_media_messages"}

#: What came to the Bot API after the oldest aiogram that is supported.
NEWER_THAN_OLDEST = {
    "can_edit_tag",
    "can_manage_direct_messages",
    "can_react_to_messages",
    "can_send_welcome_messages",
    "subscription",
}
API = tuple(int(number) for number in aiogram.__api_version__.split("."))
UNKNOWN = UNDESCRIBED if API >= (10, 3) else UNDESCRIBED | NEWER_THAN_OLDEST


def test_the_updates_are_found() -> None:
    assert len(NAMES) > 30


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_holds_an_update_and_a_line_on_its_source(path: Any) -> None:
    kept = json.loads(path.read_text("utf-8"))
    assert set(kept) == {"source", "update"}
    assert kept["source"].startswith("Bot API ")
    assert kept["source"].splitlines() == [kept["source"]]


@pytest.mark.parametrize("name", NAMES)
def test_an_update_is_of_a_known_type(name: str) -> None:
    kept = updates.raw(name)
    _, kind = kept
    if kind in UNKNOWN:
        assert kind not in set(UpdateType)
    else:
        assert Update.model_validate(kept).event_type == kind


@pytest.mark.parametrize("name", [name for name in NAMES if "message" in updates.raw(name)])
def test_a_message_has_a_known_content(name: str) -> None:
    kept = updates.raw(name)
    message = Update.model_validate(kept).message
    assert message is not None
    assert message.content_type in kept["message"]


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_known(name: str) -> None:
    assert set(_extras(Update.model_validate(updates.raw(name)))) <= UNKNOWN


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_on_the_way_through_aiogram(name: str) -> None:
    kept = updates.raw(name)
    update = Update.model_validate(kept)
    dumped = update.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert _paths(kept) <= _paths(dumped)


def test_update_ids_differ() -> None:
    assert len({updates.raw(name)["update_id"] for name in NAMES}) == len(NAMES)


def test_a_copy_may_be_changed() -> None:
    changed = updates.raw(
        "chat_member_joined_by_link",
        update_id=5,
        date=1,
        invite_link={"name": "gp_other"},
        via_join_request=True,
    )
    kept = updates.raw("chat_member_joined_by_link")
    assert changed["update_id"] == 5
    assert changed["chat_member"] == {
        **kept["chat_member"],
        "date": 1,
        "invite_link": {**kept["chat_member"]["invite_link"], "name": "gp_other"},
        "via_join_request": True,
    }
    without = updates.raw("chat_member_joined_by_link", invite_link=None)
    assert "invite_link" not in without["chat_member"]


def _extras(value: Any) -> Iterator[str]:
    if isinstance(value, TelegramObject):
        yield from value.model_extra or {}
        for name in value.model_fields_set:
            yield from _extras(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from _extras(item)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    if isinstance(value, dict):
        return {at}.union(*(_paths(item, (*at, key)) for key, item in value.items()))
    if isinstance(value, list):
        return {at}.union(*(_paths(item, (*at, index)) for index, item in enumerate(value)))
    return {at}
