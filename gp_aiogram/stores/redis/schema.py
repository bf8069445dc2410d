"""The names of the keys, and what their version is.

Braces mark what Redis Cluster chooses the slot by: keys with the same braces are in one slot, and
may be worked on by one script.

=============================  ====================================================================
``gp:{u7}:touches``            hash: the touches of user 7
``gp:{u7}:traits``             hash: their traits
``gp:{u7}:dropped``            set: sessions of erased touches, until their indexes are done
``gp:{sgp_a}:click``           text: the click of session gp_a
``gp:{sgp_a}:links``           set: the invite links that carry the session
``gp:{sgp_a}:users``           index: users who have, or had, a touch of the session
``gp:{c…}:sessions``           index: sessions whose click holds, or held, an id
``gp:{d…}:users``              set: users who have, or had, a lead id
``gp:{l…}:invite``             text: the session that an invite link carries
``gp:{t3}:touches``            calendar: users by their oldest touch
``gp:{t3}:clicks``             calendar: sessions by their click
``gp:{k3}:unmatched:…``        text: a conversion whose user has not turned up, by its key
``gp:{k3}:unmatched``          order: the keys of these, by their times
``gp:{c…}:unmatched``          order: keys of those that name a click id, or a session id
``gp:layout``                  text: the version of all this
=============================  ====================================================================

The keys of a user, a session or a conversion decide. What an index, a calendar, an order or an
invite says is checked by them: it is written before they are and removed after, or with them where
it is in their slot, so that a crash leaves too much there, not too little.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from zlib import crc32

from gp_aiogram.errors import ConfigurationError, short_repr

#: The version of the layout.
LAYOUT_VERSION = 1

#: Calendars, and slots of conversions, so that no slot of a cluster gets them all.
SHARDS = 16

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class Keys:
    """The names of keys that begin with a prefix.

    :raises ConfigurationError: when the prefix holds other than letters, digits and ``_.:-``.
    """

    def __init__(self, prefix: object) -> None:
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            msg = (
                "RedisStore(prefix=...) must be 1 to 64 of the characters A-Z a-z 0-9 _ . : -, "
                f"not {short_repr(prefix)}"
            )
            raise ConfigurationError(msg)
        self._prefix = prefix
        self.layout = f"{prefix}:layout"
        #: The calendars of touches and of clicks.
        self.touch_calendars = [f"{prefix}:{{t{shard}}}:touches" for shard in range(SHARDS)]
        self.click_calendars = [f"{prefix}:{{t{shard}}}:clicks" for shard in range(SHARDS)]
        #: The orders that hold every conversion.
        self.unmatched_orders = [f"{prefix}:{{k{shard}}}:unmatched" for shard in range(SHARDS)]

    def touches(self, telegram_id: int) -> tuple[str, str]:
        """Return where the touches of a user are, and where sessions of erased ones."""
        user = f"{self._prefix}:{{u{telegram_id}}}"
        return f"{user}:touches", f"{user}:dropped"

    def traits(self, telegram_id: int) -> str:
        """Return where the traits of a user are."""
        return f"{self._prefix}:{{u{telegram_id}}}:traits"

    def touch_calendar(self, telegram_id: int) -> str:
        """Return where a user is by their oldest touch."""
        return self.touch_calendars[telegram_id % SHARDS]

    def click(self, session_id: str) -> tuple[bytes, bytes]:
        """Return where the click of a session is, and its invite links."""
        session = self._session(session_id)
        return session + b":click", session + b":links"

    def users(self, session_id: str) -> bytes:
        """Return where the users of a session are."""
        return self._session(session_id) + b":users"

    def click_calendar(self, session_id: str) -> str:
        """Return where a session is by its click."""
        return self.click_calendars[crc32(_encoded(session_id)) % SHARDS]

    def sessions(self, click_id: str) -> str:
        """Return where the sessions are whose click holds an id."""
        return f"{self._prefix}:{{c{_digest(click_id)}}}:sessions"

    def users_of_lead(self, lead_id: str) -> str:
        """Return where the users are who have a lead id among their traits."""
        return f"{self._prefix}:{{d{_digest(lead_id)}}}:users"

    def invite(self, link: str) -> str:
        """Return where the session is that an invite link carries."""
        return f"{self._prefix}:{{l{_digest(link)}}}:invite"

    def unmatched(self, key: str) -> tuple[str, str]:
        """Return where a conversion is, and the order that holds it."""
        order = self.unmatched_orders[crc32(_encoded(key)) % SHARDS]
        return f"{order}:{_digest(key)}", order

    def unmatched_of(self, click_id: str) -> str:
        """Return where the conversions are in order that name a click id, or a session id."""
        return f"{self._prefix}:{{c{_digest(click_id)}}}:unmatched"

    def _session(self, session_id: str) -> bytes:
        return b"%s:{s%s}" % (self._prefix.encode(), _encoded(session_id))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _digest(text: str) -> str:
    """Shorten what may be long: a TikTok click id has up to 1000 characters."""
    return blake2b(_encoded(text), digest_size=16).hexdigest()
