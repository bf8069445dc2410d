"""The bot's own links, fixed by configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from gp_aiogram.errors import ConfigurationError, short_repr

LinkKind = Literal["start", "startapp", "startgroup"]

#: Telegram's domain, and those that it keeps beside it.
TELEGRAM = "t.me"
_ALIASES = frozenset({TELEGRAM, "telegram.me", "telegram.dog"})

_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*", re.IGNORECASE)

#: Telegram's rule for usernames, and the shortest that were ever given out.
_USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,31}")

#: The short name of a Mini App, as BotFather asks for it.
_APP_NAME = re.compile(r"[A-Za-z0-9_]{3,30}")

_INVITE = re.compile(r"https://(?P<domain>[A-Za-z0-9.-]+)(?P<path>/[!-~]+)")


@dataclass(frozen=True)
class BotLinks:
    """Where a person who clicked an ad is sent.

    Source: https://core.telegram.org/api/links, "Bot links", "Direct Mini App links" and
    "Main Mini App links".

    :param bot: the bot's username, with or without ``@``.
    :param kind: ``"start"`` opens the chat with the bot, ``"startgroup"`` has the person choose a
        group for it, ``"startapp"`` opens a Mini App.
    :param app_name: short name of the Mini App; None means the bot's main one.
    :param domain: of the links: Telegram's, or one that leads to it.
    :raises ConfigurationError: when an argument is invalid.
    """

    bot: str
    kind: LinkKind = "start"
    app_name: str | None = None
    domain: str = TELEGRAM
    #: The link of a person without a session.
    plain: str = field(init=False)

    def __post_init__(self) -> None:
        given: object = self.bot
        bot = given.removeprefix("@") if isinstance(given, str) else ""
        if not _USERNAME.fullmatch(bot):
            msg = f"Landing(bot=...) must be the bot's username, not {short_repr(given)}"
            raise ConfigurationError(msg)
        if self.kind not in get_args(LinkKind):
            kinds = ", ".join(get_args(LinkKind))
            msg = f"Landing(kind=...) must be one of {kinds}, not {short_repr(self.kind)}"
            raise ConfigurationError(msg)
        if self.app_name is not None:
            if self.kind != "startapp":
                msg = f"Landing(app_name=...) needs kind='startapp', not {self.kind!r}"
                raise ConfigurationError(msg)
            if not _APP_NAME.fullmatch(self.app_name):
                msg = (
                    f"Landing(app_name=...) must be a short name, not {short_repr(self.app_name)}"
                )
                raise ConfigurationError(msg)
        domain: object = self.domain
        if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain):
            msg = f"Landing(domain=...) must be a domain such as t.me, not {short_repr(domain)}"
            raise ConfigurationError(msg)
        object.__setattr__(self, "bot", bot)
        object.__setattr__(self, "domain", domain.lower())
        needs_kind = self.kind != "start" and self.app_name is None
        object.__setattr__(self, "plain", self._base + (f"?{self.kind}" if needs_kind else ""))

    def with_session(self, session_id: str) -> str:
        """Return the link that carries a session into the bot."""
        return f"{self._base}?{self.kind}={session_id}"

    def invite(self, link: object) -> str | None:
        """Return an invite link, which Telegram makes for ``t.me``, with the domain chosen here.

        :return: None when it is no link of Telegram's.
        """
        match = _INVITE.fullmatch(link) if isinstance(link, str) else None
        if match is None or match["domain"].lower() not in {*_ALIASES, self.domain}:
            return None
        domain = self.domain if match["domain"].lower() == TELEGRAM else match["domain"]
        return f"https://{domain}{match['path']}"

    @property
    def _base(self) -> str:
        app = f"/{self.app_name}" if self.app_name else ""
        return f"https://{self.domain}/{self.bot}{app}"
