"""The secret keys in the addresses of postbacks: which is right, and that no log shows one."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Generic, TypeVar

from gp_aiogram.errors import ConfigurationError

T = TypeVar("T")

#: Passes unchanged through every address; shorter ones could be guessed.
_KEY = re.compile(r"[A-Za-z0-9_-]{16,200}")

#: Loggers of aiohttp that write addresses of requests.
_LOGGERS = ("aiohttp.access", "aiohttp.server", "aiohttp.web")


class SecretKeys(Generic[T]):
    """Finds by its key what a request is meant for.

    :param keys: what each key stands for.
    :raises ConfigurationError: when there is none, or one that could be guessed.
    """

    def __init__(self, keys: Mapping[str, T]) -> None:
        given: Collection[object] = keys
        for key in given:
            if not isinstance(key, str) or not _KEY.fullmatch(key):
                msg = (
                    "Postbacks(key=...) must have 16 to 200 letters, digits, - and _: make one "
                    "with python -c 'import secrets; print(secrets.token_urlsafe(24))'"
                )
                raise ConfigurationError(msg)
        if not keys:
            msg = "Postbacks(key=...) needs a key"
            raise ConfigurationError(msg)
        self._by_digest = [(_digest(key), meant) for key, meant in keys.items()]
        self._mask = _Mask(keys)

    def find(self, given: str) -> T | None:
        """Return what a key stands for; it takes as long whatever was given."""
        digest = _digest(given)
        found = [meant for known, meant in self._by_digest if compare_digest(known, digest)]
        return found[0] if found else None

    def mask_logs(self) -> None:
        """Keep the keys out of aiohttp's own logs, from now on."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._mask)

    def unmask_logs(self) -> None:
        """Undo :meth:`mask_logs`."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._mask)


class _Mask(logging.Filter):
    """Masks secrets in a log record."""

    def __init__(self, secrets: Collection[str]) -> None:
        super().__init__()
        # The longest first, so that no other leaves a part of it.
        ordered = sorted(secrets, key=len, reverse=True)
        self._secret = re.compile("|".join(map(re.escape, ordered)))

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._secret.sub("***", record.getMessage()), ()
        if record.exc_info:  # of a request that aiohttp cannot read, and quotes
            told = _FORMATTER.formatException(record.exc_info)
            if self._secret.search(told):
                record.exc_info, record.exc_text = None, told
        for name, value in vars(record).items():
            if isinstance(value, str):  # the access log has each of its parts as an attribute, too
                setattr(record, name, self._secret.sub("***", value))
        return True


_FORMATTER = logging.Formatter()


def _digest(key: str) -> bytes:
    return sha256(key.encode(errors="surrogatepass")).digest()
