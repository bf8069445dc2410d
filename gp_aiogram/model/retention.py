"""How long what is stored is kept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.model.session import LONGEST_WINDOW


@dataclass(frozen=True)
class Retention:
    """How long stored data is kept. Once-keys are kept forever, as anonymous digests.

    :param sessions: touches of users, and clicks with their invite links, since they happened. A
        tracker keeps them at least for its attribution window.
    :param events: events that every destination has settled, since they were accepted.
    :param dead_letters: events with a dead letter, since they were accepted.
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
