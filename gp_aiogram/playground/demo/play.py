"""The bot played through in a sandbox: real HTTP, real polling, six users, no network."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from itertools import takewhile
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from gp_aiogram.playground.demo.expected import EXPECTED, USERS, Row
from gp_aiogram.playground.demo.report import report
from gp_aiogram.playground.demo.stage import POSTBACK_KEY, Stage, stage
from gp_aiogram.sandbox import DestinationSandbox, Fault, SandboxMessage, SandboxUser

#: Seconds: the retries of Eve's event come after about 2 and 6 seconds, give or take half.
PATIENCE = 30.0

AD = "/go?fbclid=IwAR0Ada&ttclid=E.C.P.Ada&utm_source=ads&utm_campaign=spring"
CHANNEL_AD = "/channel/go?fbclid=IwAR0Dan&ttclid=E.C.P.Dan"
SUBID = "20w8u4b6q1m9"
BROWSER = {
    "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15",
    "x-forwarded-for": "203.0.113.7",
}


async def demo() -> int:
    """Play the users and compare what the destinations received; the exit code."""
    logging.basicConfig(level=logging.WARNING, format="  log: %(message)s", stream=sys.stdout)
    async with stage() as on:
        ada, bob, dan, fay, eve, gil = (
            on.telegram.user(number, name) for number, name in USERS.items()
        )
        came_by = {await _play_ada(ada, on): "ad"}
        await _play_bob(bob, on)
        came_by[await _play_dan(dan, on)] = "channel ad"
        came_by[await _play_fay(fay, on)] = "Mini App"
        came_by[await _play_gil(gil, on)] = "tracker link"
        came_by[await _play_eve(eve, on)] = "own link"
        print("\nThe bot answered at once; the courier delivers behind its back …")
        started = time.monotonic()
        await _wait(on, EXPECTED)
        await on.tracker.flush(PATIENCE)  # what should not come gets the time to come
        print(f"  … done after {time.monotonic() - started:.1f} s more")
        forgotten = await _play_forgetting(ada, on)
        return 0 if report(on, came_by) and forgotten else 1


async def _play_ada(ada: SandboxUser, on: Stage) -> str:
    print("Ada clicks an ad, deposits twice and buys for Stars")
    link = await _click_ad(on, AD)
    (session_id,) = parse_qs(urlsplit(link).query)["start"]
    await _start(ada, session_id)
    await _click(ada, "Register")
    await _click(ada, "Deposit 150 EUR")
    await _click(ada, "Deposit 150 EUR")
    await _buy(ada, "Stickers: 250 Stars")
    return session_id


async def _play_bob(bob: SandboxUser, on: Stage) -> None:
    print("\nBob finds the bot by himself, buys for euros and wants them back")
    await _start(bob, None)
    await _buy(bob, "Course: 19.99 EUR")
    # A purchase that is not delivered yet would just be cancelled.
    await _wait(on, list(takewhile(lambda row: row.grampixel != "Refund", EXPECTED)))
    await _send(bob, "/refund")


async def _play_dan(dan: SandboxUser, on: Stage) -> str:
    print("\nDan clicks an ad for the channel and joins it")
    link = await _click_ad(on, CHANNEL_AD)
    await dan.join(on.channel, link)
    session_id = on.channel.links[link].terms.name
    print(f"  joins by this link, which has the name {session_id}")
    return session_id


async def _play_fay(fay: SandboxUser, on: Stage) -> str:
    print("\nFay opens the Mini App by t.me/…?startapp=gp_f7a8b9, then talks to the bot")
    init_data = on.telegram.init_data(fay, start_param="gp_f7a8b9")
    async with httpx.AsyncClient() as browser:
        response = await browser.post(f"{on.web}/mini-app", content=init_data)
    print(f"  POST /mini-app  ->  {response.status_code}")
    await _start(fay, None)
    await _click(fay, "Register")
    return "gp_f7a8b9"


async def _play_gil(gil: SandboxUser, on: Stage) -> str:
    print("\nGil comes by a tracker's link; the network tells of Gil's first deposit, twice")
    await _start(gil, f"kt-{SUBID}")
    deposit = {"subid": SUBID, "status": "ftd", "amount": "80.00", "currency": "EUR", "tid": "c7"}
    async with httpx.AsyncClient() as network:
        for _ in range(2):
            url = f"{on.web}/postback/{POSTBACK_KEY}"
            response = await network.get(url, params=deposit)
            print(f"  GET {response.url.raw_path.decode()}\n    ->  {response.text.strip()}")
    return f"kt-{SUBID}"


async def _play_eve(eve: SandboxUser, on: Stage) -> str:
    print("\nEve comes by a link of GramPixel's own; its backend fails twice for her")
    on.grampixel.fail(Fault.status(503), times=2, when=lambda body: body["telegram_id"] == eve.id)
    await _start(eve, "gp_e5f6a7")
    await _click(eve, "Deposit 150 EUR")
    await _send(eve, "How are you?")
    return "gp_e5f6a7"


async def _play_forgetting(ada: SandboxUser, on: Stage) -> bool:
    print("\nAda wants to be forgotten")
    await _send(ada, "/forget")
    session = await on.tracker.session(ada.id)
    print(f"  her session now: {session}")
    return session is None


async def _click_ad(on: Stage, path: str) -> str:
    async with httpx.AsyncClient(headers=BROWSER) as browser:
        response = await browser.get(on.web + path)
    link = response.headers["location"]
    print(f"  GET {path}\n    ->  {link}")
    return link


async def _start(user: SandboxUser, payload: str | None) -> None:
    _print("/start" if payload is None else f"/start {payload}", await user.start(payload))


async def _send(user: SandboxUser, text: str) -> None:
    _print(text, await user.send(text))


async def _click(user: SandboxUser, button: str) -> None:
    _print(f"[{button}]", await user.click(button))


async def _buy(user: SandboxUser, button: str) -> None:
    await _click(user, "Shop")
    await _click(user, button)
    payment = await user.pay()
    _print("[Pay]", payment.reply)


def _print(action: str, reply: SandboxMessage | None) -> None:
    text = reply and (reply.text or f"invoice for {reply.raw['invoice']['title']}")
    print(f"  {action}  ->  {text}")


async def _wait(on: Stage, rows: Sequence[Row]) -> None:
    """Wait until the destinations have got so much, and tell when they do not."""
    sandboxes: dict[str, DestinationSandbox[Any]] = {
        "grampixel": on.grampixel,
        "meta": on.meta,
        "tiktok": on.tiktok,
        "keitaro": on.keitaro,
    }
    try:
        for name, sandbox in sandboxes.items():
            names = [getattr(row, name) for row in rows]
            await sandbox.wait_for(len(names) - names.count("-"), timeout=PATIENCE)
    except TimeoutError as error:
        print(f"  {error}")
