"""What goes into stores and comes out of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event, Traits
from gp_aiogram.model.session import Session

State = Literal["pending", "delivered", "skipped", "dead"]

STATES: tuple[State, ...] = get_args(State)

#: No retry is ever scheduled further ahead, in seconds. A delivery that seems to be due later was
#: scheduled before the wall clock went back, and is due at once.
MAX_DELAY = 2 * 60 * 60

#: In the reason of a delivery that its destination may have got although no answer said so.
MAY_BE_TAKEN = "may have been taken"


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one destination.

    :param attempts: how many failed tries counted so far.
    :param since: when the trying began, in UTC: at acceptance, or at the last replay.
    :param due: when it may be tried (again), in UTC; of interest while pending.
    :param reason: why the last try failed, or why it is dead or skipped.
    :param receipt: what the destination answered on success.
    :param token: the claim that this object stands for; empty when it was only looked at.
    """

    event: Event
    destination: str
    state: State
    attempts: int
    since: datetime
    due: datetime
    reason: str | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)
    token: str = ""


class Settlement(NamedTuple):
    """What became of a claimed delivery.

    :param state: ``pending`` puts it back for another try.
    :param delay: seconds until that try; at most :data:`MAX_DELAY`.
    :param attempts: how many failed tries count from now on.
    :param provisional: keep the claim, another settlement follows; this one stands if none does.
    """

    delivery: Delivery
    state: State
    delay: float = 0.0
    attempts: int = 0
    reason: str | None = None
    receipt: Mapping[str, Any] = MappingProxyType({})
    provisional: bool = False


@dataclass(frozen=True)
class Profile:
    """What is known of a user and of the click that brought him.

    :param click: None when nothing was registered for the session.
    """

    click: Click | None = None
    traits: Traits = field(default_factory=dict)


class Known(NamedTuple):
    """What a store knows of a user when he does something.

    :param session: the touch that counts.
    :param profile: his traits, and the click of that touch.
    :param keys: those of the once-keys in question that are known.
    """

    session: Session | None
    profile: Profile
    keys: Collection[str]


class Acceptance(NamedTuple):
    """What an outbox is to keep; see :meth:`~gp_aiogram.stores.contract.Outbox.accept`."""

    event: Event
    destinations: Collection[str]
    once: Collection[str] = ()
    order: str | None = None


#: Makes of what is known of a user what is to be kept; None keeps nothing.
Decide = Callable[[Known], Acceptance | None]
