"""Who may call the gateway: API keys, and the workspaces that they stand for."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from gp_aiogram.destinations.arguments import validate_secret
from gp_aiogram.errors import ConfigurationError

#: Digits of a key's digest by which the log names it.
_SHOWN = 8


class Caller(NamedTuple):
    """Whoever called with a valid key.

    :param workspace_id: a UUID in lower case.
    :param key_id: names the key in the log: the first digits of its digest.
    """

    workspace_id: str
    key_id: str


class ApiKeys:
    """Knows callers by their keys, of which it keeps digests only.

    :param keys: workspace by key; several keys may stand for one workspace.
    :raises ConfigurationError: when there is no key, or one of them or its workspace is none.
    """

    def __init__(self, keys: Mapping[str, str | UUID]) -> None:
        given: object = keys
        if not isinstance(given, Mapping) or not given:
            msg = (
                "Gateway(keys=...) must map API keys to workspaces, such as "
                "{'a long random key': '0f8fad5b-d9cb-469f-a165-70867728950e'}"
            )
            raise ConfigurationError(msg)
        self._callers = [_entry(key, workspace_id) for key, workspace_id in keys.items()]

    def __repr__(self) -> str:
        return f"ApiKeys({len(self._callers)} of {len(self.workspaces)} workspace(s))"

    @property
    def workspaces(self) -> frozenset[str]:
        """The workspaces that there are."""
        return frozenset(caller.workspace_id for _, caller in self._callers)

    def find(self, key: str | None) -> Caller | None:
        """Return who has a key; None when nobody has.

        Each key is compared, each in constant time: how long it takes tells nothing of any.
        """
        if key is None:
            return None
        digest = _digest(key)
        found = None
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def _entry(key: object, workspace_id: object) -> tuple[bytes, Caller]:
    digest = _digest(validate_secret("an API key in Gateway(keys=...)", key))
    try:
        workspace = str(UUID(str(workspace_id)))
    except ValueError:
        msg = (
            "each workspace in Gateway(keys=...) must be a UUID such as "
            "'0f8fad5b-d9cb-469f-a165-70867728950e'"
        )
        raise ConfigurationError(msg) from None
    return digest, Caller(workspace, digest.hex()[:_SHOWN])


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
