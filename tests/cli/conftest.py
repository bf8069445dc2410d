from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fixtures import sample_store
from gp_aiogram import SQLiteStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bot's folder, whose store holds the sample."""

    async def fill() -> None:
        clock = sample_store.noon()
        store = SQLiteStore(tmp_path / "gp.sqlite3", clock=clock)
        await store.open()
        await sample_store.fill(store, clock)
        await store.close()

    asyncio.run(fill())
    return tmp_path
