"""The receivers of docs/howto/signed-webhooks.md, run as they stand with our requests."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from fixtures.ad_platforms import Backend, deliver, purchase
from gp_aiogram import MemoryStore, Tracker, Webhook

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "signed-webhooks.md"


def block(language: str, holding: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (code,) = [code for code in found if holding in code]
    return code


# Python


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[str, str]]:
    """The address of the page's receiver, and its secret."""
    names: dict[str, Any] = {"secret": Webhook.new_secret()}
    exec(block("python", "WebhookVerificationError"), names)
    app = web.Application()
    app.router.add_post("/hook", names["receive"])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", names["secret"]
    await runner.cleanup()


async def test_the_receiver_in_python_takes_what_is_signed(receiver, capsys):
    url, secret = receiver
    async with Tracker([Webhook(url, secret)], store=MemoryStore()) as tracker:
        await tracker.track("FTD", telegram_id=7, bot_id=42, value=20, currency="EUR")
        assert await tracker.flush(5)
        assert await tracker.dead_letters() == []
    assert capsys.readouterr().out == "7 20.0 EUR\n"


async def test_the_receiver_in_python_refuses_another_secret(receiver):
    url, _ = receiver
    webhook = Webhook(url, Webhook.new_secret())
    async with Tracker([webhook], store=MemoryStore()) as tracker:
        await tracker.track("REG", telegram_id=7, bot_id=42)
        await tracker.flush(0.3)
        assert (await tracker.stats()).destinations["webhook"].state == "refused"


# n8n

#: Gives the code what n8n's Code node gives it, and prints what it returns.
NODE = """
const [code, secret, headers, raw] = JSON.parse(require('fs').readFileSync(0));
const Code = Object.getPrototypeOf(async () => {}).constructor;
const $input = { first: () => ({ json: { headers } }) };
const helpers = { getBinaryDataBuffer: async () => Buffer.from(raw, 'base64') };
new Code('$input', '$env', 'require', code)
  .call({ helpers }, $input, { GP_WEBHOOK__SECRET: secret }, require)
  .then((items) => console.log(JSON.stringify(items)));
"""


def in_n8n(secret: str, headers: dict[str, str], raw: bytes) -> subprocess.CompletedProcess[str]:
    given = [block("javascript", "helpers"), secret, headers, base64.b64encode(raw).decode()]
    return subprocess.run(
        [str(shutil.which("node")), "-e", NODE],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(shutil.which("node") is None, reason="the page's JavaScript needs Node.js")
async def test_the_code_node_of_n8n_verifies_and_hands_on_the_event():
    secret, another = Webhook.new_secret(), Webhook.new_secret()
    backend = Backend("", 204)
    webhook = Webhook("https://n8n.example/1", secret, transport=httpx.MockTransport(backend))
    await deliver(webhook, purchase(user_data={"plan": "Gold Ä"}))
    (request,) = backend.requests
    headers = dict(request.headers)
    (item,) = json.loads(in_n8n(secret, headers, request.content).stdout)
    assert item == {"json": json.loads(request.content)}
    for refused in (
        in_n8n(another, headers, request.content),
        in_n8n(secret, headers, request.content + b" "),
        in_n8n(secret, {**headers, "webhook-timestamp": "1"}, request.content),
    ):
        assert "this is not from my bot" in refused.stderr
