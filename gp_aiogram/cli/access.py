"""Opens the store that a command looks at, or changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gp_aiogram.cli.console import CommandError
from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import ConfigurationError, StoreLocked
from gp_aiogram.settings import Settings
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.memory.outbox import MemoryOutbox
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.tracker import Tracker


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Store]:
    """Open the store to look at it; a bot that has it open does not notice.

    :raises ConfigurationError: when nobody but the bot can look at it.
    :raises StoreError: when it cannot be read.
    """
    store = settings.build_reader()
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def writing(settings: Settings, *, may_make: bool = False) -> AsyncIterator[Tracker]:
    """Open the store to change it, with a tracker over it that delivers nothing.

    :param may_make: whether a store may be made where there is none yet.
    :raises CommandError: when a bot has it, and nobody else may write; the text says what to do.
    :raises StoreError: when it cannot be used.
    """
    store = settings.build_store()
    _refuse_memory(store)
    if not may_make:
        _refuse_missing(store)
    tracker = Tracker(
        [],
        store=store,
        attribution=settings.attribution.build(),
        retention=settings.retention.build(),
        journal=None,
        phone_region=settings.phone_region,
    )
    try:
        await _open(store)
        yield tracker
    finally:
        await store.close()


@asynccontextmanager
async def delivering(settings: Settings) -> AsyncIterator[Tracker]:
    """Start a tracker that records and, unless workers do so, delivers.

    :raises CommandError: as :func:`writing`.
    :raises ConfigurationError: when no destination is configured.
    :raises StoreError: when the store cannot be used.
    """
    tracker = Tracker.from_settings(settings.model_copy(update={"journal": None}))
    _refuse_memory(tracker.store)
    try:
        await _open(tracker.store)
        await tracker.start()
        yield tracker
    finally:
        await tracker.close()


def configured(settings: Settings) -> dict[str, Destination]:
    """Return the destinations that are configured, by name; none where a bot's code makes them."""
    try:
        built = settings.destinations()
    except ConfigurationError:
        return {}
    return {destination.name: destination for destination in built}


def _refuse_memory(store: Store) -> None:
    if isinstance(store.outbox, MemoryOutbox):
        msg = "nobody but the bot itself can change memory://: set GP_STORE to a file or server"
        raise ConfigurationError(msg)


def _refuse_missing(store: Store) -> None:
    """Refuse to make a file: most likely the path is wrong."""
    file = _file_of(store)
    if file is not None and not file.path.exists():
        msg = f"there is no file {file.path}: is GP_STORE right, and this the bot's folder?"
        raise CommandError(msg)


def _file_of(store: Store) -> SQLiteStore | None:
    return store if isinstance(store, SQLiteStore) else None


async def _open(store: Store) -> None:
    try:
        await store.open()
    except StoreLocked:
        file = _file_of(store)
        which = "the SQLite file" if file is None else file.path
        msg = (
            f"a running bot has {which}, and no other process may write it: stop the bot, run "
            "this again, and start the bot. With PostgreSQL it works beside the bot"
        )
        raise CommandError(msg) from None
