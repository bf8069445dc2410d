"""Catches what every tracker of this process records, and keeps it from leaving this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

from gp_aiogram.delivery.sending import Sender
from gp_aiogram.destinations.base import Destination, SendOutcome
from gp_aiogram.destinations.http import HTTPDestination
from gp_aiogram.model.event import Event
from gp_aiogram.sandbox.server import answering
from gp_aiogram.stores.records import AcceptResult
from gp_aiogram.testing.recorded import RecordedEvents
from gp_aiogram.testing.recorded_event import RecordedEvent
from gp_aiogram.testing.recording_destination import RecordingDestination
from gp_aiogram.tracker.once_keys import Guards
from gp_aiogram.tracker.recording import Recording
from gp_aiogram.tracker.request import Draft

#: What is caught at present; the last one is what :func:`assert_tracked` looks at.
_caught: list[RecordedEvents] = []


@contextmanager
def caught() -> Iterator[RecordedEvents]:
    """Catch events as soon as a tracker has recorded them; it need not be started.

    A started tracker sends nothing: its events count as delivered. Only destinations on this
    machine and :class:`RecordingDestination` really get them.
    """
    events = RecordedEvents()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recording, "accept", _accepting(events))
        patch.setattr(Sender, "_call", _calling())
        _caught.append(events)
        try:
            yield events
        finally:
            _caught.remove(events)


def assert_tracked(name: str, *, times: int | None = None, **fields: object) -> RecordedEvent:
    """Check what the fixture ``gp_events`` has caught: :meth:`RecordedEvents.assert_tracked`."""
    __tracebackhide__ = True
    return _current().assert_tracked(name, times=times, **fields)


def assert_not_tracked(name: str, **fields: object) -> None:
    """Check what the fixture ``gp_events`` has caught: the opposite of :func:`assert_tracked`."""
    __tracebackhide__ = True
    _current().assert_not_tracked(name, **fields)


def _current() -> RecordedEvents:
    if not _caught:
        msg = "nothing is caught: give the test the fixture `gp_events`"
        raise RuntimeError(msg)
    return _caught[-1]


def _accepting(events: RecordedEvents) -> Any:
    original = Recording.accept

    async def accept(
        recording: Recording,
        event: Event,
        draft: Draft,
        admitted: Guards,
        destinations: Collection[str] | None = None,
    ) -> AcceptResult:
        result = await original(recording, event, draft, admitted, destinations)
        if result == "stored" and not answering.get():
            to = recording.receivers_of(event, draft) if destinations is None else destinations
            builders = {name: recording.destination(name).prepare for name in to}
            events.add(RecordedEvent(event, tuple(to), builders))
        return result

    return accept


def _calling() -> Any:
    original: Any = vars(Sender)["_call"]

    async def call(
        sender: Sender,
        kind: Literal["send", "follow_up"],
        payloads: Sequence[Any],
    ) -> Sequence[SendOutcome] | None:
        if not _stays_here(sender.destination):
            return None
        result: Sequence[SendOutcome] | None = await original(sender, kind, payloads)
        return result

    return call


def _stays_here(destination: Destination) -> bool:
    """Return whether what is sent stays on this machine."""
    if isinstance(destination, HTTPDestination):
        return _is_loopback(urlsplit(destination.base_url).hostname or "")
    return isinstance(destination, RecordingDestination)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
