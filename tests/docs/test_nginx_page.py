"""The bot of docs/howto/nginx.md behind a real nginx, configured as the page says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import aiohttp
import pytest
import trustme
from docs.stand_ins import configured
from docs.test_deployment import needed

from fixtures.pages import blocks, modules_of, paste_files
from fixtures.ports import free_port
from gp_aiogram.sandbox import GramPixelSandbox, TelegramSandbox
from gp_aiogram.web import serve

PAGE = "howto/nginx"
BROWSER = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"}

MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""


def configuration(folder: Path, port: int, bot: str) -> str:
    """Return the page's server, with the port, the certificate and the bot of this test."""
    server, *_ = blocks(PAGE, "nginx")
    trustme.CA().issue_cert(
        "bot.example.com", "127.0.0.1"
    ).private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    live = "/etc/letsencrypt/live/bot.example.com"
    changed = {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        f"{live}/fullchain.pem": f"{folder}/both.pem",
        f"{live}/privkey.pem": f"{folder}/both.pem",
        "http://127.0.0.1:8080": bot,
    }
    for printed, meant in changed.items():
        assert printed in server
        server = server.replace(printed, meant)
    return MAIN.format(folder=folder, server=server)


@asynccontextmanager
async def nginx(folder: Path, port: int, bot: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Run nginx, and yield a client of it."""
    program = needed("nginx")
    path = folder / "nginx.conf"
    path.write_text(configuration(folder, port, bot), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(path), stderr=asyncio.subprocess.PIPE
    )
    address = f"https://127.0.0.1:{port}"
    try:
        connector = aiohttp.TCPConnector(ssl=False)
        async with aiohttp.ClientSession(address, connector=connector) as client:
            await until_it_answers(client)
            yield client
    finally:
        process.terminate()
        _, told = await process.communicate()
        assert not told, told.decode()


async def until_it_answers(client: aiohttp.ClientSession) -> None:
    for _ in range(500):
        try:
            async with client.get("/"):
                return
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.02)
    pytest.fail("nginx does not answer")


async def test_webhooks_and_clicks_come_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paste_files(PAGE, tmp_path)
    port = free_port()
    async with TelegramSandbox() as telegram, GramPixelSandbox() as grampixel:
        configured(monkeypatch, telegram=telegram, grampixel=grampixel)
        monkeypatch.setenv("WEBHOOK_SECRET", "s3cret")
        monkeypatch.setenv("WEBHOOK_URL", f"http://127.0.0.1:{port}/telegram")
        with modules_of(tmp_path):
            bot = import_module("bot")
            async with serve(bot.app, port=0) as address, nginx(tmp_path, port, address) as client:
                async with client.get(
                    "/go?fbclid=IwAR0abc",
                    headers=BROWSER | {"X-Forwarded-For": "203.0.113.9"},
                    allow_redirects=False,
                ) as go:
                    link = go.headers["Location"]
                session = link.partition("?start=")[2]
                await bot.bot.set_webhook(f"{address}/telegram", secret_token="s3cret")
                await telegram.user(7, "Ada").send("hello", expect_reply=False)
                update = {"update_id": 900, "message": message(f"/start {session}")}
                secret = {"X-Telegram-Bot-Api-Secret-Token": "s3cret"}
                async with client.post("/telegram", json=update) as refused:
                    assert refused.status == 401
                async with client.post("/telegram", json=update, headers=secret) as taken:
                    assert taken.status == 200
                (event,) = await grampixel.wait_for(1)
                async with client.get("/anything") as unknown:
                    assert unknown.status == 404
                async with client.get("/postback/the-secret-key-of-a-network"):
                    pass
                profile = await bot.tracker.store.profiles.profile(7, session)
    assert event.body["session_id"] == session
    assert profile.click is not None
    assert profile.click.ip == "127.0.0.1", "of nginx's own client: a header of theirs is replaced"
    assert "the-secret-key" not in (tmp_path / "access.log").read_text(encoding="utf-8")


def message(text: str) -> dict[str, object]:
    return {
        "message_id": 1,
        "date": 1790000000,
        "chat": {"id": 7, "type": "private", "first_name": "Ada"},
        "from": {"id": 7, "is_bot": False, "first_name": "Ada"},
        "text": text,
        "entities": [{"type": "bot_command", "offset": 0, "length": 6}],
    }
