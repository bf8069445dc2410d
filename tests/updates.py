"""Raw updates, complete as the Bot API sends them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

DATE = 1_790_000_000
KEPT = Path(__file__).parent / "data" / "updates"

_numbers = itertools.count(1)


def person(user_id: int = 7, **changes: Any) -> dict[str, Any]:
    """The sender of the kept messages, or somebody like her."""
    kept = raw("message_text")["message"]["from"]
    return {**kept, "id": user_id, "username": f"ada{user_id}", **changes}


def private(user_id: int = 7) -> dict[str, Any]:
    """The private chat with her."""
    kept = raw("message_text")["message"]["chat"]
    return {**kept, "id": user_id, "username": f"ada{user_id}"}


GROUP = {"id": -1001, "type": "supergroup", "title": "Analysts"}


def raw_message(
    text: str | None = "hi",
    *,
    user_id: int = 7,
    chat: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """The kept message with another text and number, or without a text."""
    message = {
        **raw("message_text")["message"],
        "message_id": next(_numbers),
        "chat": chat or private(user_id),
        "from": person(user_id),
        "text": text,
        **changes,
    }
    if text is None:
        del message["text"]
    elif text.startswith("/"):
        (entity,) = raw("start")["message"]["entities"]
        message["entities"] = [{**entity, "length": len(text.split()[0])}]
    return message


def update(kind: str, content: dict[str, Any], update_id: int | None = None) -> dict[str, Any]:
    return {"update_id": update_id or next(_numbers), kind: content}


def message(
    text: str | None = "hi", *, update_id: int | None = None, **rest: Any
) -> dict[str, Any]:
    return update("message", raw_message(text, **rest), update_id)


def start(payload: str | None = None, **rest: Any) -> dict[str, Any]:
    return message("/start" if payload is None else f"/start {payload}", **rest)


def click(data: str, *, user_id: int = 7, update_id: int | None = None) -> dict[str, Any]:
    """The kept press of a button with other data."""
    query = raw("callback_query")["callback_query"]
    query |= {"from": person(user_id), "data": data}
    query["message"] |= {"message_id": next(_numbers), "chat": private(user_id)}
    return update("callback_query", query, update_id)


def raw(name: str, *, update_id: int | None = None, **changes: Any) -> dict[str, Any]:
    """A fresh copy of an update kept in ``tests/data/updates``.

    :param name: the file without its ending.
    :param update_id: instead of the one in the file.
    :param changes: fields of the message, member update and so on to set; an object is merged
        into the one that is there, ``None`` takes the field out.
    """
    kept: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text("utf-8"))["update"]
    if update_id is not None:
        kept["update_id"] = update_id
    _, kind = kept
    _merge(kept[kind], changes)
    return kept


def _merge(old: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            del old[key]
        elif isinstance(value, dict) and key in old:
            _merge(old[key], value)
        else:
            old[key] = value
