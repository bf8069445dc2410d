"""Validates the arguments of destinations, so that a mistake is reported at construction.

``where`` names the argument in messages, e.g. ``MetaCAPI(pixel_id=...)``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

import httpx

from gp_aiogram.errors import ConfigurationError, short_repr

logger = logging.getLogger("gp_aiogram.destinations")

#: Ids of pixels, apps and tests. Meta's are digits, TikTok's letters and digits.
_CODE = re.compile("[A-Za-z0-9_.-]{1,64}")


def validate_url(where: str, base_url: object) -> str:
    """Return the URL that paths of an HTTP API are appended to.

    :raises ConfigurationError: without showing the URL: a user in it may have a password.
    """
    text = str(base_url).rstrip("/")
    try:
        url, port = httpx.URL(text), urlsplit(text).port
    except (httpx.InvalidURL, ValueError):
        url, port = httpx.URL(), None
    odd = url.userinfo or "?" in text or "#" in text or " " in text or not text.isprintable()
    if url.scheme not in {"http", "https"} or not url.host or port == 0 or odd:
        msg = (
            f"{where} must be an http or https URL such as 'https://api.example.com', "
            "without user, query, fragment and white space"
        )
        raise ConfigurationError(msg)
    return text


def validate_secret(where: str, secret: object) -> str:
    """Return a secret that can go into an HTTP header.

    :raises ConfigurationError: without showing the secret.
    """
    if not isinstance(secret, str):
        problem = f"is empty or not a plain ASCII text, but of the type {type(secret).__name__}"
    elif not secret or not secret.isascii():
        problem = "is empty or not a plain ASCII text"
    elif not secret.isprintable() or " " in secret:
        problem = "holds white space or control characters: was it pasted with a line break?"
    else:
        return secret
    msg = f"{where} {problem}"
    raise ConfigurationError(msg)


def validate_code(where: str, code: object) -> str:
    """Return the id of a pixel, an app or a test.

    :raises ConfigurationError: without showing the id: it may be a token, pasted by mistake.
    """
    text = str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else ""
    if not _CODE.fullmatch(text):
        msg = (
            f"{where} must be the id that Events Manager shows: at most 64 letters, digits, dots, "
            "hyphens and underscores; is it the access token by mistake?"
        )
        raise ConfigurationError(msg)
    return text


def validate_test_code(where: str, code: object, destination: str, consequence: str) -> str:
    """Return the code of a test, and log a warning, because it is easily forgotten.

    :param destination: its name.
    :param consequence: what becomes of events with the code.
    :raises ConfigurationError: as :func:`validate_code`.
    """
    text = validate_code(where, code)
    logger.warning(
        "%s: test_event_code is set, and %s: remove it when the test is over",
        destination,
        consequence,
    )
    return text


def validate_choice(where: str, choice: object, choices: Collection[str], advice: str = "") -> str:
    """Return one of several texts.

    :param advice: added to the message.
    :raises ConfigurationError: when it is none of them.
    """
    if not isinstance(choice, str) or choice not in choices:
        msg = f"{where} must be one of {', '.join(choices)}, not {short_repr(choice)}{advice}"
        raise ConfigurationError(msg)
    return choice


def validate_flag(where: str, flag: object) -> bool:
    """Return a yes or no.

    :raises ConfigurationError: when it is neither.
    """
    if not isinstance(flag, bool):
        msg = f"{where} must be True or False, not {short_repr(flag)}"
        raise ConfigurationError(msg)
    return flag


def validate_batch_size(where: str, size: object, most: int) -> int:
    """Return a number of events per request.

    :raises ConfigurationError: when it is not from 1 to ``most``.
    """
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= most:
        msg = f"{where} must be a number of events from 1 to {most}, not {short_repr(size)}"
        raise ConfigurationError(msg)
    return size


def validate_event_names(where: str, names: object) -> dict[str, str]:
    """Return what the caller wants our events to be called on the platform.

    :param names: a mapping of our names to the platform's; None is an empty one.
    :raises ConfigurationError: when it is anything else.
    """
    pairs = {} if names is None else names
    if not isinstance(pairs, Mapping) or not _are_names([*pairs, *pairs.values()]):
        msg = f"{where} must map event names to event names, such as {{'REG': 'Lead'}}"
        raise ConfigurationError(msg)
    return dict(pairs)


def validate_only(where: str, only: object) -> frozenset[str] | None:
    """Return the names of the events that a destination gets; None for all.

    :raises ConfigurationError: when it is no collection of event names; a single text says how
        to write it.
    """
    if only is None:
        return None
    if isinstance(only, str):
        msg = f"{where} must be a collection of event names: write {{{short_repr(only)}}}"
        raise ConfigurationError(msg)
    if not isinstance(only, Collection) or not _are_names(only):
        msg = f"{where} must be a collection of event names, such as {{'FTD', 'DEP'}}"
        raise ConfigurationError(msg)
    return frozenset(only)


def _are_names(names: Collection[object]) -> bool:
    return all(isinstance(name, str) and name.strip() for name in names)
