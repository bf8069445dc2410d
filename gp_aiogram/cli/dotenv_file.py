"""Changes variables in a ``.env`` file, and leaves the rest of it as it is."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from gp_aiogram.cli.console import CommandError

#: Nobody but the bot's own account reads it.
_MODE = 0o600

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")

#: What needs no quotes.
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@%+=-]+")


def known_variables(path: Path) -> dict[str, str]:
    """Return what a file sets, by names in capitals; nothing when there is no file."""
    if not path.is_file():
        return {}
    told = dotenv_values(path, encoding="utf-8-sig", interpolate=False)
    return {name.upper(): value or "" for name, value in told.items()}


def write_variables(path: Path, values: Mapping[str, str]) -> None:
    """Set variables, in place where they are set already, else at the end.

    The file is replaced as a whole, so that a crash leaves the old one.

    :raises CommandError: when a value cannot be written so that it is read back as it is, or
        something else would change.
    """
    lines = path.read_text("utf-8-sig").splitlines() if path.is_file() else []
    left = dict(values)
    written = [_line(line, left) for line in lines]
    written += [_assignment(name, value) for name, value in left.items()]
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(written) + "\n")
        _check(new, {**known_variables(path), **values}, values)
        new.replace(path)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}"
        raise CommandError(msg) from None
    finally:
        new.unlink(missing_ok=True)


def _line(line: str, left: dict[str, str]) -> str:
    """Return a line, or what takes its place."""
    found = _ASSIGNMENT.match(line)
    name = None if found is None else found[1].upper()
    return _assignment(name, left.pop(name)) if name in left else line


def _assignment(name: str, value: str) -> str:
    if _PLAIN.fullmatch(value) or not value:
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'"


def _check(path: Path, everything: Mapping[str, str], values: Mapping[str, str]) -> None:
    # With what is put in for ${...}, as the settings read it.
    told = dotenv_values(path, encoding="utf-8-sig")
    wrong = [name for name, value in values.items() if told.get(name) != value]
    if wrong:
        msg = f"{wrong[0]} cannot be written to a .env file as it is: set it in the environment"
        raise CommandError(msg)
    if known_variables(path) != everything:
        msg = "a value of several lines is in the way: nothing was changed, edit the file yourself"
        raise CommandError(msg)
