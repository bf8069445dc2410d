"""``gp-aiogram init``: asks for what a bot needs, and writes ``.env``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from gp_aiogram.cli.console import CommandError, log_to_stderr, told_in_a_line
from gp_aiogram.cli.dotenv_file import known_variables, write_variables
from gp_aiogram.cli.options import EXIT_CODES
from gp_aiogram.errors import ConfigurationError, GPError
from gp_aiogram.settings import Settings
from gp_aiogram.settings.settings import destination_groups
from gp_aiogram.stores import from_url

EXAMPLES = f"""
\b
Examples:
  gp-aiogram init
  gp-aiogram init --file deploy/.env

{EXIT_CODES}
"""

_STORE = "sqlite:///gp.sqlite3"


def init(
    file: Annotated[Path, typer.Option(help="The file to write.")] = Path(".env"),
) -> None:
    """Ask for the bot's token, destinations and store, and write them to .env.

    Secrets that you type are not shown. A variable that is already set is replaced only if you
    agree, and everything else in the file stays. Only your account can read the file.
    """
    log_to_stderr()
    with told_in_a_line():
        if not sys.stdin.isatty():
            msg = "init asks questions, and nobody is there to answer: run it in a terminal"
            raise ConfigurationError(msg)
        _init(file)


def _init(file: Path) -> None:
    known = known_variables(file)
    if known:
        typer.echo(f"{file} is there already: what it holds stays, unless you say otherwise.")
    values: dict[str, str] = {}
    if _wanted("BOT_TOKEN", known):
        token = _ask("BOT_TOKEN, from @BotFather (Enter to leave it out)", secret=True, default="")
        values |= {"BOT_TOKEN": token} if token else {}
    for name in _destinations():
        values |= _destination(name, known)
    if _wanted("GP_STORE", known):
        values["GP_STORE"] = _store()
    if not values:
        msg = "nothing was changed"
        raise CommandError(msg)
    write_variables(file, values)
    typer.echo(f"{file} has {', '.join(values)}. Keep it out of git.")
    typer.echo("Next: gp-aiogram doctor")


def _wanted(variable: str, known: Mapping[str, str]) -> bool:
    """Ask before what is there already is replaced; its value is not shown."""
    return variable not in known or typer.confirm(f"{variable} is set already. Replace it?")


def _destinations() -> list[str]:
    groups = destination_groups()
    typer.echo(f"Destinations: {', '.join(groups)}")
    while True:
        told = _ask("Which ones, with commas between", default="grampixel")
        names = told.replace(",", " ").lower().split()
        unknown = [name for name in names if name not in groups]
        if names and not unknown:
            return names
        typer.echo(f"there is no {', '.join(unknown) or 'such thing'}", err=True)


def _destination(name: str, known: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for field, info in destination_groups()[name].model_fields.items():
        variable = f"GP_{name}__{field}".upper()
        if info.is_required() and _wanted(variable, known):
            values[variable] = _field(variable, info)
    return values


def _field(variable: str, info: FieldInfo) -> str:
    """Ask until the answer is one that the setting takes."""
    reader: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
    secret = _is_secret(info.annotation)
    while True:
        answer = _ask(f"{variable}, {info.description}", secret=secret)
        try:
            reader.validate_python(answer)
        except (ValidationError, GPError):
            typer.echo(f"expected {info.description}", err=True)
        else:
            return answer


def _is_secret(annotation: Any) -> bool:
    """Return whether a setting is never shown, also where it is one of several."""
    return "SecretStr" in str(annotation) or annotation is SecretStr


def _store() -> str:
    while True:
        url = _ask(f"GP_STORE, {Settings.model_fields['store'].description}", default=_STORE)
        try:
            from_url(url)
        except GPError as error:
            typer.echo(str(error), err=True)
        else:
            return url


def _ask(question: str, *, secret: bool = False, default: str | None = None) -> str:
    if secret:
        return _ask_unseen(f"{question} (not shown): ", may_be_empty=default is not None)
    answer: str = typer.prompt(question, default=default, show_default=bool(default))
    return answer.strip()


def _ask_unseen(question: str, *, may_be_empty: bool) -> str:
    """Ask for a secret. Typer's own prompt would show what is typed before it is ready."""
    while True:
        answer = getpass(question).strip()
        if answer or may_be_empty:
            return answer
