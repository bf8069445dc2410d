"""How many events hold what ad platforms match people by."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from gp_aiogram.model.event import Event

#: What is looked for, in the order in which it is shown: ids of the click, digests of what
#: ``identify()`` was told, address and browser of the click.
KEYS = ("fbc", "fbp", "ttclid", "em", "ph", "ip", "user_agent")

#: Platforms whose traits are looked at: what one has, the other has unless it cannot be used.
_PLATFORMS = ("meta", "tiktok")


@dataclass(frozen=True)
class Coverage:
    """How many events there are, and how many of them hold each key.

    :param counts: by :data:`KEYS`; each is there.
    """

    events: int
    counts: Mapping[str, int]

    @property
    def shares(self) -> dict[str, float]:
        """From 0 to 1, by key; 0 without any events."""
        return {key: self.counts[key] / self.events if self.events else 0.0 for key in KEYS}


class CoverageTally:
    """Counts events one by one."""

    def __init__(self) -> None:
        self._events: Counter[str] = Counter()
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, event: Event) -> None:
        """Count an event."""
        self._events[event.name] += 1
        self._counts[event.name].update(keys_of(event))

    def total(self) -> Coverage:
        """Return the coverage of all events."""
        counts: Counter[str] = Counter()
        for each in self._counts.values():
            counts.update(each)
        return Coverage(sum(self._events.values()), {key: counts[key] for key in KEYS})

    def by_name(self) -> dict[str, Coverage]:
        """Return the coverage of the events of each name, the most frequent first."""
        return {
            name: Coverage(events, {key: self._counts[name][key] for key in KEYS})
            for name, events in self._events.most_common()
        }


def keys_of(event: Event) -> list[str]:
    """Return which of :data:`KEYS` an event holds, as the platforms would get them."""
    held: dict[str, object] = {}
    for platform in _PLATFORMS if event.traits else ():
        for field, value in event.traits.get(platform, {}).items():
            held[field] = held.get(field) or value
    if event.click is not None:
        fbc, fbp = event.click.meta_ids()
        held |= {
            "fbc": fbc,
            "fbp": fbp,
            "ttclid": event.click.ttclid,
            "ip": event.click.ip,
            "user_agent": event.click.user_agent,
        }
    return [key for key in KEYS if held.get(key)]
