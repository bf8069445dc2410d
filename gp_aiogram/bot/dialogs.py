"""``tracked``: the counterpart of ``@track`` for callbacks that aiogram's middlewares never see.

Those are the callbacks of aiogram-dialog and the actions of scenes. aiogram-dialog itself is not
imported: its manager is recognised by its ``middleware_data``.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, overload

from aiogram.dispatcher.event.bases import REJECTED, UNHANDLED
from aiogram.dispatcher.event.handler import CallableObject
from aiogram.fsm.scene import Scene
from aiogram.types import TelegramObject
from typing_extensions import Unpack

from gp_aiogram.bot._aiogram_internals import is_taken_by_scene
from gp_aiogram.bot.recorder import record_spec
from gp_aiogram.bot.updates import GP_KEY, bind_event
from gp_aiogram.decorators import (
    DepositSpecArguments,
    Handler,
    SpecArguments,
    TrackSpec,
    new_spec,
    signature_of,
)
from gp_aiogram.errors import short_repr
from gp_aiogram.model.event import EventName
from gp_aiogram.tracker.user_tracker import UserTracker

logger = logging.getLogger("gp_aiogram.emit")

#: Where a wrapper keeps the number of ``tracked`` on a callback, itself included.
_NUMBER = "__gp_tracked__"


class _Tracked:
    """What :data:`tracked` is: called for an event of any name, or :meth:`deposit`."""

    @overload
    def __call__(
        self, callback: Handler, name: EventName, /, **arguments: Unpack[SpecArguments]
    ) -> Handler: ...

    @overload
    def __call__(
        self, name: EventName, /, **arguments: Unpack[SpecArguments]
    ) -> Callable[[Handler], Handler]: ...

    def __call__(self, callback: Any, name: str | None = None, /, **arguments: Any) -> Any:
        """Have an event recorded whenever a callback succeeds, as ``@track`` does for handlers.

        ::

            Button(Const("Pay"), id="pay", on_click=tracked(on_click, "FTD", value=15))

            class Quiz(Scene, state="quiz"):
                @on.message.enter()
                @tracked("QuizStarted", once="user")
                async def enter(self, message: Message) -> None: ...

        The arguments are those of ``@track``. A MagicFilter looks at the event that the callback
        gets, or at ``manager.event`` when it gets none (``on_start``). A callable may also ask for
        ``manager``, and by name for all that the callback is given: ``item_id`` of a ``Select``,
        ``result`` of ``on_process_result``.

        :param callback: of a dialog, or a scene's action; a plain function may be given, too.
        :param name: as of ``@track``.
        :return: a function to use in place of the callback; without a callback a decorator, to be
            put below the scene's own.
        """
        if name is None:
            return functools.partial(_wrap, name=_validate_name(callback), arguments=arguments)
        return _wrap(callback, _validate_name(name), arguments)

    @overload
    def deposit(
        self, callback: Handler, /, **arguments: Unpack[DepositSpecArguments]
    ) -> Handler: ...

    @overload
    def deposit(
        self, /, **arguments: Unpack[DepositSpecArguments]
    ) -> Callable[[Handler], Handler]: ...

    def deposit(self, *callback: Any, **arguments: Any) -> Any:
        """Have a deposit recorded whenever a callback succeeds, as ``@track.deposit`` does."""
        decorate = functools.partial(_wrap, name=None, arguments=arguments)
        return decorate(*callback) if callback else decorate


tracked = _Tracked()


def _validate_name(name: object) -> str:
    if isinstance(name, str) and name:
        return name
    msg = f"write tracked(callback, 'REG') with the event's name, not tracked({short_repr(name)})"
    raise TypeError(msg)


def _wrap(callback: Any, name: str | None, arguments: Mapping[str, Any]) -> Any:
    """Return a function that calls a callback, and records the event when it has succeeded.

    :param name: of the event; None for a deposit.
    """
    _validate(callback, name, arguments)
    number = getattr(callback, _NUMBER, 0)
    spec = new_spec("tracked", callback, name, number, **arguments)

    @functools.wraps(callback)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = await _call(callback, args, kwargs)
        if result is not UNHANDLED and result is not REJECTED:
            await _record(spec, callback, args, kwargs, result)
        return result

    setattr(wrapper, _NUMBER, number + 1)
    if not inspect.iscoroutinefunction(inspect.unwrap(callback)):
        # aiogram looks there for what to await, and would call a coroutine function in a thread.
        del wrapper.__wrapped__
    return wrapper


def _validate(callback: Any, name: str | None, arguments: Mapping[str, Any]) -> None:
    possible = DepositSpecArguments if name is None else SpecArguments
    if unknown := sorted(arguments.keys() - possible.__optional_keys__):
        msg = f"tracked() has no argument {unknown[0]!r}"
        raise TypeError(msg)
    if not callable(callback):
        msg = f"tracked() wants the callback itself, not {short_repr(callback)}"
        raise TypeError(msg)
    if is_taken_by_scene(callback):
        decorator = "@tracked.deposit()" if name is None else f"@tracked({name!r})"
        msg = f"put {decorator} below the scene's decorator: above it, it would do nothing"
        raise TypeError(msg)


async def _call(callback: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a callback as aiogram or aiogram-dialog would have called it."""
    if args and isinstance(args[0], Scene):
        return await CallableObject(callback).call(*args, **kwargs)
    result = callback(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


async def _record(
    spec: TrackSpec,
    callback: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
) -> None:
    try:
        event, data = _context(args, kwargs)
        gp: UserTracker | None = data.get(GP_KEY)
        if gp is None:
            _log_missing_gp(spec, data)
            return
        bind_event(gp, event, data["bot"])
        own = _own_arguments(callback, args, kwargs)
    except Exception:
        logger.exception("%s recorded nothing", spec)
        return
    await record_spec(spec, event, {**own, **data}, own.get("result", result))


def _context(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Find the event and aiogram's own context of the update; nothing where there is none."""
    for argument in (*args, *kwargs.values()):
        if isinstance(argument, Scene):
            wizard = argument.wizard
            return wizard.event, {wizard.update_type: wizard.event, **wizard.data, **kwargs}
        data = getattr(argument, "middleware_data", None)
        if isinstance(data, Mapping):
            event = args[0] if args and isinstance(args[0], TelegramObject) else argument.event
            return event, {**data, "manager": argument}
    return None, {}


def _own_arguments(callback: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return what the callback is given, by the names of its parameters."""
    try:
        return {**signature_of(callback).bind_partial(*args, **kwargs).arguments}
    except (TypeError, ValueError):
        return {}


def _log_missing_gp(spec: TrackSpec, data: Mapping[str, Any]) -> None:
    if not data:
        reason = "it is for dialogs and scenes; mark handlers with @track"
    elif "event_from_user" in data:
        reason = "the update came without gp; call tracker.setup(dp)"
    else:
        logger.debug("%s: the update names no user", spec)
        return
    logger.error("%s recorded nothing: %s", spec, reason)
