"""``tracked``: the counterpart of ``@track`` for callbacks that aiogram's middlewares never see.

Those are the callbacks of aiogram-dialog and the actions of scenes. aiogram-dialog itself is not
imported: its manager is known by the ``middleware_data`` that it holds.
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

from gp_aiogram.bot.recorder import Recorder
from gp_aiogram.bot.updates import GP_KEY, complete
from gp_aiogram.decorators import (
    DEPOSIT,
    Arguments,
    DepositArguments,
    Handler,
    TrackSpec,
    new_mark,
    signature_of,
)
from gp_aiogram.errors import short_repr
from gp_aiogram.tracker.user_tracker import UserTracker

logger = logging.getLogger("gp_aiogram.emit")

#: Where a wrapper says how many marks it holds with the wrappers below.
_NUMBER = "__gp_tracked__"

#: What a scene writes on a function it has taken; it never calls a wrapper above that.
_TAKEN = ("__aiogram_action__", "__aiogram_handler__")


class _Tracked:
    """What :data:`tracked` is: called for an event of any name, or :meth:`deposit`."""

    @overload
    def __call__(
        self, callback: Handler, name: str, /, **arguments: Unpack[Arguments]
    ) -> Handler: ...

    @overload
    def __call__(
        self, name: str, /, **arguments: Unpack[Arguments]
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
        :return: what takes the callback's place; without a callback a decorator, to be put below
            the scene's own.
        """
        if name is None:
            return functools.partial(_wrapped, name=_checked(callback), arguments=arguments)
        return _wrapped(callback, _checked(name), arguments)

    @overload
    def deposit(self, callback: Handler, /, **arguments: Unpack[DepositArguments]) -> Handler: ...

    @overload
    def deposit(
        self, /, **arguments: Unpack[DepositArguments]
    ) -> Callable[[Handler], Handler]: ...

    def deposit(self, *callback: Any, **arguments: Any) -> Any:
        """Have a deposit recorded whenever a callback succeeds, as ``@track.deposit`` does."""
        decorate = functools.partial(_wrapped, name=DEPOSIT, arguments=arguments)
        return decorate(*callback) if callback else decorate


tracked = _Tracked()


def _checked(name: object) -> str:
    if isinstance(name, str) and name:
        return name
    msg = f"write tracked(callback, 'REG') with the event's name, not tracked({short_repr(name)})"
    raise TypeError(msg)


def _wrapped(callback: Any, name: str, arguments: Mapping[str, Any]) -> Any:
    known = DepositArguments if name == DEPOSIT else Arguments
    if unknown := sorted(arguments.keys() - known.__optional_keys__):
        msg = f"tracked() has no argument {unknown[0]!r}"
        raise TypeError(msg)
    if not callable(callback):
        msg = f"tracked() wants the callback itself, not {short_repr(callback)}"
        raise TypeError(msg)
    if any(hasattr(callback, attribute) for attribute in _TAKEN):
        msg = f"put @tracked({name!r}) below the scene's decorator: above it, it would do nothing"
        raise TypeError(msg)
    number = getattr(callback, _NUMBER, 0)
    mark = new_mark(callback, name, number, **arguments)

    @functools.wraps(callback)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = await _called(callback, args, kwargs)
        if result is not UNHANDLED and result is not REJECTED:
            try:
                await _record(mark, callback, args, kwargs, result)
            except Exception:
                logger.exception("tracked(%r) on %s recorded nothing", name, mark.handler)
        return result

    setattr(wrapper, _NUMBER, number + 1)
    if not inspect.iscoroutinefunction(inspect.unwrap(callback)):
        # aiogram looks there for what to await, and would call a coroutine function in a thread.
        del wrapper.__wrapped__
    return wrapper


async def _called(callback: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call as the one who is replaced would have been called."""
    if args and isinstance(args[0], Scene):
        return await CallableObject(callback).call(*args, **kwargs)
    result = callback(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


async def _record(
    mark: TrackSpec,
    callback: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
) -> None:
    event, data = _context(args, kwargs)
    gp: UserTracker | None = data.get(GP_KEY)
    if gp is None:
        _explain(mark, data)
        return
    complete(gp, event, data["bot"])
    own = _own_arguments(callback, args, kwargs)
    result = own.get("result", result)
    await Recorder(gp.tracker).record(mark, event, {**own, **data}, result)


def _context(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Find the event and aiogram's own context of the update."""
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
    """What the callback is given, by the names of its parameters."""
    try:
        return {**signature_of(callback).bind_partial(*args, **kwargs).arguments}
    except (TypeError, ValueError):
        return {}


def _explain(mark: TrackSpec, data: Mapping[str, Any]) -> None:
    if not data:
        reason = "it is for dialogs and scenes; mark handlers with @track"
    elif "event_from_user" in data:
        reason = "the update came without gp; call tracker.setup(dp)"
    else:
        logger.debug("tracked(%r) on %s: the update names no user", mark.name, mark.handler)
        return
    logger.error("tracked(%r) on %s recorded nothing: %s", mark.name, mark.handler, reason)
