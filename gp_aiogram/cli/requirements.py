"""Says what a command needs that is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from gp_aiogram.errors import ConfigurationError


def require_aiogram(command: str) -> None:
    """Check that aiogram is there.

    :param command: what needs it.
    :raises ConfigurationError: when it is not.
    """
    if find_spec("aiogram") is None:
        msg = f"the {command} runs a bot, for which aiogram is missing: pip install aiogram"
        raise ConfigurationError(msg)
