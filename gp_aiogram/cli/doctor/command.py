"""The command, which goes through the checks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer

from gp_aiogram.cli.console import FAILED, log_to_stderr, run
from gp_aiogram.cli.doctor import (
    clock_check,
    destination_checks,
    settings_checks,
    store_checks,
    telegram_checks,
)
from gp_aiogram.cli.doctor.finding import Report
from gp_aiogram.cli.options import JSON
from gp_aiogram.destinations.base import Destination
from gp_aiogram.settings import Settings

EXAMPLES = """
\b
Examples:
  gp-aiogram doctor
  gp-aiogram doctor --landing https://go.example.com/go
  gp-aiogram doctor --test-code meta=TEST12345 --test-code tiktok=TEST67890
  gp-aiogram doctor --json

\b
Exit codes:
  0  nothing is wrong, though there may be warnings
  1  there is a problem
  2  wrong arguments
"""


def doctor(
    *,
    landing: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The landing page, to check that it leads to this bot."),
    ] = None,
    test_code: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=CODE", help="Try a destination's key with a test event. Repeatable."
        ),
    ] = None,
    user: Annotated[
        int, typer.Option("--user", "-u", min=1, help="Telegram id of the user for test events.")
    ] = 1,
    variable: Annotated[
        str,
        typer.Option(
            "--token-variable", metavar="NAME", help="The variable that holds the bot's token."
        ),
    ] = "BOT_TOKEN",
    telegram_url: Annotated[
        str, typer.Option(metavar="URL", help="The Bot API server, if you run your own.")
    ] = "https://api.telegram.org",
    as_json: JSON = False,
) -> None:
    """Check settings, store, clock, destinations, bot and landing; say what is wrong.

    Nothing is changed, and a running bot is not disturbed. Events are sent with --test-code only.
    """
    log_to_stderr(logging.ERROR)
    codes = _codes(test_code or [])
    report = Report(as_json=as_json)
    token = settings_checks.variables().get(variable)
    run(_examine(report, codes, user, _Telegram(token, telegram_url, landing)))
    report.end()
    if report.problems:
        raise typer.Exit(FAILED)


@dataclass(frozen=True)
class _Telegram:
    token: str | None = field(repr=False)
    url: str
    landing: str | None


def _codes(pairs: Sequence[str]) -> dict[str, str]:
    codes = dict(pair.partition("=")[::2] for pair in pairs)
    for name, code in codes.items():
        if name not in destination_checks.CODES or not code:
            known = ", ".join(sorted(destination_checks.CODES))
            msg = f"--test-code takes NAME=CODE, with a name of {known}"
            raise typer.BadParameter(msg)
    return codes


async def _examine(report: Report, codes: dict[str, str], user: int, telegram: _Telegram) -> None:
    settings, found = settings_checks.check_settings()
    report.add(found)
    dates: list[str | None] = []
    if settings is not None:
        built, found = settings_checks.check_destinations(settings)
        report.add(found)
        report.add(await store_checks.check_store(settings, [each.name for each in built]))
        report.add(store_checks.check_journal(settings))
        dates = [await _examine_destination(report, each, settings, codes, user) for each in built]
    auto = settings.auto if settings is not None else ()
    bot, found = await telegram_checks.check_bot(telegram.token, telegram.url, auto)
    report.add(found)
    dates.append(bot.date if bot is not None else None)
    if telegram.landing is not None:
        report.add(await telegram_checks.check_landing(telegram.landing, bot))
    report.add(clock_check.check_clock(dates))


async def _examine_destination(
    report: Report,
    destination: Destination,
    settings: Settings,
    codes: dict[str, str],
    user: int,
) -> str | None:
    """Go through the checks of a destination, and return the date that it told."""
    try:
        reached = await destination_checks.check_reach(destination)
        report.add(reached.findings)
        report.add(destination_checks.check_test_code(destination, settings))
        if all(finding.verdict == "ok" for finding in reached.findings):
            report.add(await destination_checks.check_key(destination, settings, codes, user))
            report.add(await destination_checks.check_quality(destination))
    finally:
        await destination.close()
    return reached.date
