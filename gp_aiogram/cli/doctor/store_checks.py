"""Checks the store: whether it can be read, and what waits in it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from gp_aiogram.cli.access import reading
from gp_aiogram.cli.doctor.finding import Finding
from gp_aiogram.cli.output import age_of, count_of
from gp_aiogram.errors import ConfigurationError, StoreError
from gp_aiogram.settings import Settings
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.records import State
from gp_aiogram.stores.sqlite import SQLiteReader, SQLiteStore

#: Seconds after which an event should have been delivered.
_LATE = 3600.0


async def check_store(settings: Settings, destinations: Collection[str]) -> list[Finding]:
    """Look into the store.

    :param destinations: names of those that are configured.
    """
    if settings.store.get_secret_value().startswith("memory:"):
        return [
            Finding(
                "warning",
                "store",
                "memory:// forgets sessions and events when the bot stops",
                "set GP_STORE=sqlite:///gp.sqlite3",
            )
        ]
    missing = _missing_file(settings)
    if missing is not None:
        text = f"there is no file {missing} yet: the bot makes it when it first starts"
        return [Finding("note", "store", text)]
    try:
        async with reading(settings) as store:
            return await _look(store, destinations)
    except (StoreError, ConfigurationError) as error:
        return [Finding("problem", "store", str(error))]


def check_journal(settings: Settings) -> list[Finding]:
    """Look for requests that the store has not taken yet."""
    path = Path(settings.journal)
    names = re.compile(rf"{re.escape(path.name)}(\.[0-9]+)?(\.touches)?")
    folder = path.parent
    waiting = sorted(each for each in folder.glob("*") if names.fullmatch(each.name))
    return [
        Finding(
            "warning",
            "journal",
            f"{each} holds requests that the store has not taken yet",
            "the bot records them when the store is back, or when it starts",
        )
        for each in waiting
    ]


def _missing_file(settings: Settings) -> Path | None:
    store = settings.build_store()
    if isinstance(store, SQLiteStore) and not store.path.exists():
        return store.path
    return None


async def _look(store: Store, destinations: Collection[str]) -> list[Finding]:
    counts = await store.outbox.counts()
    where = _short(store.path) if isinstance(store, SQLiteReader) else repr(store)
    found = [Finding("ok", "store", f"{where} can be read; {_told(counts)}")]
    for name in sorted(counts):
        found += _check_dead(name, counts[name].get("dead", 0))
        found += await _check_pending(store, name, counts[name].get("pending", 0), destinations)
    return found


def _check_dead(name: str, dead: int) -> list[Finding]:
    if not dead:
        return []
    remedy = f"gp-aiogram outbox dead -d {name} says why; outbox replay tries them again"
    return [Finding("warning", name, count_of(dead, "dead letter"), remedy)]


async def _check_pending(
    store: Store, name: str, pending: int, destinations: Collection[str]
) -> list[Finding]:
    if not pending:
        return []
    if destinations and name not in destinations:
        remedy = f"configure it again, or gp-aiogram outbox purge -d {name} --state pending"
        wait = "waits" if pending == 1 else "wait"
        text = f"{count_of(pending, 'event')} {wait} for it, and no destination has this name"
        return [Finding("problem", name, text, remedy)]
    age = await store.outbox.oldest_pending(name) or 0.0
    if age < _LATE:
        return []
    text = f"events wait for {age_of(age)}"
    remedy = f"gp-aiogram outbox pending -d {name} says why; does the bot or a worker run?"
    return [Finding("warning", name, text, remedy)]


def _short(path: Path) -> Path:
    folder = Path.cwd()
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _told(counts: Mapping[str, Mapping[State, int]]) -> str:
    pending = sum(each.get("pending", 0) for each in counts.values())
    dead = sum(each.get("dead", 0) for each in counts.values())
    return f"pending {pending}, dead {dead}"
