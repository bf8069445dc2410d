"""``gp-aiogram sessions``: what is stored of a user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from gp_aiogram.cli.access import reading
from gp_aiogram.cli.console import run
from gp_aiogram.cli.options import EXIT_CODES, JSON
from gp_aiogram.cli.output import Table, is_terminal, print_fields, print_json, print_table
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import FIRST_DEPOSIT, Traits, validate_telegram_id
from gp_aiogram.model.session import Session
from gp_aiogram.settings import Settings
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.keys import OnceKey, opt_out_key, user_key
from gp_aiogram.tracker import Tracker

EXAMPLES = f"""
\b
Examples:
  gp-aiogram sessions show 1001
  gp-aiogram sessions show 1001 --json

{EXIT_CODES}
"""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def sessions() -> None:
    """Show how users came, and what is known of them."""


@dataclass(frozen=True)
class _Known:
    """What a store knows of a user.

    :param counting: the touches that an event of now is credited to, one of each bot at most.
    :param click: that of the last of them.
    """

    touches: Sequence[Session]
    counting: Sequence[Session]
    click: Click | None
    traits: Traits
    opted_out: bool
    deposited: bool


@app.command(epilog=EXAMPLES)
def show(
    telegram_id: Annotated[int, typer.Argument(help="Telegram id of the user.")],
    as_json: JSON = False,
) -> None:
    """Show a user's touches, which one gets the credit, the click, and traits.

    Traits are digests, as they are stored. A running bot is not disturbed.
    """
    run(_show(telegram_id, as_json))


async def _show(telegram_id: int, as_json: bool) -> None:
    validate_telegram_id(telegram_id)
    settings = Settings()
    async with reading(settings) as store:
        known = await _find(store, settings, telegram_id)
    if as_json:
        print_json(_as_json(telegram_id, known))
    else:
        _print(telegram_id, known)


async def _find(store: Store, settings: Settings, telegram_id: int) -> _Known:
    touches = await store.sessions.history(telegram_id)
    tracker = Tracker([], store=store, attribution=settings.attribution.build(), journal=None)
    bots = sorted({touch.bot_id for touch in touches}, key=lambda bot: bot or 0)
    found = [await tracker.session(telegram_id, bot) for bot in bots]
    counting = sorted((touch for touch in found if touch), key=lambda touch: touch.at)
    session_id = counting[-1].session_id if counting else None
    profile = await store.profiles.profile(telegram_id, session_id)
    opted_out = opt_out_key(telegram_id)
    keys = [opted_out, *_deposits(telegram_id, bots)]
    told = await store.outbox.known_keys(keys)
    return _Known(
        touches=touches,
        counting=counting,
        click=profile.click,
        traits=profile.traits,
        opted_out=opted_out in told,
        deposited=bool(told - {opted_out}),
    )


def _deposits(telegram_id: int, bots: Sequence[int | None]) -> list[OnceKey]:
    """Return the keys of which one is known when a user has deposited."""
    return [user_key(bot, telegram_id, FIRST_DEPOSIT) for bot in {*bots, None}]


def _print(telegram_id: int, known: _Known) -> None:
    rows = [_row(touch, known) for touch in known.touches]
    table = Table(("time", "bot", "session", "source", "payload", "counts"), rows)
    print_table(table, f"no touch of user {telegram_id} is stored")
    facts: dict[str, Any] = {
        "opted out": known.opted_out,
        "first deposit": "known" if known.deposited else "not yet",
    }
    for platform, fields in sorted(known.traits.items()):
        facts[f"traits for {platform}"] = ", ".join(sorted(fields))
    for name, value in _fields_of(known.click).items():
        facts[f"click {name}"] = value
    typer.echo("")
    if not is_terminal():
        facts = {name.replace(" ", "_"): value for name, value in facts.items()}
    print_fields(facts)


def _row(touch: Session, known: _Known) -> Sequence[object]:
    counts = touch in known.counting
    return (touch.at, touch.bot_id, touch.session_id, touch.source, touch.payload, counts)


def _fields_of(click: Click | None) -> dict[str, Any]:
    told = {} if click is None else click.to_dict()
    plain = {name: value for name, value in told.items() if not isinstance(value, dict)}
    nested = [value for value in told.values() if isinstance(value, dict)]
    return plain | {name: value for each in nested for name, value in each.items()}


def _as_json(telegram_id: int, known: _Known) -> dict[str, Any]:
    return {
        "telegram_id": telegram_id,
        "touches": [
            {**asdict(touch), "counts": touch in known.counting} for touch in known.touches
        ],
        "click": None if known.click is None else known.click.to_dict(),
        "traits": {platform: dict(fields) for platform, fields in known.traits.items()},
        "opted_out": known.opted_out,
        "deposited": known.deposited,
    }
