"""The bot played through in a sandbox: real HTTP, real polling, three users, no network."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from examples.echo_bot.bot import create_dispatcher
from gp_aiogram import Settings, Tracker
from gp_aiogram.sandbox import Fault, GramPixelSandbox, SandboxUser, TelegramSandbox

#: Seconds: two retries come after about 2 and 6 seconds, give or take half.
PATIENCE = 30.0

#: What the backend must have received in the end: user, event, session, value, currency.
EXPECTED = [
    ("Ada", "REG", "gp_a1b2c3", None, None),
    ("Ada", "FTD", "gp_a1b2c3", 150.0, "EUR"),
    ("Bob", "REG", None, None, None),
    ("Eve", "FTD", "gp_e5f6a7", 150.0, "EUR"),
]

Row = tuple[str, str, "str | None", "float | None", "str | None"]


async def demo() -> int:
    """Play the three users and compare what the backend received; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        async with TelegramSandbox() as telegram, GramPixelSandbox() as grampixel:
            server = TelegramAPIServer.from_base(telegram.url)
            bot = Bot(telegram.token, session=AiohttpSession(api=server))
            tracker = Tracker.from_settings(_settings(grampixel, Path(folder)))
            dispatcher = create_dispatcher(tracker)
            polling = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False))
            names = {1001: "Ada", 1002: "Bob", 1003: "Eve"}
            ada, bob, eve = (telegram.user(number, name) for number, name in names.items())
            await _play(ada, bob, eve, grampixel)
            await _wait_for_deliveries(grampixel)
            await dispatcher.stop_polling()
            await polling
            return _report(grampixel, names)


def _settings(grampixel: GramPixelSandbox, folder: Path) -> Settings:
    """What ``GP_*`` variables hold in real life."""
    return Settings(
        store=f"sqlite:///{folder / 'gp.sqlite3'}",
        grampixel={
            "api_key": grampixel.api_key,
            "workspace_id": grampixel.workspace_id,
            "base_url": grampixel.url,
        },
    )


async def _play(
    ada: SandboxUser,
    bob: SandboxUser,
    eve: SandboxUser,
    grampixel: GramPixelSandbox,
) -> None:
    print("Ada clicks an ad and opens t.me/the_bot?start=gp_a1b2c3")
    await _start(ada, "gp_a1b2c3")
    await _click(ada, "Register")
    await _click(ada, "Deposit 150 EUR")
    await _click(ada, "Deposit 150 EUR", "(again: a first deposit counts once)")

    print("\nBob finds the bot by himself")
    await _start(bob, None)
    await _click(bob, "Register")

    print("\nEve clicks another ad; the backend fails twice for her")
    grampixel.fail(Fault.status(503), times=2, when=lambda body: body["telegram_id"] == eve.id)
    await _start(eve, "gp_e5f6a7")
    await _click(eve, "Deposit 150 EUR")
    reply = await eve.send("How are you?")
    print(f"  says 'How are you?'  ->  {reply.text}")


async def _start(user: SandboxUser, payload: str | None) -> None:
    reply = await user.start(payload)
    print(f"  /start {payload or ''}  ->  {reply.text}")


async def _click(user: SandboxUser, button: str, remark: str = "") -> None:
    reply = await user.click(button)
    print(f"  [{button}]  ->  {reply.text} {remark}")


async def _wait_for_deliveries(grampixel: GramPixelSandbox) -> None:
    print("\nThe bot answered at once; the courier delivers behind its back …")
    started = time.monotonic()
    try:
        await grampixel.wait_for(len(EXPECTED), timeout=PATIENCE)
    except TimeoutError as error:
        print(f"  {error}")
    print(f"  … done after {time.monotonic() - started:.1f} s more\n")


def _report(grampixel: GramPixelSandbox, names: dict[int, str]) -> int:
    print("What the backend received:")
    print(f"  {'user':6}{'event':7}{'session':12}{'value':>8} {'currency':10}idempotency key")
    received = []
    for event in grampixel.events:
        row = _row(event.body, names)
        received.append(row)
        user, name, session, value, currency = ("-" if cell is None else cell for cell in row)
        print(f"  {user:6}{name:7}{session:12}{value:>8} {currency:10}{event.idempotency_key}")
    for number, name in names.items():
        statuses = [
            str(request.status)
            for request in grampixel.requests
            if request.body["telegram_id"] == number
        ]
        print(f"  {name}'s requests were answered: {', '.join(statuses)}")
    missing = Counter(EXPECTED) - Counter(received)
    surplus = Counter(received) - Counter(EXPECTED)
    for row in missing.elements():
        print(f"MISSING: {row}")
    for row in surplus.elements():
        print(f"NOT EXPECTED: {row}")
    if missing or surplus:
        return 1
    print("\nEvery event arrived, once.")
    return 0


def _row(body: Mapping[str, Any], names: dict[int, str]) -> Row:
    return (
        names[body["telegram_id"]],
        body["event_name"],
        body.get("session_id"),
        body.get("value"),
        body.get("currency"),
    )
