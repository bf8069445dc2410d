"""``gp-aiogram migrate``, run as its own process."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.filled_store import make_file
from fixtures.postgres import DSN, drop_schema, new_schema, require_server
from fixtures.redis_servers import own_keys, shared_redis
from fixtures.terminal import in_terminal
from gp_aiogram import PostgresStore, SQLiteStore

FROM = ("--from", "sqlite:///gp.sqlite3")


@pytest.fixture
def url() -> Iterator[str]:
    require_server()
    schema = new_schema()
    yield f"{DSN}?schema={schema}"
    drop_schema(schema)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    asyncio.run(make_file(tmp_path / "gp.sqlite3"))
    return tmp_path


def run(folder: Path, *options: str, stderr: int = subprocess.PIPE, **env: str) -> Ran:
    return subprocess.run(
        [sys.executable, "-m", "gp_aiogram", "migrate", *options],
        cwd=folder,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "", **env},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=60,
        check=False,
    )


Ran = subprocess.CompletedProcess[str]


def test_it_moves_tells_and_says_what_to_change(folder: Path, url: str) -> None:
    ran = run(folder, *FROM, "--to", url)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("moved and compared: 5 touches, 2 clicks, ")
    assert "now set GP_STORE to the URL of the new store" in ran.stdout
    assert "gp.sqlite3 is as it was" in ran.stdout
    assert re.search(r"^deliveries: (\d+) of \1$", ran.stderr, re.MULTILINE)
    assert "\x1b" not in ran.stderr + ran.stdout
    assert len(ran.stderr.splitlines()) == 10
    again = run(folder, *FROM, "--to", url)
    assert again.returncode == 0
    assert again.stdout.startswith("everything from gp.sqlite3 is there already")


def test_where_to_is_gp_store_by_default(folder: Path, url: str) -> None:
    assert run(folder, *FROM, GP_STORE=url).returncode == 0
    (folder / ".env").write_text(f"GP_STORE={url}\n", "utf-8")
    assert "there already" in run(folder, *FROM).stdout


def test_people_see_a_bar(folder: Path, url: str) -> None:
    ran = in_terminal("migrate", *FROM, "--to", url, folder=folder)
    assert ran.code == 0
    assert re.search(r"touches +━+ 5/5 ", ran.plain)
    assert re.search(r"deliveries +━+ ", ran.plain)
    assert "touches: 5 of 5" not in ran.plain
    assert "moved and compared: " in ran.plain


def test_sessions_and_profiles_go_to_redis(folder: Path) -> None:
    server = shared_redis()
    with own_keys(server) as prefix:
        ran = run(folder, *FROM, "--to", f"{server}?prefix={prefix}")
    assert ran.returncode == 0, ran.stderr
    assert "now set GP_SESSIONS to the URL of the new store" in ran.stdout
    assert "leave GP_STORE as it is: events stay in gp.sqlite3" in ran.stdout


async def test_a_running_bot_is_told_of(tmp_path: Path, url: str) -> None:
    store = SQLiteStore(tmp_path / "gp.sqlite3")
    await store.open()
    ran = await asyncio.to_thread(run, tmp_path, *FROM, "--to", url)
    await store.close()
    assert ran.returncode == 1
    assert ran.stderr.startswith("gp-aiogram: another process")
    assert "stop the other one" in ran.stderr
    assert "Traceback" not in ran.stderr


async def test_a_running_worker_on_the_new_store_is_told_of(tmp_path: Path, url: str) -> None:
    await make_file(tmp_path / "gp.sqlite3")
    store = PostgresStore(url)
    await store.open()
    ran = await asyncio.to_thread(run, tmp_path, *FROM, "--to", url)
    await store.close()
    assert ran.returncode == 1
    assert "is in use by 1 process: stop every bot and worker" in ran.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (FROM, "--to, or GP_STORE, must name the new store"),
        ((*FROM, "--to", "memory://"), "--to, or GP_STORE, must name the new store"),
        ((*FROM, "--to", "sqlite:///new.sqlite3"), "--to, or GP_STORE, must name the new store"),
        ((*FROM, "--to", "nope://"), "a store's URL starts with one of"),
        (("--from", "gp.sqlite3", "--to", "redis://h"), "--from takes the URL of a SQLite file"),
        (("--from", "memory://", "--to", "redis://h"), "--from takes the URL of a SQLite file"),
    ],
)
def test_wrong_addresses_are_told(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    ran = run(tmp_path, *options)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert [*tmp_path.iterdir()] == []


def test_a_server_that_is_away_is_told_without_its_password(folder: Path) -> None:
    url = "postgresql://bot:secret@127.0.0.1:1/shop"
    ran = run(folder, *FROM, "--to", url)
    assert ran.returncode == 1
    assert "gp-aiogram: postgresql://bot@127.0.0.1:1/shop?schema=gp is away" in ran.stderr
    assert "secret" not in ran.stderr


def test_its_help_has_examples(tmp_path: Path) -> None:
    ran = run(tmp_path, "--help")
    assert ran.returncode == 0
    assert "\n    gp-aiogram migrate --from sqlite:///gp.sqlite3\n" in ran.stdout
