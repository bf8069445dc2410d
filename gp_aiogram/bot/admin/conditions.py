"""What admins are alerted to, and how one trouble stays one alert however it flickers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from html import escape
from typing import NamedTuple

from gp_aiogram.bot.admin.overview import DestinationView
from gp_aiogram.bot.admin.texts import age, number

#: A backlog is over when what waits has waited for less than this part of the limit.
_CURED_BELOW = 0.5


class Condition(NamedTuple):
    """One kind of trouble with one destination.

    :param key: tells it from others, in the store as well.
    :param holds: None when nobody can tell, or it is neither here nor over.
    :param raised: what to say of it.
    :param cured: what to say when it is over.
    """

    key: str
    destination: str
    holds: bool | None
    raised: str
    cured: str


class Alert(NamedTuple):
    """What admins are to be told now.

    :param is_cure: it is over.
    """

    condition: Condition
    is_cure: bool

    @property
    def text(self) -> str:
        """The message."""
        return self.condition.cured if self.is_cure else self.condition.raised


class Alerts:
    """Decides when something is worth a message: at once when raised, and once it is well over.

    :param monotonic: seconds on a clock that never goes back.
    :param calm: seconds that a trouble must be away before it is called cured.
    """

    def __init__(self, monotonic: Callable[[], float], calm: float) -> None:
        self._monotonic = monotonic
        self._calm = calm
        self._away_since: dict[str, float] = {}

    def due(self, conditions: Iterable[Condition], told: Collection[str]) -> list[Alert]:
        """Return what is to be told.

        :param told: the keys of conditions that admins know of.
        """
        alerts = []
        for condition in conditions:
            is_told = condition.key in told
            if condition.holds and not is_told:
                alerts.append(Alert(condition, is_cure=False))
            if self._is_well_over(condition) and is_told:
                alerts.append(Alert(condition, is_cure=True))
        return alerts

    def _is_well_over(self, condition: Condition) -> bool:
        if condition.holds is not False:
            self._away_since.pop(condition.key, None)
            return False
        now = self._monotonic()
        return now - self._away_since.setdefault(condition.key, now) >= self._calm


def conditions_of(views: Iterable[DestinationView], backlog: float) -> list[Condition]:
    """Return everything that may be the matter with destinations.

    :param backlog: seconds that events may wait.
    """
    found = []
    for view in views:
        found += [_paused(view), _dead(view), _waits(view, backlog)]
    return found


def _paused(view: DestinationView) -> Condition:
    name = escape(view.name)
    return Condition(
        key=f"paused {view.name}",
        destination=view.name,
        holds=None if view.state is None else _is_paused(view),
        raised=(
            f"⛔ <b>{name}</b> is paused: it refuses the credentials or the address.\n"
            "Its events wait, and none is lost. Fix its settings; the log says what it answered."
        ),
        cured=f"✅ <b>{name}</b> takes events again.",
    )


def _is_paused(view: DestinationView) -> bool | None:
    if view.state == "refused":
        return True
    # A restart forgets the pause, and is refused again at once: that is why a cure must last.
    return False if view.state == "healthy" else None


def _dead(view: DestinationView) -> Condition:
    name = escape(view.name)
    count = "An event was" if view.dead == 1 else f"{number(view.dead)} events were"
    return Condition(
        key=f"dead {view.name}",
        destination=view.name,
        holds=view.dead > 0,
        raised=(
            f"⚠️ <b>{name}</b>: the first dead letter. {count} given up; the log says why.\n"
            "Replay once the cause is gone."
        ),
        cured=f"✅ <b>{name}</b>: no dead letters any more.",
    )


def _waits(view: DestinationView, backlog: float) -> Condition:
    name, oldest = escape(view.name), view.oldest or 0.0
    holds: bool | None = None
    if oldest > backlog:
        holds = True
    elif oldest < backlog * _CURED_BELOW:
        holds = False
    return Condition(
        key=f"backlog {view.name}",
        destination=view.name,
        holds=holds,
        raised=(
            f"🕓 <b>{name}</b>: events wait for {age(oldest)}, longer than {age(backlog)}. "
            f"{number(view.pending)} pending."
        ),
        cured=f"✅ <b>{name}</b>: the backlog is gone.",
    )
