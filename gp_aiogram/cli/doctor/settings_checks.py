"""Checks ``GP_*`` variables and ``.env``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from gp_aiogram.cli.doctor.finding import Finding
from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.settings import Settings
from gp_aiogram.settings.settings import misspelt

DOTENV = Path(".env")

#: Anybody but the owner may do something with the file.
_OTHERS = 0o077


def variables() -> Mapping[str, str]:
    """Return what is set: the environment, and ``.env`` below it."""
    told = dotenv_values(DOTENV, encoding="utf-8-sig") if DOTENV.is_file() else {}
    return {name: value for name, value in told.items() if value is not None} | dict(os.environ)


def check_settings() -> tuple[Settings | None, list[Finding]]:
    """Read the settings.

    :return: None when they cannot be read, and what was found.
    """
    found = [
        Finding("warning", "settings", f"there is no setting {name}", f"did you mean {near}?")
        for name, near in misspelt(variables()).items()
    ]
    found += _check_dotenv()
    try:
        settings = Settings()
    except ConfigurationError as error:
        return None, [*found, *_explained(error)]
    if not any(finding.verdict == "problem" for finding in found):
        found.append(Finding("ok", "settings", f"{len(_ours())} GP_* variables are read"))
    return settings, found


def check_destinations(settings: Settings) -> tuple[list[Destination], list[Finding]]:
    """Build the destinations."""
    try:
        built = settings.destinations()
    except ConfigurationError as error:
        return [], [
            Finding(
                "problem",
                "destinations",
                str(error),
                "or check with your bot, if its code makes the destinations",
            )
        ]
    names = ", ".join(destination.name for destination in built)
    return built, [Finding("ok", "destinations", names)]


def _check_dotenv() -> list[Finding]:
    if not DOTENV.is_file():
        return []
    if os.name == "posix" and DOTENV.stat().st_mode & _OTHERS:
        text = f"{DOTENV} holds secrets, and other accounts of this machine may open it"
        return [Finding("warning", "settings", text, f"chmod 600 {DOTENV}")]
    return []


def _explained(error: ConfigurationError) -> list[Finding]:
    first, *lines = str(error).splitlines()
    return [Finding("problem", "settings", line.strip()) for line in lines or [first]]


def _ours() -> list[str]:
    return [name for name in variables() if name.upper().startswith("GP_")]
