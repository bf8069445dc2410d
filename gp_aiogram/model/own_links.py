"""Tells the touches of a bot's own links from those of ads."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from gp_aiogram.errors import ConfigurationError, short_repr

#: What :class:`~gp_aiogram.Attribution` takes as ``own``.
Own = str | re.Pattern[str] | Collection[str]

#: "If the link was created by another chat administrator, then the second part of the link will be
#: replaced with “…”" (Bot API, ``ChatInviteLink``).
CUT = "…"


@dataclass(frozen=True)
class OwnLinks:
    """The links that a bot's owner spreads themselves.

    :param names: payloads, session ids, and invite links without their scheme.
    :param sources: every touch of these.
    :param pattern: what a whole payload matches; None matches none.
    """

    names: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None

    def hold(self, source: str, payload: str, session_id: str) -> bool:
        """Return whether a touch came by one of them."""
        if source in self.sources or payload in self.names or session_id in self.names:
            return True
        return self.pattern is not None and self.pattern.fullmatch(payload) is not None


def own_links(own: Own, sources: Collection[str]) -> OwnLinks:
    """Read what :class:`~gp_aiogram.Attribution` takes as ``own``.

    :param own: a regular expression, or names.
    :param sources: the names that mean a source.
    :raises ConfigurationError: when it is neither.
    """
    if isinstance(own, (str, re.Pattern)):
        return OwnLinks(pattern=_compiled(own))
    given: object = own
    if not isinstance(given, (set, frozenset, list, tuple)):
        msg = (
            "Attribution(own=...) must be a regular expression for payloads, or a set of "
            f"payloads, sources and invite links, not {short_repr(own)}"
        )
        raise ConfigurationError(msg)
    for name in given:
        if not isinstance(name, str) or not name.strip() or name.rstrip().endswith(CUT):
            msg = f"Attribution(own=...) must hold whole payloads or links, not {short_repr(name)}"
            raise ConfigurationError(msg)
    return OwnLinks(
        names=frozenset(plain_link(name) for name in given if name not in sources),
        sources=frozenset(name for name in given if name in sources),
    )


def plain_link(link: str) -> str:
    """Return an invite link without what people write differently."""
    return link.strip().removeprefix("http://").removeprefix("https://")


def _compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
        compiled.fullmatch("")  # a pattern of bytes matches no text
    except (re.error, TypeError) as error:
        msg = f"Attribution(own={pattern!r}) is not a regular expression: {error}"
        raise ConfigurationError(msg) from error
    return compiled
