"""The OpenAPI document of the gateway, made of what the server itself checks by."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from gp_aiogram.web.gateway import batch, custom_events, idempotency, pixels
from gp_aiogram.web.gateway.endpoint import KEY_HEADER, REQUEST_ID, REQUEST_ID_HEADER
from gp_aiogram.web.gateway.limits import GatewayLimits

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string"}
_TEXT_OR_NULL: _Schema = {"type": ["string", "null"]}

#: Why a status is answered; in the order in which a request is checked.
_REASONS: Mapping[str, str] = {
    "400": "The body is no JSON object, or a header is malformed.",
    "401": f"{KEY_HEADER} is missing or wrong.",
    "403": "workspace_id is not the workspace that the key stands for.",
    "404": "The lead or the pixel is not known.",
    "408": "The body took too long to arrive.",
    "409": "The Idempotency-Key was used for another body.",
    "413": "The body is too long.",
    "422": "Fields are wrong, all of them named.",
    "429": "The key has asked too often.",
    "500": "Something failed in the gateway; its log tells what under the request's id.",
    "503": "The store is away or slow. Repeat the request with the same Idempotency-Key.",
}

_IN_WORDS: _Schema = {
    "type": "object",
    "properties": {
        "ok": {"const": False},
        "error": {**_TEXT, "description": "The details in one text."},
        "details": {"type": "array", "items": _TEXT, "minItems": 1},
        "request_id": _TEXT,
    },
    "required": ["ok", "error", "details", "request_id"],
    "additionalProperties": False,
}

_WITH_CODE: _Schema = {
    "type": "object",
    "properties": {
        "success": {"const": False},
        "error": {
            "type": "object",
            "properties": {
                "code": _TEXT,
                "message": _TEXT,
                "details": {"type": "array", "items": _TEXT, "minItems": 1},
                "requestId": _TEXT,
            },
            "required": ["code", "message"],
            "additionalProperties": False,
        },
    },
    "required": ["success", "error"],
    "additionalProperties": False,
}

_EVENT = {"event_id": _TEXT, "session_id": _TEXT_OR_NULL}


def document(prefix: str, limits: GatewayLimits) -> _Schema:
    """Return the document.

    :param prefix: the path above the endpoints.
    :param limits: of this gateway.
    """
    components = {
        "CustomEvent": custom_events.BODY.schema(),
        "BatchEvent": batch.ITEM.schema(),
        "Batch": _batch(limits.max_batch),
        "Pixel": pixels.BODY.schema(),
        "Recorded": _success("ok", _one_recorded()),
        "BatchRecorded": _success("ok", _many_recorded()),
        "Fired": _success("success", _fired()),
        "Error": _IN_WORDS,
        "CodedError": _WITH_CODE,
    }
    custom = _operation("sendCustomEvent", "Send Custom Event", "CustomEvent", "Recorded")
    second = {**custom, "operationId": "sendCustomEventByTheOtherPath"}
    paths = {
        custom_events.PATHS[0]: custom,
        custom_events.PATHS[1]: second,
        batch.PATH: _operation("sendBatch", "Send many events", "Batch", "BatchRecorded"),
        pixels.PATH: _pixel_operation(),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gp_aiogram gateway",
            "version": version("gp-aiogram"),
            "description": _described(limits),
        },
        "servers": [{"url": prefix or "/"}],
        "security": [{"key": []}],
        "paths": {path: {"post": operation} for path, operation in paths.items()},
        "components": {
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": KEY_HEADER}},
            "schemas": components,
        },
    }


def _described(limits: GatewayLimits) -> str:
    rate = "no limit" if limits.per_minute is None else f"{limits.per_minute:g} events a minute"
    return (
        f"A body has at most {limits.max_body} bytes, a batch {limits.max_batch} events; "
        f"a key has {rate}. user_data has at most 65536 bytes as JSON and 32 levels. "
        "An answer of success comes when the event is durable."
    )


def _batch(max_batch: int) -> _Schema:
    schema = batch.body(max_batch).schema()
    schema["properties"]["events"]["items"] = _ref("BatchEvent")
    return schema


def _one_recorded() -> _Schema:
    return _object({**_EVENT, "status": {"enum": ["processed", "ignored"]}})


def _many_recorded() -> _Schema:
    event = _object(
        {
            "event_id": _TEXT_OR_NULL,
            "session_id": _TEXT_OR_NULL,
            "status": {"enum": list(batch.BATCH_STATUSES)},
        },
        error=_TEXT,
    )
    return _object({"events": {"type": "array", "items": event, "minItems": 1}})


def _fired() -> _Schema:
    echoed = dict.fromkeys(pixels.ECHOED, _TEXT)
    platform = {"enum": list(pixels.PLATFORMS)}
    return _object({"success": {"type": "boolean"}, **echoed, "platform": platform})


def _success(flag: str, data: _Schema) -> _Schema:
    return _object({flag: {"const": True}, "data": data})


def _object(properties: Mapping[str, _Schema], **optional: _Schema) -> _Schema:
    return {
        "type": "object",
        "properties": {**properties, **optional},
        "required": list(properties),
        "additionalProperties": False,
    }


def _operation(name: str, summary: str, body: str, answer: str) -> _Schema:
    statuses = [status for status in _REASONS if status != "404"]
    return {
        "operationId": name,
        "summary": summary,
        "parameters": _parameters(),
        "requestBody": _content(body),
        "responses": {"200": _answer(answer), **{one: _error(one, "Error") for one in statuses}},
    }


def _pixel_operation() -> _Schema:
    statuses = [status for status in _REASONS if status != "403"]
    return {
        "operationId": "firePixel",
        "summary": "Fire a conversion pixel event",
        "parameters": _parameters(),
        "requestBody": _content("Pixel"),
        "responses": {
            "200": _answer("Fired"),
            **{one: _error(one, "CodedError") for one in statuses},
        },
    }


def _parameters() -> list[_Schema]:
    key = {
        "name": idempotency.HEADER,
        "in": "header",
        "description": "Lets one event through for it, however often the request is repeated.",
        "schema": {
            **_TEXT,
            "minLength": 1,
            "maxLength": idempotency.MAX_KEY,
            "pattern": idempotency.PATTERN,
        },
    }
    request_id = {
        "name": REQUEST_ID_HEADER,
        "in": "header",
        "description": f"Named in answers and the log, if it matches {REQUEST_ID}.",
        "schema": _TEXT,
    }
    return [key, request_id]


def _content(name: str) -> _Schema:
    return {"required": True, "content": {"application/json": {"schema": _ref(name)}}}


def _answer(name: str) -> _Schema:
    replayed = {
        "description": "The request was known, and nothing was recorded again.",
        "schema": {"const": "true"},
    }
    return {
        "description": "The event is durable.",
        "headers": {REQUEST_ID_HEADER: _id_header(), idempotency.REPLAYED: replayed},
        "content": {"application/json": {"schema": _ref(name)}},
    }


def _error(status: str, name: str) -> _Schema:
    headers = {REQUEST_ID_HEADER: _id_header()}
    if status in ("429", "503"):
        seconds = {"type": "string", "pattern": "^[0-9]+$"}
        headers["Retry-After"] = {"description": "Seconds.", "schema": seconds, "required": True}
    return {
        "description": _REASONS[status],
        "headers": headers,
        "content": {"application/json": {"schema": _ref(name)}},
    }


def _id_header() -> _Schema:
    return {"description": "Names the request.", "schema": _TEXT, "required": True}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}
