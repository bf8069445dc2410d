"""Reads the specs of a handler as aiogram holds it: those in its flags, and those it lacks."""

from __future__ import annotations

from types import FunctionType

from aiogram.dispatcher.event.handler import HandlerObject

from gp_aiogram.bot._aiogram_internals import beneath_scene
from gp_aiogram.decorators import FLAG, TrackSpec, applicable, injected_specs


def specs_of(handler: HandlerObject) -> tuple[TrackSpec, ...]:
    """Return the specs that apply when aiogram calls a handler."""
    callback = handler.callback
    if isinstance(callback, FunctionType) and not callback.__dict__:
        return ()  # asked for each update, and most handlers have no decorator that leaves a trace
    specs = applicable(callback, handler.flags.get(FLAG, ()))
    injected = injected_specs(beneath_scene(callback))
    return (*(spec for spec in injected if spec not in specs), *specs)
