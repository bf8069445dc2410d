"""Which bots a tracker serves, as far as their updates have shown."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class Bots:
    """The bots whose updates came through here, with their usernames as far as known."""

    def __init__(self) -> None:
        self._usernames: dict[int, str | None] = {}
        #: By id, read-only.
        self.usernames: Mapping[int, str | None] = MappingProxyType(self._usernames)

    def meet(self, bot_id: int, username: str | None = None) -> None:
        """Remember a bot, and its username once somebody knows it."""
        if username is not None or bot_id not in self._usernames:
            self._usernames[bot_id] = username

    def username(self, bot_id: int | None) -> str | None:
        """Return a bot's username, without ``@``; None while nobody knows it."""
        return None if bot_id is None else self._usernames.get(bot_id)

    def only(self) -> int | None:
        """Return the bot if there is only one: it stands in where none is named."""
        if len(self._usernames) != 1:
            return None
        (bot_id,) = self._usernames
        return bot_id
