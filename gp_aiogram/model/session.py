"""Sessions: the grammar of payloads, the touches of users, and the touch that counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from gp_aiogram.errors import ConfigurationError

Source = Literal["start", "startgroup", "startapp", "invite", "join_request", "manual"]
Touch = Literal["first", "last"]

SOURCES: frozenset[str] = frozenset(get_args(Source))

#: What the value of a GramPixel deep link looks like (``t.me/your_bot?start=gp_a1b2c3``).
SESSION_PATTERN = r"gp_[A-Za-z0-9_-]+"

#: A longer window would reach back beyond the calendar.
LONGEST_WINDOW = timedelta(days=36_500)

#: Characters of ``?start=`` and of ``?startapp=``:
#: https://core.telegram.org/bots/features#deep-linking, https://core.telegram.org/api/links
START_LENGTH, STARTAPP_LENGTH = 64, 512

_DEEP_LINK_VALUE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Session:
    """One touch of one user.

    :param bot_id: the bot that was opened; None when nobody could tell.
    :param telegram_id: the user.
    :param session_id: what links the user to the click, e.g. ``gp_a1b2c3``.
    :param source: where the touch came in.
    :param at: when, in UTC.
    :param payload: the whole deep-link value, of which the session id may be a part.
    """

    bot_id: int | None
    telegram_id: int
    session_id: str
    source: Source
    at: datetime
    payload: str


@dataclass(frozen=True)
class SessionQuery:
    """Which touch of a user is looked for.

    :param bot_id: a touch of this bot; None means of any bot.
    :param since: not older than this; None sets no limit.
    :param until: not younger than this; None sets no limit.
    :param first: the first touch counts, not the last.
    :param preferred: touches of these sources count before all others.
    """

    telegram_id: int
    bot_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    first: bool = False
    preferred: Collection[Source] = ()


def pick(history: Iterable[Session], query: SessionQuery) -> Session | None:
    """Return the touch that counts.

    :param history: touches of the user, oldest first.
    :return: None when no touch answers the query.
    """
    found: Session | None = None
    for touch in history:
        if not _answers(touch, query):
            continue
        if found is None or _comes_before(touch, found, query):
            found = touch
    return found


def _answers(touch: Session, query: SessionQuery) -> bool:
    return (
        query.bot_id in (None, touch.bot_id)
        and (query.since is None or touch.at >= query.since)
        and (query.until is None or touch.at <= query.until)
    )


def _comes_before(later: Session, earlier: Session, query: SessionQuery) -> bool:
    """Tell which of two touches counts."""
    is_preferred = later.source in query.preferred
    was_preferred = earlier.source in query.preferred
    return not query.first if is_preferred == was_preferred else is_preferred


@dataclass(frozen=True)
class Attribution:
    """How payloads are read, and which touch counts.

    :param touch: ``"last"`` or ``"first"`` touch within the window.
    :param window: a touch older than this at the time of the event does not count.
        30 days is GramPixel's own default (help page "How Conversion Attribution Works");
        at most 36500 days.
    :param pattern: regular expression that the whole payload must match.
    :param invites_first: a touch by an invite link or a join request counts before any other, as
        GramPixel resolves sessions ("Send Custom Event": invite sessions, then the history, then
        the last known session).
    :param parse: turns a payload that matched into its session id, for composite payloads such as
        ``gp_a1b2c3__ref42``; None from it means that this payload holds no session.
    :raises ConfigurationError: when one of them makes no sense.
    """

    touch: Touch = "last"
    window: timedelta = timedelta(days=30)
    pattern: str | re.Pattern[str] = SESSION_PATTERN
    parse: Callable[[str], str | None] | None = None
    invites_first: bool = True
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.touch not in get_args(Touch):
            msg = f"Attribution(touch=...) must be 'first' or 'last', not {self.touch!r}"
            raise ConfigurationError(msg)
        window: object = self.window
        if not isinstance(window, timedelta) or not timedelta(0) < window <= LONGEST_WINDOW:
            msg = (
                "Attribution(window=...) must be a positive timedelta of at most "
                f"{LONGEST_WINDOW.days} days, not {window!r}"
            )
            raise ConfigurationError(msg)
        try:
            compiled = re.compile(self.pattern)
            compiled.fullmatch("")  # a pattern of bytes matches no text
        except (re.error, TypeError) as error:
            msg = f"Attribution(pattern={self.pattern!r}) is not a regular expression: {error}"
            raise ConfigurationError(msg) from error
        object.__setattr__(self, "_compiled", compiled)

    @property
    def preferred(self) -> tuple[Source, ...]:
        """Sources whose touches count before all others."""
        return ("invite", "join_request") if self.invites_first else ()

    def session_id(self, payload: str, *, longest: int = START_LENGTH) -> str | None:
        """Read the session id from a deep-link payload.

        :param payload: what followed ``/start``.
        :param longest: characters that a link of this kind carries.
        :return: None when the payload is not ours: rubbish, too long, or refused by ``parse``.
        :raises Exception: whatever the user's ``parse`` raises.
        """
        fits = len(payload) <= longest and _DEEP_LINK_VALUE.fullmatch(payload)
        if not fits or not self._compiled.fullmatch(payload):
            return None
        if self.parse is None:
            return payload
        return self.parse(payload) or None
