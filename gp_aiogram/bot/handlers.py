"""Reads a handler's marks as aiogram holds it: with its flags, and with what they lack."""

from __future__ import annotations

from types import FunctionType

from aiogram.dispatcher.event.handler import HandlerObject
from aiogram.fsm.scene import SceneHandlerWrapper

from gp_aiogram.decorators import FLAG, TrackSpec, applying, hidden_marks


def marks_of(handler: HandlerObject) -> tuple[TrackSpec, ...]:
    """Return the marks that apply when aiogram calls a handler."""
    callback = handler.callback
    if isinstance(callback, FunctionType) and not callback.__dict__:
        return ()  # nothing has decorated it, as is the rule, and this is asked for each update
    marks = applying(callback, handler.flags.get(FLAG, ()))
    if isinstance(callback, SceneHandlerWrapper):
        callback = callback.handler.callback
    hidden = hidden_marks(callback)
    return (*(mark for mark in hidden if mark not in marks), *marks)
