"""Sessions: the grammar of payloads, the touches of users, and the touch that counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol, get_args

from gp_aiogram.errors import ConfigurationError, EventError, short_repr
from gp_aiogram.model.click_ids import stands_for_nothing, usable_id
from gp_aiogram.model.own_links import Own, OwnLinks, own_links, plain_link
from gp_aiogram.model.wording import describe

Source = Literal["start", "startgroup", "startapp", "invite", "join_request", "manual", "history"]
Touch = Literal["first", "last"]

#: Where a touch comes from. A session that a :class:`SessionHistory` has found is no touch.
SOURCES: frozenset[str] = frozenset(get_args(Source)) - {"history"}

#: What the value of a GramPixel deep link looks like (``t.me/your_bot?start=gp_a1b2c3``).
SESSION_PATTERN = r"gp_[A-Za-z0-9_-]+"

#: A longer window would reach back beyond the calendar.
LONGEST_WINDOW = timedelta(days=36_500)

#: Characters of ``?start=`` and of ``?startapp=``:
#: https://core.telegram.org/bots/features#deep-linking, https://core.telegram.org/api/links
START_LENGTH, STARTAPP_LENGTH = 64, 512

#: How every payload of GramPixel begins, and so does :data:`SESSION_PATTERN`.
_PREFIX = "gp_"

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
    :param own: the bot's own links, whose touches count only where there is no other; None means
        that there are none.
    """

    telegram_id: int
    bot_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    first: bool = False
    preferred: Collection[Source] = ()
    own: OwnLinks | None = None


class SessionHistory(Protocol):
    """Resolves sessions from elsewhere, such as the events in an analytics database.

    It may be slow or away: it gets a quarter of a second, and what it raises costs nothing.
    """

    async def find(self, query: SessionQuery) -> Session | None:
        """Return the session that answers the query; None when there is none."""

    async def close(self) -> None:
        """Let go of connections; a later question opens new ones."""


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
    rank, other = _rank(later, query), _rank(earlier, query)
    return not query.first if rank == other else rank > other


def _rank(touch: Session, query: SessionQuery) -> tuple[bool, bool]:
    return not is_by_own_link(touch, query), touch.source in query.preferred


def is_by_own_link(touch: Session, query: SessionQuery) -> bool:
    """Return whether a touch came by one of the bot's own links, which count last."""
    own = query.own
    return own is not None and own.hold(touch.source, touch.payload, touch.session_id)


class Parsed(NamedTuple):
    """What a payload holds.

    :param ids: ids of the click by their names, where the payload carries them itself.
    """

    session_id: str
    ids: Mapping[str, str] = MappingProxyType({})


#: What ``Attribution(parse=...)`` may return.
ParseResult = str | tuple[str, Mapping[str, str]] | None


@dataclass(frozen=True)
class Attribution:
    """How payloads are read, and which touch gets the credit.

    :param touch: ``"last"`` or ``"first"``: which touch within the window counts.
    :param window: a touch older than this at the time of the event does not count.
        30 days is GramPixel's own default (help page "How Conversion Attribution Works");
        at most 36500 days.
    :param pattern: a regular expression that the whole payload must match.
    :param invites_first: a touch by an invite link or a join request counts before all others, in
        the order of GramPixel ("Send Custom Event": invite sessions, then the history, then the
        last known session).
    :param parse: a function that gets a payload that matched. It returns the session id, for
        composite payloads such as ``gp_a1b2c3__ref42``; or the session id and ids of the click,
        such as ``("kt-7f3a", {"subid": "7f3a"})``, which are stored as a landing page stores them;
        or None if the payload holds no session.
    :param history: where to look for a session after touches by invite links and join requests,
        and before all other touches. This is GramPixel's order, whose second step is "ClickHouse
        events". See :class:`~gp_aiogram.ClickHouseHistory`.
    :param own: your own links, which take no credit from ads: their touches count only if there is
        no touch of an ad within the window. A regular expression that the whole payload matches,
        or a set of payloads, session ids, sources such as ``"invite"``, and invite links.
    :raises ConfigurationError: when an argument is invalid.
    """

    touch: Touch = "last"
    window: timedelta = timedelta(days=30)
    pattern: str | re.Pattern[str] = SESSION_PATTERN
    parse: Callable[[str], ParseResult] | None = None
    invites_first: bool = True
    history: SessionHistory | None = None
    own: Own = ()
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)
    #: The bot's own links; None where it has none.
    own_links: OwnLinks | None = field(init=False, repr=False, compare=False)

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
        calls = (getattr(self.history, name, None) for name in ("find", "close"))
        if self.history is not None and not all(map(callable, calls)):
            msg = (
                "Attribution(history=...) must have find(query) and close(), such as "
                f"ClickHouseHistory(...), not {short_repr(self.history)}"
            )
            raise ConfigurationError(msg)
        links = own_links(self.own, SOURCES)
        object.__setattr__(self, "own_links", None if links == OwnLinks() else links)
        if not isinstance(self.own, (str, re.Pattern)):
            object.__setattr__(self, "own", frozenset(self.own))  # so that it has a hash

    @property
    def preferred(self) -> tuple[Source, ...]:
        """Sources whose touches count before all others."""
        return ("invite", "join_request") if self.invites_first else ()

    def session_id(self, payload: str, *, longest: int = START_LENGTH) -> str | None:
        """Read the session id from a deep-link payload; see :meth:`read`."""
        parsed = self.read(payload, longest=longest)
        return None if parsed is None else parsed.session_id

    def read(self, payload: str, *, longest: int = START_LENGTH) -> Parsed | None:
        """Read the session id, and what else there is, from a deep-link payload.

        :param payload: the text after ``/start``.
        :param longest: the most characters that a link of this kind can carry.
        :return: None when the payload holds no session: it does not match, is too long, is refused
            by ``parse``, or is a macro that was not replaced (``gp_null``, ``kt-__SUBID__``).
        :raises EventError: when ``parse`` returns something it must not return.
        :raises Exception: whatever your ``parse`` raises.
        """
        fits = len(payload) <= longest and _DEEP_LINK_VALUE.fullmatch(payload)
        if not fits or not self._compiled.fullmatch(payload):
            return None
        parsed = Parsed(payload) if self.parse is None else _parsed(self.parse(payload))
        if parsed is None or stands_for_nothing(parsed.session_id):
            return None
        if not parsed.ids:
            return parsed
        ids = {name: usable for name, value in parsed.ids.items() if (usable := usable_id(value))}
        return Parsed(parsed.session_id, ids) if ids else None

    def is_malformed(self, payload: str) -> bool:
        """Return whether a payload looks like a broken session id.

        Its link was cut, its macro was not replaced, or somebody made it up. This cannot be told
        with your own pattern, unless it begins with ``gp_``. A payload that ``parse`` refuses is
        not malformed.

        :param payload: one for which :meth:`read` returned None.
        """
        is_ours = self._compiled.pattern.removeprefix("^").startswith(_PREFIX)
        if not is_ours or not payload.startswith(_PREFIX):
            return False
        return self.parse is None or not self._compiled.fullmatch(payload)

    def is_own(self, touch: Session) -> bool:
        """Return whether a touch came by one of the bot's own links."""
        links = self.own_links
        return links is not None and links.hold(touch.source, touch.payload, touch.session_id)

    def payload_of_link(self, link: str) -> str | None:
        """Return the payload that a touch by your own invite link keeps; None for other links."""
        plain = plain_link(link)
        links = self.own_links
        return plain if links is not None and plain in links.names else None


def _parsed(result: object) -> Parsed | None:
    """Check what ``parse`` has returned.

    :raises EventError: when it is neither a session id nor None, with ids or without.
    """
    match result:
        case None | "":
            return None
        case str():
            return Parsed(result)
        case (str() as session_id, Mapping() as ids) if _are_texts(ids):
            return Parsed(session_id, ids) if session_id else None
    msg = (
        "Attribution(parse=...) must return a session id, a tuple such as "
        f"('kt-7f3a', {{'subid': '7f3a'}}), or None, not {describe(result)}"
    )
    raise EventError(msg)


def _are_texts(ids: Mapping[object, object]) -> bool:
    return all(isinstance(name, str) and isinstance(ids[name], str) for name in ids)
