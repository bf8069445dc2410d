"""How one event is to be fired, where its caller decides that for this event alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from gp_aiogram.model.event import Event, Traits

#: Where an event carries it: among its traits, which every store keeps with the event.
_PLACE = "firing"


@dataclass(frozen=True)
class Firing:
    """What a caller who knows the ad platform asks of it, over what the destination would do.

    Destinations of ad platforms heed it; others leave it alone.

    :param event_name: the platform's own name, which is sent as it is.
    :param action_source: where the conversion occurred, in Meta's words.
    :param test_event_code: shows the event in the platform's test view.
    """

    event_name: str | None = None
    action_source: str | None = None
    test_event_code: str | None = None

    def to_traits(self) -> Traits:
        """Return it as an event carries it; :func:`firing_of` reads it back."""
        return {_PLACE: {name: text for name, text in asdict(self).items() if text is not None}}


_AS_USUAL = Firing()


def firing_of(event: Event) -> Firing:
    """Return how an event is to be fired."""
    told = event.traits.get(_PLACE)
    return _AS_USUAL if told is None else Firing(**told)
