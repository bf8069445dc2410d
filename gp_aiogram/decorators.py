"""``@track``: what it marks on a handler, and how a mark's arguments are resolved later."""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

from magic_filter import MagicFilter

from gp_aiogram.errors import EventError, short_repr

#: The aiogram flag that carries a handler's marks.
FLAG = "gp_track"

Handler = TypeVar("Handler", bound=Callable[..., Any])

#: The name of a mark whose event is an FTD or a DEP.
DEPOSIT = "deposit"

#: What an argument of ``@track`` may be: a constant, a MagicFilter on the event, or a callable
#: whose parameters are filled by name.
Argument = Any


class Arguments(TypedDict, total=False):
    """The keyword arguments of :data:`track`."""

    value: Argument
    currency: Argument
    user_data: Argument
    session_id: Argument
    when: Argument
    once: Argument
    event_id: Argument
    to: Argument


class DepositArguments(Arguments, total=False):
    """The keyword arguments of ``track.deposit``."""

    ftd_within: Argument
    ftd_needs_session: Argument


@dataclass(frozen=True, eq=False)
class TrackSpec:
    """One ``@track`` on one handler.

    :param site_id: tells this mark from all others, the same in every run of the program.
    :param handler: the handler's name, for people.
    :param target: the decorated wrapper; None when the function itself was decorated.
    :param arguments: of ``Tracker.track``, not resolved yet.
    """

    name: str
    site_id: str
    handler: str
    target: object | None
    when: Argument
    arguments: Mapping[str, Argument]


_marks: weakref.WeakSet[TrackSpec] = weakref.WeakSet()


class _Track:
    """What :data:`track` is: called for an event of any name, or :meth:`deposit`."""

    def __call__(
        self,
        name: str,
        *,
        value: Argument = None,
        currency: Argument = None,
        user_data: Argument = None,
        session_id: Argument = None,
        when: Argument = None,
        once: Argument = None,
        event_id: Argument = None,
        to: Argument = None,
    ) -> Callable[[Handler], Handler]:
        """Have an event recorded whenever the handler below succeeds. Decorators stack.

        The handler stays as it is: it is only marked, with an aiogram flag. Put the decorator
        under the router's. Each argument is a constant, a MagicFilter on the event (``F.data``),
        or a sync or async callable whose parameters are filled by name: ``event`` (also under the
        update type's name, such as ``message``), ``result`` (what the handler returned), and
        everything a handler may ask for. What fails or makes no sense is logged and counted,
        never raised into the bot.

        On a payment, ``value``, ``currency``, ``once`` and ``user_data`` come from the payment
        unless given here.

        :param name: ``FTD``, ``DEP``, ``REG``, ``Subscribe``, ``JoinRequest``, ``Purchase``,
            ``INSTALL``, ``TRIAL``, or any name of your own.
        :param value: units of the currency, not minor units; FTD, DEP and Purchase need one.
        :param currency: ISO 4217 code; USD when a value comes without one.
        :param user_data: a mapping; its values may be MagicFilters and callables, too.
        :param when: nothing is recorded unless this is true.
        :param once: ``"user"`` for once per user, or a key such as an order's id.
        :param to: names of destinations; None means all.
        """
        if not name or callable(name):
            msg = f"write @track('REG') with the event's name, not @track({short_repr(name)})"
            raise TypeError(msg)
        return _marking(
            name,
            when,
            value=value,
            currency=currency,
            user_data=user_data,
            session_id=session_id,
            once=once,
            event_id=event_id,
            to=to,
        )

    def deposit(
        self,
        *,
        value: Argument = None,
        currency: Argument = None,
        user_data: Argument = None,
        session_id: Argument = None,
        when: Argument = None,
        once: Argument = None,
        event_id: Argument = None,
        to: Argument = None,
        ftd_within: Argument = None,
        ftd_needs_session: Argument = None,
    ) -> Callable[[Handler], Handler]:
        """Have a deposit recorded whenever the handler below succeeds: FTD at first, then DEP.

        The arguments are those of ``track``, and:

        :param ftd_within: the first deposit is an FTD only so long after the touch that counts.
        :param ftd_needs_session: the first deposit is an FTD only of a user with a session.
        """
        return _marking(
            DEPOSIT,
            when,
            value=value,
            currency=currency,
            user_data=user_data,
            session_id=session_id,
            once=once,
            event_id=event_id,
            to=to,
            ftd_within=ftd_within,
            ftd_needs_session=ftd_needs_session,
        )


track = _Track()


def _marking(name: str, when: Argument, **arguments: Argument) -> Callable[[Handler], Handler]:
    def decorate(handler: Handler) -> Handler:
        number = len(marks_on(handler))
        _write_mark(handler, new_mark(handler, name, number, when=when, **arguments))
        return handler

    return decorate


def new_mark(
    handler: Callable[..., Any],
    name: str,
    number: int,
    *,
    when: Argument = None,
    **arguments: Argument,
) -> TrackSpec:
    """Make a mark, which is written nowhere yet.

    :param number: tells it from the other marks of the handler.
    :param arguments: of ``Tracker.track``; None for what was not given.
    """
    function = inspect.unwrap(handler)
    title = f"{_module(function)}.{_name(function)}"
    return TrackSpec(
        name=name,
        site_id=f"{title} {number}",
        handler=title,
        target=None if handler is function else handler,
        when=when,
        arguments={key: argument for key, argument in arguments.items() if argument is not None},
    )


def _write_mark(handler: Callable[..., Any], mark: TrackSpec) -> None:
    """Write a mark where aiogram reads flags: on the function beneath all ``functools.wraps``.

    It goes on the decorated wrapper as well, for decorators that copy attributes but hide what
    they wrap.
    """
    function = inspect.unwrap(handler)
    _write(function, mark)
    if handler is not function:
        _write(handler, mark)
    _marks.add(mark)


def _write(target: Any, mark: TrackSpec) -> None:
    flags = getattr(target, "aiogram_flag", {})
    try:
        # A new dict, since functools.wraps shares the old one between a function and its wrapper.
        target.aiogram_flag = {**flags, FLAG: (*flags.get(FLAG, ()), mark)}
    except AttributeError:
        msg = f"@track cannot mark {short_repr(target)}: decorate the function, not a bound method"
        raise TypeError(msg) from None


def marked_handlers() -> list[str]:
    """Names of all handlers that carry a mark in this process."""
    return sorted({mark.handler for mark in _marks})


def marks_on(handler: Callable[..., Any]) -> tuple[TrackSpec, ...]:
    """Marks that a handler carries now, whether aiogram has seen them or not."""
    function = inspect.unwrap(handler)
    marks = applying(handler, getattr(function, "aiogram_flag", {}).get(FLAG, ()))
    return (*hidden_marks(handler), *marks)


def hidden_marks(handler: Callable[..., Any]) -> tuple[TrackSpec, ...]:
    """Marks beneath dishka's ``inject``, which passes on no flags of what it wraps."""
    # Asked for each update, so a handler that wraps nothing is not unwrapped.
    function = inspect.unwrap(handler) if hasattr(handler, "__wrapped__") else handler
    injected = getattr(function, "__dishka_orig_func__", None)
    return () if injected is None else marks_on(injected)


def applying(handler: Callable[..., Any], marks: Collection[TrackSpec]) -> tuple[TrackSpec, ...]:
    """Leave out marks that were made on other wrappers of the same function.

    :param marks: as aiogram read them from the function beneath all wrappers.
    """
    if all(mark.target is None for mark in marks) or not hasattr(handler, "__wrapped__"):
        return tuple(marks)
    layers = [None, *_layers(handler)]
    return tuple(mark for mark in marks if any(mark.target is layer for layer in layers))


def _layers(handler: Any) -> Iterator[Any]:
    while handler is not None:
        yield handler
        handler = getattr(handler, "__wrapped__", None)


async def resolve(argument: Argument, event: Any, scope: Mapping[str, Any]) -> Any:
    """Return what an argument of a mark comes to.

    :param event: what MagicFilters look at.
    :param scope: what callables may ask for, by name.
    :raises EventError: when a callable asks for a name that is not there.
    :raises Exception: whatever a callable or MagicFilter raises.
    """
    # Before callable(): a MagicFilter is callable, too, and makes another MagicFilter.
    if isinstance(argument, MagicFilter):
        return argument.resolve(event)
    if callable(argument):
        result = argument(**_injected(argument, scope))
        return await result if inspect.isawaitable(result) else result
    if isinstance(argument, Mapping):
        return {key: await resolve(item, event, scope) for key, item in argument.items()}
    return argument


def _injected(function: Callable[..., Any], scope: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what a callable's parameters name."""
    injected: dict[str, Any] = {}
    for parameter in signature_of(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return dict(scope)
        if parameter.name in scope:
            injected[parameter.name] = scope[parameter.name]
        elif (
            parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        ):
            msg = (
                f"{_name(function)} asks for {parameter.name!r}, which is not there; "
                f"there are: {', '.join(sorted(scope))}"
            )
            raise EventError(msg)
    return injected


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return a callable's signature; names that exist for type checkers only do not matter."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format  # noqa: PLC0415 - not there before 3.14

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def _module(function: object) -> str:
    return str(getattr(function, "__module__", "") or type(function).__module__)


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)
