"""Passes what happens to events on to all observers, and keeps their mistakes from the events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TypeVar

from gp_aiogram.destinations.base import SendOutcome
from gp_aiogram.errors import DeliveryError
from gp_aiogram.model.event import Event
from gp_aiogram.stores.records import AcceptResult, Delivery, Outcome
from gp_aiogram.telemetry.observer import NOTHING, Observer

T = TypeVar("T")

logger = logging.getLogger("gp_aiogram.telemetry")

#: What an observer has put around something.
_Surrounding = tuple[Observer, AbstractContextManager[None]]


class Telemetry(Observer):
    """All observers as one; without any it costs next to nothing."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = list(observers)

    def add(self, observer: Observer) -> None:
        """Tell one more from now on; harmless when it is told already."""
        if observer not in self._observers:
            self._observers.append(observer)

    def recording(self, event: Event) -> AbstractContextManager[None]:
        """Surround the recording of an event."""
        if not self._observers:
            return NOTHING
        return self._surround(lambda observer: observer.recording(event))

    def accepted(self, event: Event, result: AcceptResult, seconds: float) -> None:
        """Tell what the store made of an event."""
        self._tell(lambda observer: observer.accepted(event, result, seconds))

    def sending(
        self,
        destination: str,
        batch: Sequence[Delivery],
    ) -> AbstractContextManager[None]:
        """Surround one request."""
        if not self._observers:
            return NOTHING
        return self._surround(lambda observer: observer.sending(destination, batch))

    def answered(self, answer: Sequence[SendOutcome] | DeliveryError) -> None:
        """Tell a destination's answer."""
        self._tell(lambda observer: observer.answered(answer))

    def settled(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Tell what became of deliveries."""
        self._tell(lambda observer: observer.settled(outcomes, now))

    def _tell(self, tell: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            _ask(observer, tell, None)

    def _surround(
        self,
        surround: Callable[[Observer], AbstractContextManager[None]],
    ) -> AbstractContextManager[None]:
        given = [(observer, _ask(observer, surround, NOTHING)) for observer in self._observers]
        given = [each for each in given if each[1] is not NOTHING]
        return _within(given) if given else NOTHING


@contextmanager
def _within(given: Iterable[_Surrounding]) -> Iterator[None]:
    """Enter what observers put around something."""
    with ExitStack() as stack:
        for observer, surrounding in given:
            if _entered(observer, surrounding):
                stack.push(partial(_leave, observer, surrounding))
        yield


def _entered(observer: Observer, surrounding: AbstractContextManager[None]) -> bool:
    try:
        surrounding.__enter__()
    except Exception as error:  # noqa: BLE001 - a user's code; it is logged
        _log_failure(observer, error)
        return False
    return True


def _leave(
    observer: Observer,
    surrounding: AbstractContextManager[None],
    kind: type[BaseException] | None,
    raised: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """Leave what an observer has put around something; it hides no error and adds none."""
    try:
        surrounding.__exit__(kind, raised, traceback)
    except Exception as error:  # noqa: BLE001 - as above
        _log_failure(observer, error)


def _ask(observer: Observer, ask: Callable[[Observer], T], otherwise: T) -> T:
    """Return what an observer does; when it fails, what is meant then."""
    try:
        return ask(observer)
    except Exception as error:  # noqa: BLE001 - as above
        _log_failure(observer, error)
        return otherwise


def _log_failure(observer: Observer, error: Exception) -> None:
    logger.error("%s failed; the event goes on", type(observer).__name__, exc_info=error)
