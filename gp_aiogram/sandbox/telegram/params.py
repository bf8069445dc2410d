"""The parameters of a Bot API call: parsed from a request, and checked as Telegram does it."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import BodyPartReader, ClientResponse, MultipartReader, web

from gp_aiogram.sandbox.telegram.errors import ApiError

Params = dict[str, Any]

MAX_TEXT, MAX_CAPTION = 4096, 1024
MAX_CALLBACK_DATA = 64

# All other parameters are numbers, booleans or JSON objects, however they were sent.
_STRINGS = frozenset(
    {
        "action",
        "business_connection_id",
        "callback_query_id",
        "caption",
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


async def from_response(response: ClientResponse) -> Params:
    """Read the parameters of the call that a webhook may put into its response.

    :param response: the webhook's response.
    :return: the parameters, ``method`` among them; empty when it holds no call.
    """
    try:
        if response.content_type.startswith("multipart/"):
            return _decoded(await _parts(response))
        return _decoded(_json_object(await response.text()))
    except (ApiError, ValueError):
        return {}


def integer(params: Params, name: str, default: int = 0) -> int:
    """Read a number; what is not a number counts as not sent.

    :param params: the parameters.
    :param name: the name of the parameter.
    :param default: its value when it was not sent.
    """
    try:
        return int(params[name])
    except (KeyError, TypeError, ValueError):
        return default


def strings(params: Params, name: str) -> list[str] | None:
    """Read a list of strings.

    :param params: the parameters.
    :param name: the name of the parameter.
    :return: ``None`` when it was not sent.
    """
    value = params.get(name)
    return [str(item) for item in value] if isinstance(value, list) else None


def user_id(params: Params) -> int:
    """Read the ``user_id``.

    :param params: the parameters.
    :raises ApiError: it is missing or not a positive number.
    """
    sent = integer(params, "user_id")
    if sent <= 0:
        raise ApiError(400, "Bad Request: invalid user_id specified")
    return sent


def required(params: Params, name: str, max_length: int) -> str:
    """Read a required string.

    :param params: the parameters.
    :param name: the name of the parameter.
    :param max_length: the maximum number of characters.
    :raises ApiError: it is missing, empty or too long.
    """
    text = str(params.get(name, ""))
    if not text:
        raise ApiError(400, f'Bad Request: parameter "{name}" is required')
    if len(text) > max_length:
        raise ApiError(400, f"Bad Request: {name} is too long")
    return text


def message_text(params: Params) -> str:
    """Read the text of a message.

    :param params: the parameters.
    :raises ApiError: it is empty or too long.
    """
    text = str(params.get("text", ""))
    if not text.strip():
        raise ApiError(400, "Bad Request: message text is empty")
    if len(text) > MAX_TEXT:
        raise ApiError(400, "Bad Request: message is too long")
    return text


def caption(params: Params) -> Params:
    """Read the caption of a photo; its markup counts here, which Telegram parses first.

    :param params: the parameters.
    :return: the ``caption`` of the message; empty without one.
    :raises ApiError: it is too long.
    """
    text = str(params.get("caption", ""))
    if len(text) > MAX_CAPTION:
        raise ApiError(400, "Bad Request: message caption is too long")
    return {"caption": text} if text else {}


def inline_keyboard(params: Params) -> Params:
    """Read the inline keyboard of a message.

    :param params: the parameters.
    :return: the ``reply_markup`` of the message; empty without an inline keyboard.
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


def pay_keyboard(params: Params) -> Params:
    """Read the inline keyboard of an invoice; its first button pays.

    :param params: the parameters.
    :return: the ``reply_markup`` of the message.
    :raises ApiError: the keyboard is malformed, or another button than the first one pays.
    """
    keyboard = inline_keyboard(params)
    if not keyboard:
        return {"reply_markup": {"inline_keyboard": [[{"text": "Pay", "pay": True}]]}}
    rows = keyboard["reply_markup"]["inline_keyboard"]
    pays = [bool(button.get("pay")) for row in rows for button in row]
    if not any(pays):
        raise ApiError(400, "Bad Request: REPLY_MARKUP_BUY_EMPTY")
    if not pays[0] or any(pays[1:]):
        raise ApiError(400, "Bad Request: BUTTON_POS_INVALID")
    return keyboard


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
