"""docs/howto/django.md: its files in a new project, served by ASGI and WSGI servers."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from asgiref.sync import async_to_sync

from fixtures.pages import blocks, paste_files
from fixtures.ports import free_port
from fixtures.postgres import DSN, drop_schema, new_schema, require_server
from gp_aiogram import PostgresStore, StoreError, Tracker
from gp_aiogram.testing.sandboxes import Sandboxes

PAGE = "howto/django"
SECRET = "of the provider"

ASGI = [sys.executable, "-m", "uvicorn", "mysite.asgi:application", "--no-access-log", "--port"]

#: A server with a thread for each request, as gunicorn's gthread has.
WSGI = [
    sys.executable,
    "-c",
    """
import signal, socketserver, sys
from wsgiref.simple_server import WSGIServer, make_server
from mysite.wsgi import application

class Server(socketserver.ThreadingMixIn, WSGIServer):
    pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
make_server("127.0.0.1", int(sys.argv[1]), application, Server).serve_forever()
""",
]


@pytest.fixture
def schema() -> Iterator[str]:
    require_server()
    schema = new_schema()
    yield schema
    drop_schema(schema)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A new project with the page's files."""
    made = ["-m", "django", "startproject", "mysite", str(tmp_path)]
    subprocess.run([sys.executable, *made], check=True, timeout=60)
    paste_files(PAGE, tmp_path)
    return tmp_path


@contextmanager
def served(command: list[str], project: Path, schema: str, sandbox: Sandboxes) -> Iterator[str]:
    port = free_port()
    own = {
        "GP_STORE": f"{DSN}?schema={schema}",
        "GP_GRAMPIXEL__API_KEY": sandbox.grampixel.api_key,
        "GP_GRAMPIXEL__WORKSPACE_ID": sandbox.grampixel.workspace_id,
        "GP_GRAMPIXEL__BASE_URL": sandbox.grampixel.url,
        "PAYMENT_SECRET": SECRET,
    }
    process = subprocess.Popen(
        [*command, str(port)],
        cwd=project,
        env={**os.environ, **own},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        _, log = process.communicate(timeout=30)
    assert "Traceback" not in log, log


async def pay(address: str, order: str, amount: str, *, secret: str = SECRET) -> int:
    paid = {"user": 7, "amount": amount, "currency": "EUR", "order": order}
    body = json.dumps(paid).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Signature": hmac.digest(secret.encode(), body, "sha256").hex(),
    }
    async with httpx.AsyncClient(trust_env=False, timeout=30) as provider:
        answer = await provider.post(f"{address}/payment", content=body, headers=headers)
    return answer.status_code


async def until_ready(address: str) -> None:
    deadline = time.monotonic() + 30
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        while True:
            try:
                await client.get(f"{address}/payment")
            except httpx.ConnectError:
                assert time.monotonic() < deadline, "the server does not listen"
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize(
    ("command", "views"), [(ASGI, "async_views"), (WSGI, "sync_views")], ids=["asgi", "wsgi"]
)
async def test_a_retried_webhook_counts_once(
    command: list[str], views: str, project: Path, schema: str, gp_sandbox: Sandboxes
) -> None:
    urls = project / "mysite" / "urls.py"
    urls.write_text(urls.read_text("utf-8").replace("async_views", views), encoding="utf-8")
    store = PostgresStore(DSN, schema)
    async with Tracker([gp_sandbox.destination("grampixel")], store=store) as bot:
        await bot.capture(7, "gp_a1b2c3", bot_id=42)
        with served(command, project, schema, gp_sandbox) as address:
            await until_ready(address)
            assert await pay(address, "order-1", "49.90") == 200
            assert await pay(address, "order-1", "49.90") == 200, "the provider calls twice"
            at_once = [pay(address, f"order-{number}", "20") for number in range(2, 8)]
            assert await asyncio.gather(*at_once) == [200] * 6
            assert await pay(address, "order-9", "5", secret="guessed") == 401
            assert await pay(address, "order-9", "-5") == 422
            events = [event.body for event in await gp_sandbox.grampixel.wait_for(7)]
    assert {(event["telegram_id"], event["session_id"]) for event in events} == {(7, "gp_a1b2c3")}
    assert sorted((event["event_name"], event["value"]) for event in events) == [
        *[("DEP", 20)] * 6,
        ("FTD", 49.9),
    ]


async def test_a_second_event_loop_is_refused_as_the_page_says(schema: str) -> None:
    tracker = Tracker([], store=PostgresStore(DSN, schema))

    async def record() -> None:
        await tracker.track("REG", telegram_id=7, bot_id=42)

    async with tracker:
        await record()
        with pytest.raises(StoreError, match="another event loop"):
            await asyncio.to_thread(async_to_sync(record))


def test_the_page_prints_files_only() -> None:
    assert all(block.startswith("# mysite/") for block in blocks(PAGE))
