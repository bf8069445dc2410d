"""The parameters of a Bot API call: read from what was sent, judged as Telegram judges them."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import BodyPartReader, ClientResponse, MultipartReader, web

from gp_aiogram.sandbox.telegram.updates import ApiError

Params = dict[str, Any]

MAX_TEXT = 4096
MAX_CALLBACK_DATA = 64

# Everything else is a number, a boolean or a JSON object, whichever way it was sent.
_STRINGS = frozenset(
    {
        "action",
        "business_connection_id",
        "callback_query_id",
        "currency",
        "description",
        "error_message",
        "inline_message_id",
        "invite_link",
        "language_code",
        "message_effect_id",
        "name",
        "parse_mode",
        "payload",
        "pre_checkout_query_id",
        "provider_data",
        "provider_token",
        "secret_token",
        "start_parameter",
        "telegram_payment_charge_id",
        "text",
        "title",
        "url",
    }
)


async def from_request(request: web.Request) -> Params:
    """Read the parameters of a call: query, form, multipart form or JSON.

    :param request: the request.
    :raises ApiError: they cannot be read.
    """
    if request.content_type == "application/json":
        sent = _json_object(await request.text())
    else:
        sent = dict(await request.post())
    return _decoded({**request.query, **sent})


async def from_answer(response: ClientResponse) -> Params:
    """Read the parameters of the call that a webhook may answer an update with.

    :param response: the webhook's answer.
    :return: the parameters, ``method`` among them; nothing when it holds no call.
    """
    try:
        if response.content_type.startswith("multipart/"):
            return _decoded(await _parts(response))
        return _decoded(_json_object(await response.text()))
    except (ApiError, ValueError):
        return {}


def integer(params: Params, name: str, default: int = 0) -> int:
    """One number; what is not a number counts as not sent.

    :param params: the parameters.
    :param name: the one wanted.
    :param default: its value when it was not sent.
    """
    try:
        return int(params[name])
    except (KeyError, TypeError, ValueError):
        return default


def strings(params: Params, name: str) -> list[str] | None:
    """One list of strings.

    :param params: the parameters.
    :param name: the one wanted.
    :return: ``None`` when it was not sent.
    """
    value = params.get(name)
    return [str(item) for item in value] if isinstance(value, list) else None


def user_id(params: Params) -> int:
    """The ``user_id``.

    :param params: the parameters.
    :raises ApiError: it was not sent or cannot be one.
    """
    sent = integer(params, "user_id")
    if sent <= 0:
        raise ApiError(400, "Bad Request: invalid user_id specified")
    return sent


def required(params: Params, name: str, max_length: int) -> str:
    """One string that has to be there.

    :param params: the parameters.
    :param name: the one wanted.
    :param max_length: the most characters it may have.
    :raises ApiError: it is missing, empty or too long.
    """
    text = str(params.get(name, ""))
    if not text:
        raise ApiError(400, f'Bad Request: parameter "{name}" is required')
    if len(text) > max_length:
        raise ApiError(400, f"Bad Request: {name} is too long")
    return text


def message_text(params: Params) -> str:
    """The text of a message.

    :param params: the parameters.
    :raises ApiError: it is empty or too long.
    """
    text = str(params.get("text", ""))
    if not text.strip():
        raise ApiError(400, "Bad Request: message text is empty")
    if len(text) > MAX_TEXT:
        raise ApiError(400, "Bad Request: message is too long")
    return text


def inline_keyboard(params: Params) -> Params:
    """The part of a message that holds its inline keyboard; nothing for other keyboards.

    :param params: the parameters.
    :raises ApiError: the keyboard is malformed.
    """
    markup = params.get("reply_markup")
    if markup is None:
        return {}
    if not isinstance(markup, dict):
        raise ApiError(400, "Bad Request: object expected as reply markup")
    if "inline_keyboard" not in markup:
        return {}
    try:
        for button in (button for row in markup["inline_keyboard"] for button in row):
            _check_button(button["text"], button.get("callback_data"))
    except (AttributeError, KeyError, TypeError):
        msg = "Bad Request: can't parse inline keyboard button"
        raise ApiError(400, msg) from None
    return {"reply_markup": markup}


async def _parts(response: ClientResponse) -> Params:
    reader = MultipartReader.from_response(response)
    sent: Params = {}
    while (part := await reader.next()) is not None:
        if isinstance(part, BodyPartReader) and part.name is not None:
            sent[part.name] = await part.text()
    return sent


def _check_button(text: str, data: str | None) -> None:
    if not text.strip():
        raise ApiError(400, "Bad Request: inline keyboard button text must be non-empty")
    if data is not None and not 1 <= len(data.encode()) <= MAX_CALLBACK_DATA:
        raise ApiError(400, "Bad Request: BUTTON_DATA_INVALID")


def _json_object(text: str) -> Params:
    try:
        sent = json.loads(text or "{}")
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        raise ApiError(400, "Bad Request: can't parse the parameters: JSON object expected")
    return sent


def _decoded(sent: Params) -> Params:
    return {name: value if name in _STRINGS else _value(value) for name, value in sent.items()}


def _value(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
