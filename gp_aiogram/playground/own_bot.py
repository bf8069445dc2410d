"""Finds a bot of one's own, and makes sure that it tells nobody but the stand-ins."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from urllib.parse import urlsplit

from aiogram import Dispatcher

from gp_aiogram import ConfigurationError, Destination, HTTPDestination, Tracker
from gp_aiogram.bot.setup import tracker_of

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def load_dispatcher(path: str, environment: Mapping[str, str]) -> Dispatcher:
    """Import a module and return its dispatcher.

    :param path: ``module:attribute``, looked for in the working folder first.
    :param environment: variables that the module finds set.
    :raises ConfigurationError: when there is no such dispatcher.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute.isidentifier():
        msg = f"a bot is named as module:dispatcher, such as mybot:dp, not {path!r}"
        raise ConfigurationError(msg)
    os.environ.update(environment)
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - what sys.path wants
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        msg = f"there is no module {module_name} here: start where its file is"
        raise ConfigurationError(msg) from None
    found = getattr(module, attribute, None)
    if not isinstance(found, Dispatcher):
        msg = f"{path} must be a Dispatcher, not {type(found).__name__}"
        raise ConfigurationError(msg)
    return found


def tracker_for(dispatcher: Dispatcher, path: str, standard: Tracker) -> Tracker:
    """Return the tracker of a dispatcher, or set a standard one up on it.

    :param path: names the bot in messages.
    :raises ConfigurationError: when its tracker would send to somebody outside.
    """
    tracker = tracker_of(dispatcher)
    if tracker is None:
        standard.setup(dispatcher)
        return standard
    outside = [one for one in tracker.destinations if not _is_inside(one)]
    if outside:
        names = ", ".join(map(_named, outside))
        msg = (
            f"{path} would send to {names}, and nothing may leave the sandbox: build its tracker "
            "with Tracker.from_settings(), which finds the stand-ins in GP_* variables here, and "
            "leave other destinations out of .env"
        )
        raise ConfigurationError(msg)
    return tracker


def _is_inside(destination: Destination) -> bool:
    if not isinstance(destination, HTTPDestination):
        return False
    return urlsplit(destination.base_url).hostname in _LOOPBACK


def _named(destination: Destination) -> str:
    if isinstance(destination, HTTPDestination):
        return f"{destination.name} ({urlsplit(destination.base_url).hostname})"
    return destination.name
