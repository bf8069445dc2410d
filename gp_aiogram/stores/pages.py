"""What is asked of the deliveries that a filter means, page by page, and what is told of them."""

from __future__ import annotations

from typing import NamedTuple

from gp_aiogram.stores.records import Change, Delivery, DeliveryFilter, EventRecord, Span

#: What tells a delivery from others: the number of its event, and its destination.
Key = tuple[int, str]


class Page(NamedTuple):
    """Which deliveries somebody wants to see.

    :param after: where the page before has ended.
    """

    where: DeliveryFilter
    limit: int
    after: Key | None


class Shown(NamedTuple):
    """A page of deliveries, and where it has ended; None when nothing follows."""

    deliveries: list[Delivery]
    end: Key | None


class Wanted(NamedTuple):
    """Which events somebody wants to see."""

    where: DeliveryFilter
    span: Span


class Listed(NamedTuple):
    """A page of events, and where looking has ended; None when nothing follows."""

    events: list[EventRecord]
    end: int | None


class Transition(NamedTuple):
    """Which deliveries somebody wants to change."""

    where: DeliveryFilter
    change: Change
    limit: int
    after: Key | None


class Changed(NamedTuple):
    """The destination of each delivery that was changed, and where the page has ended."""

    destinations: list[str]
    end: Key | None


class Erasure(NamedTuple):
    """Which events somebody wants to erase."""

    where: DeliveryFilter
    limit: int
    after: Key | None
