"""An event as a test has recorded it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from gp_aiogram.model.event import Event


@dataclass(frozen=True)
class RecordedEvent:
    """One event as it was recorded.

    :param event: the event, with its session, click and traits.
    :param to: the names of the destinations that get it.
    :param builders: the functions that build the payload, by destination.
    """

    event: Event
    to: tuple[str, ...] = ()
    builders: Mapping[str, Callable[[Event], Any]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        """Its name, such as ``FTD``."""
        return self.event.name

    @property
    def value(self) -> Decimal | None:
        """Its amount, in units of the currency."""
        return self.event.value

    @property
    def currency(self) -> str | None:
        """The currency of its amount."""
        return self.event.currency

    @property
    def telegram_id(self) -> int:
        """The user."""
        return self.event.telegram_id

    @property
    def session_id(self) -> str | None:
        """The click it is credited to."""
        return self.event.session_id

    @property
    def user_data(self) -> Mapping[str, Any]:
        """Its further data."""
        return self.event.user_data

    def payload(self, destination: str) -> Any:
        """Return what the destination would send for it: for most, the JSON body.

        :param destination: one of ``to``.
        :raises LookupError: when it does not go there.
        :raises EventRejected: when the destination refuses the event.
        """
        if destination not in self.builders:
            msg = f"{self} does not go to {destination!r}"
            raise LookupError(msg)
        built = self.builders[destination](self.event)
        return getattr(built, "body", built)

    def __str__(self) -> str:
        event = self.event
        amount = "" if event.value is None else f" {event.value} {event.currency}"
        parts = [f"{event.name}{amount}", f"user {event.telegram_id}"]
        parts.append(f"session {event.session_id}" if event.session_id else "no session")
        parts.append(f"to {', '.join(self.to)}" if self.to else "to nobody")
        if event.user_data:
            parts.append(f"user_data {dict(event.user_data)!r}")
        return ", ".join(parts)
