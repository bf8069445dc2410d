"""Stores to measure, each fresh: in a temporary folder, or a schema or prefix of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import redis.asyncio

from gp_aiogram import PostgresStore, RedisStore, SQLiteStore, Store

POSTGRES = os.environ.get("GP_BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
REDIS = os.environ.get("GP_BENCH_REDIS", "redis://127.0.0.1:6379/0")

#: Makes a store that is gone with the block.
NewStore = Callable[[], AbstractAsyncContextManager[Store]]


def durable_stores() -> dict[str, NewStore]:
    """Return the stores that keep events, by name."""
    return {"SQLiteStore": sqlite_store, "PostgresStore": postgres_store}


@asynccontextmanager
async def sqlite_store() -> AsyncIterator[SQLiteStore]:
    """Make a file."""
    with TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder, "gp.sqlite3"))
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def postgres_store() -> AsyncIterator[PostgresStore]:
    """Make a schema on the server of ``GP_BENCH_POSTGRES``."""
    async with schema() as name:
        store = PostgresStore(POSTGRES, name)
        try:
            await store.open()
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def redis_and_sqlite() -> AsyncIterator[Store]:
    """Make sessions in Redis, and a file for the rest."""
    async with redis_store() as users, sqlite_store() as rest:
        yield Store.of(users, rest)


@asynccontextmanager
async def redis_store() -> AsyncIterator[RedisStore]:
    """Take a prefix on the server of ``GP_BENCH_REDIS``."""
    prefix = f"gpbench:{secrets.token_hex(8)}"
    store = RedisStore(REDIS, prefix=prefix)
    try:
        await store.open()
        yield store
    finally:
        await store.close()
        await _drop_keys(prefix)


async def _drop_keys(prefix: str) -> None:
    async with redis.asyncio.Redis.from_url(REDIS) as client:
        async for name in client.scan_iter(f"{prefix}:*", count=1000):
            await client.unlink(name)


@asynccontextmanager
async def schema() -> AsyncIterator[str]:
    """Take a name for a schema, which is dropped with the block."""
    name = f"gp_bench_{secrets.token_hex(8)}"
    try:
        yield name
    finally:
        # Those who were told to stop may still say good-bye.
        await asyncio.sleep(0.05)
        connection = await asyncpg.connect(POSTGRES)
        await connection.execute("SET client_min_messages = error")
        await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
        await connection.close()
