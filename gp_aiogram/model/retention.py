"""How long what is stored is kept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.model.session import LONGEST_WINDOW


@dataclass(frozen=True)
class Retention:
    """How long what is stored is kept; once-keys are kept for ever, as digests that name nobody.

    :param sessions: touches of users, and clicks with their invite links, by their own time; a
        tracker keeps them for its attribution window at least.
    :param events: events that every destination has settled, by the time of their acceptance.
    :param dead_letters: events of which a delivery was given up, likewise.
    :raises ConfigurationError: when one of them is no positive timedelta of at most 36500 days.
    """

    sessions: timedelta = timedelta(days=90)
    events: timedelta = timedelta(days=30)
    dead_letters: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        for field in fields(self):
            age: object = getattr(self, field.name)
            if not isinstance(age, timedelta) or not timedelta(0) < age <= LONGEST_WINDOW:
                msg = (
                    f"Retention({field.name}=...) must be a positive timedelta of at most "
                    f"{LONGEST_WINDOW.days} days, not {short_repr(age)}"
                )
                raise ConfigurationError(msg)
