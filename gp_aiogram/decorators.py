"""``@track``: what it writes on a handler, and how its arguments are resolved later."""

from __future__ import annotations

import atexit
import inspect
import logging
import sys
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

from magic_filter import MagicFilter

from gp_aiogram.errors import EventError, short_repr
from gp_aiogram.model.event import EventName

logger = logging.getLogger("gp_aiogram")

#: The aiogram flag that carries the specs of a handler.
FLAG = "gp_track"

Handler = TypeVar("Handler", bound=Callable[..., Any])

#: What an argument of ``@track`` may be: a constant, a MagicFilter on the event, or a callable
#: whose parameters are filled by name.
Argument = Any

#: Where dishka's ``inject`` keeps the function that it wraps. It copies no flags from there.
_DISHKA_FUNCTION = "__dishka_orig_func__"


class SpecArguments(TypedDict, total=False):
    """The keyword arguments of :data:`track`."""

    value: Argument
    currency: Argument
    user_data: Argument
    session_id: Argument
    when: Argument
    once: Argument
    event_id: Argument
    to: Argument


class DepositSpecArguments(SpecArguments, total=False):
    """The keyword arguments of ``track.deposit``."""

    ftd_within: Argument
    ftd_needs_session: Argument


@dataclass(frozen=True, eq=False)
class TrackSpec:
    """One ``@track`` on one handler.

    :param decorator: ``@track`` or ``tracked``, for log lines.
    :param name: of the event; None for a deposit, which is an FTD or a DEP.
    :param site_id: tells this decorator from all others, the same in every run of the program.
    :param handler: the handler's name, for log lines.
    :param target: the decorated wrapper; None when the function itself was decorated.
    :param when: nothing is recorded unless this resolves to something true.
    :param arguments: of ``Tracker.track``, not resolved yet.
    """

    decorator: str
    name: str | None
    site_id: str
    handler: str
    target: object | None
    when: Argument
    arguments: Mapping[str, Argument]

    def __str__(self) -> str:
        return self.described()

    def described(self, **arguments: object) -> str:
        """Return the decorator as it is in the code, and where, for log lines.

        :param arguments: those to show.
        """
        shown = [f"{key}={argument!r}" for key, argument in arguments.items()]
        if self.name is None:
            return f"{self.decorator}.deposit({', '.join(shown)}) on {self.handler}"
        return f"{self.decorator}({', '.join([repr(self.name), *shown])}) on {self.handler}"


#: All specs on handlers that still exist.
_specs: weakref.WeakSet[TrackSpec] = weakref.WeakSet()


class _ExitCheck:
    """Says at the end of the program when nothing was there to emit what decorators mark."""

    def __init__(self) -> None:
        self._is_registered = False
        self._emits = False

    def expect_emission(self) -> None:
        """Have the end of the program looked at."""
        if not self._is_registered:
            self._is_registered = True
            atexit.register(self.report)

    def announce_emission(self) -> None:
        """Say that a dispatcher of this process emits."""
        self._emits = True

    def report(self) -> None:
        """Warn if nothing has emitted."""
        marked = marked_handlers()
        if marked and not self._emits:
            logger.warning(
                "no dispatcher of this process emitted what @track marks on %s: call "
                "tracker.setup(dp)",
                ", ".join(marked),
            )


exit_check = _ExitCheck()


class _Track:
    """What :data:`track` is: called for an event of any name, or :meth:`deposit`."""

    def __call__(
        self,
        name: EventName,
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
        """Record an event whenever the handler below succeeds. Decorators can be stacked.

        The handler is not wrapped, only marked with an aiogram flag. Put the decorator below the
        router's. Each argument is a constant, a MagicFilter on the event (``F.data``), or a sync
        or async callable whose parameters are filled by name: ``event`` (also under the update
        type's name, such as ``message``), ``result`` (what the handler returned), and everything
        that a handler may ask for. Errors and invalid arguments are logged and counted, and never
        raised into the bot.

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
        return _decorator(
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
        """Record a deposit whenever the handler below succeeds: FTD at first, then DEP.

        The arguments are those of ``track``, and:

        :param ftd_within: the first deposit is an FTD only within this time after the touch.
        :param ftd_needs_session: the first deposit is an FTD only if the user has a session.
        """
        return _decorator(
            None,
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


def _decorator(
    name: str | None,
    when: Argument,
    **arguments: Argument,
) -> Callable[[Handler], Handler]:
    def decorate(handler: Handler) -> Handler:
        number = len(specs_on(handler))
        _attach(new_spec("@track", handler, name, number, when=when, **arguments), handler)
        return handler

    return decorate


def new_spec(
    decorator: str,
    handler: Callable[..., Any],
    name: str | None,
    number: int,
    *,
    when: Argument = None,
    **arguments: Argument,
) -> TrackSpec:
    """Make a spec, which is attached to nothing yet.

    :param name: of the event; None for a deposit.
    :param number: tells it from the other specs of the handler.
    :param arguments: of ``Tracker.track``; None for what was not given.
    """
    function = inspect.unwrap(handler)
    title = title_of(handler)
    return TrackSpec(
        decorator=decorator,
        name=name,
        site_id=f"{title} {number}",
        handler=title,
        target=None if handler is function else handler,
        when=when,
        arguments={key: argument for key, argument in arguments.items() if argument is not None},
    )


def _attach(spec: TrackSpec, handler: Callable[..., Any]) -> None:
    """Write a spec where aiogram reads flags: on the function beneath all ``functools.wraps``.

    It goes on the decorated wrapper as well, for decorators that copy attributes but hide what
    they wrap.
    """
    function = inspect.unwrap(handler)
    _add_to_flag(function, spec)
    if handler is not function:
        _add_to_flag(handler, spec)
    _specs.add(spec)
    exit_check.expect_emission()


def _add_to_flag(target: Any, spec: TrackSpec) -> None:
    flags = getattr(target, "aiogram_flag", {})
    try:
        # A new dict, since functools.wraps shares the old one between a function and its wrapper.
        target.aiogram_flag = {**flags, FLAG: (*flags.get(FLAG, ()), spec)}
    except AttributeError:
        msg = f"@track cannot mark {short_repr(target)}: decorate the function, not a bound method"
        raise TypeError(msg) from None


def marked_handlers() -> list[str]:
    """Return the names of all handlers in this process that ``@track`` marks, sorted."""
    return sorted({spec.handler for spec in _specs})


def specs_on(handler: Callable[..., Any]) -> tuple[TrackSpec, ...]:
    """Return the specs that a handler carries now, whether aiogram has seen them or not."""
    function = inspect.unwrap(handler)
    specs = applicable(handler, getattr(function, "aiogram_flag", {}).get(FLAG, ()))
    return (*injected_specs(handler), *specs)


def injected_specs(handler: Callable[..., Any]) -> tuple[TrackSpec, ...]:
    """Return the specs beneath dishka's ``inject``, where aiogram sees no flags."""
    # Asked for each update, so a handler that wraps nothing is not unwrapped.
    function = inspect.unwrap(handler) if hasattr(handler, "__wrapped__") else handler
    injected = getattr(function, _DISHKA_FUNCTION, None)
    return () if injected is None else specs_on(injected)


def applicable(handler: Callable[..., Any], specs: Collection[TrackSpec]) -> tuple[TrackSpec, ...]:
    """Leave out the specs that were made on other wrappers of the same function.

    :param specs: as aiogram read them from the function beneath all wrappers.
    """
    if all(spec.target is None for spec in specs) or not hasattr(handler, "__wrapped__"):
        return tuple(specs)
    layers = [None, *_layers(handler)]
    return tuple(spec for spec in specs if any(spec.target is layer for layer in layers))


def _layers(handler: Any) -> Iterator[Any]:
    while handler is not None:
        yield handler
        handler = getattr(handler, "__wrapped__", None)


async def resolve(argument: Argument, event: Any, scope: Mapping[str, Any]) -> Any:
    """Return the value of an argument for one event.

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
    """Return what a callable's parameters ask for, by name."""
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
    """Return a callable's signature, also where annotations name what only type checkers know."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format  # noqa: PLC0415 - not there before 3.14

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def title_of(handler: Callable[..., Any]) -> str:
    """Return the name of the function beneath all wrappers, with its module, for log lines."""
    function = inspect.unwrap(handler)
    return f"{_module(function)}.{_name(function)}"


def _module(function: object) -> str:
    return str(getattr(function, "__module__", "") or type(function).__module__)


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)
