"""What people and networks wait for: the landing endpoint, postbacks, and finding users."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from aiohttp import web

from benchmarks.table import Row, quantile, show
from gp_aiogram import Attribution, SQLiteStore, Tracker
from gp_aiogram.web import Landing, Postbacks

_REQUEST = (
    b"GET /go?fbclid=IwAR0aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789_aem_AbCdEfGhIjKlMnOpQrStUv"
    b"&utm_source=fb&utm_medium=paid&utm_campaign=120210000000000000 HTTP/1.1\r\n"
    b"Host: go.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    b"(KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/512.0.0.52.101]\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-GB\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Cookie: _fbp=fb.1.1700000000000.1234567890\r\n"
    b"Referer: https://l.facebook.com/\r\nX-Forwarded-For: %d.%d.%d.7\r\n\r\n"
)


_KEY = "0123456789abcdef"

_POSTBACK = (
    b"GET /postback/" + _KEY.encode() + b"?subid=sub%d&status=sale&payout=50&currency=EUR&tid=%d "
    b"HTTP/1.1\r\nHost: go.example.com\r\nUser-Agent: Go-http-client/1.1\r\n\r\n"
)

#: Users whom postbacks tell of.
_USERS = 1000

_CHECKOUT = Path(__file__).resolve().parents[1]


class Round(NamedTuple):
    """What one round came to; latencies in seconds."""

    rate: float
    latencies: list[float]


async def run(*, quick: bool) -> None:
    """Measure and print."""
    seconds, rounds = (0.3, 3) if quick else (1.0, 9)
    rows = []
    with TemporaryDirectory() as folder:
        async with (
            _serving("bare") as bare_port,
            _serving("landing", str(Path(folder, "gp.sqlite3"))) as port,
        ):
            for concurrency in (1, 32):
                bare, ours = [], []
                await _ask(bare_port, concurrency, seconds / 4)
                await _ask(port, concurrency, seconds / 4)
                for _ in range(rounds):
                    bare.append(await _ask(bare_port, concurrency, seconds))
                    ours.append(await _ask(port, concurrency, seconds))
                ratio = median(b.rate / a.rate for a, b in zip(bare, ours, strict=True))
                rows += [
                    Row(f"bare redirect, {concurrency} at once", [*_cells(bare), "1.00x"]),
                    Row(
                        f"GET /go, SQLiteStore, {concurrency} at once", [*_cells(ours), _x(ratio)]
                    ),
                ]
        async with _serving("postbacks", str(Path(folder, "postbacks.sqlite3"))) as port:
            postbacks = []
            for concurrency in (1, 32):
                await _tell(port, concurrency, seconds / 4)
                told = [await _tell(port, concurrency, seconds) for _ in range(rounds)]
                postbacks.append(
                    Row(f"GET /postback, SQLiteStore, {concurrency} at once", [*_cells(told)])
                )
        found = [await _find(Path(folder, "postbacks.sqlite3"), seconds) for _ in range(rounds)]
    show(
        "Postbacks (each deposit on disk before its 200), and finding users, one after the other",
        ["calls/s", "p50 ms", "p99 ms"],
        [*postbacks, Row("tracker.find_users", _cells(found))],
    )
    show(
        "Redirects of people who click an ad (each click on disk before its redirect)",
        ["redirects/s", "p50 ms", "p99 ms", "ratio"],
        rows,
    )


def _x(ratio: float) -> str:
    return f"{ratio:.2f}x"


def _cells(rounds: list[Round]) -> list[str]:
    latencies = [latency for one in rounds for latency in one.latencies]
    return [
        f"{median(one.rate for one in rounds):,.0f}",
        f"{quantile(latencies, 0.5) * 1000:.2f}",
        f"{quantile(latencies, 0.99) * 1000:.2f}",
    ]


async def _ask(port: int, concurrency: int, seconds: float) -> Round:
    """Let people ask one after the other, each over a connection of their own."""
    latencies: list[float] = []
    people = itertools.count()
    started = time.perf_counter()

    async def person() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (before := time.perf_counter()) < started + seconds:
            number = next(people)
            writer.write(_REQUEST % (number % 9 + 1, number // 256 % 256, number % 256))
            head = await reader.readuntil(b"\r\n\r\n")
            latencies.append(time.perf_counter() - before)
            if b" 302 " not in head[:20] or (b"?start=gp_" not in head):
                msg = f"no session came: {head!r}"
                raise RuntimeError(msg)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(person() for _ in range(concurrency)))
    return Round(len(latencies) / (time.perf_counter() - started), latencies)


async def _tell(port: int, concurrency: int, seconds: float) -> Round:
    """Let a network tell of one deposit after the other, each of another transaction."""
    latencies: list[float] = []
    started = time.perf_counter()

    async def sender() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (before := time.perf_counter()) < started + seconds:
            number = next(_TRANSACTIONS)
            writer.write(_POSTBACK % (number % _USERS, number))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            text = await reader.readexactly(length)
            latencies.append(time.perf_counter() - before)
            if b" recorded" not in text or text.startswith(b"OK: not"):
                msg = f"nothing was recorded: {text!r}"
                raise RuntimeError(msg)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(sender() for _ in range(concurrency)))
    return Round(len(latencies) / (time.perf_counter() - started), latencies)


_TRANSACTIONS = itertools.count()


async def _find(path: Path, seconds: float) -> Round:
    """Look up the users of one session after the other, in the file of the postbacks."""
    latencies: list[float] = []
    async with Tracker([], store=SQLiteStore(path), journal=None) as tracker:
        started = time.perf_counter()
        while (before := time.perf_counter()) < started + seconds:
            (touch,) = await tracker.find_users(f"kt-sub{len(latencies) % _USERS}")
            latencies.append(time.perf_counter() - before)
            if touch.session_id != f"kt-sub{(len(latencies) - 1) % _USERS}":
                msg = f"found somebody else: {touch}"
                raise RuntimeError(msg)
        return Round(len(latencies) / (time.perf_counter() - started), latencies)


async def _arrive(tracker: Tracker) -> None:
    """Let the users come by a tracker's link."""
    for number in range(_USERS):
        await tracker.capture(number + 1, f"kt-sub{number}", bot_id=42)


@asynccontextmanager
async def _serving(*arguments: str) -> AsyncIterator[int]:
    """Run a server in a process of its own; its port."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.landing", *arguments),
        cwd=_CHECKOUT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        yield int(await server.stdout.readline())
    finally:
        server.stdin.close()
        await server.wait()


async def _bare(_: web.Request) -> web.Response:
    headers = {"Location": "https://t.me/my_bot?start=gp_", "Cache-Control": "no-store"}
    return web.Response(status=302, headers=headers)


async def _serve(kind: str, *path: str) -> None:
    """Serve on a free port until standard input ends."""
    app = web.Application()
    tracker = None
    if kind == "bare":
        app.router.add_get("/go", _bare)
    elif kind == "postbacks":
        attribution = Attribution(pattern="kt-.+", parse=lambda text: (text, {"subid": text[3:]}))
        tracker = Tracker([], store=SQLiteStore(Path(*path)), attribution=attribution)
        await tracker.start()
        await _arrive(tracker)
        Postbacks(tracker, key=_KEY, per_minute=None).setup(app)
    else:
        tracker = Tracker([], store=SQLiteStore(Path(*path)))
        await tracker.start()
        # The limits do their work but never strike.
        limits = {"per_ip_limit": 1e12, "clicks_per_day": 10**12}
        Landing(tracker, "my_bot", trusted_proxies=["127.0.0.1"], **limits).setup(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    if tracker is not None:
        await tracker.close(grace=0)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
