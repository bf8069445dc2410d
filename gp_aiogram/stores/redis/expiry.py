"""How long Redis keeps what it is to forget by itself."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from gp_aiogram.model.retention import Retention

_MILLISECOND = timedelta(milliseconds=1)

#: Indexes outlive what they lead to, also where the clocks of a cluster's servers differ.
_LONGER = timedelta(days=1)

#: A tracker that is away for no longer than this still sees what has waited until a moment, and
#: tells that it gives it up.
_ABSENCE = timedelta(days=30)


class Expiry:
    """The longest that somebody asked for.

    :param retention: None waits for what a tracker says; until then, the default holds.
    """

    def __init__(self, retention: Retention | None) -> None:
        self._asked = [] if retention is None else [retention.sessions]

    def extend(self, retention: Retention) -> None:
        """Keep at least so long."""
        self._asked.append(retention.sessions)

    def beyond(self, moment: datetime | None) -> Expiry:
        """Return the same for what is to be there 30 days after a moment, if there is one."""
        longer = Expiry(None)
        longer._asked = [self._longest()]
        if moment is not None:
            longer._asked.append(moment - datetime.now(timezone.utc) + _ABSENCE)
        return longer

    @property
    def ms(self) -> int:
        """Milliseconds from the storing, by the server's clock."""
        return self._longest() // _MILLISECOND

    @property
    def index_ms(self) -> int:
        """Milliseconds from the last change of an index."""
        return (self._longest() + _LONGER) // _MILLISECOND

    def _longest(self) -> timedelta:
        return max(self._asked, default=Retention().sessions)
