"""What a durable event costs an HTTP request: the gateway beside a handler that stores nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from aiohttp import ClientSession, web

from benchmarks.table import Row, quantile, show
from gp_aiogram import SQLiteStore, Tracker
from gp_aiogram.web import Gateway, GatewayLimits

_KEY = "a-long-random-key-of-the-shop-0123456789"
_WORKSPACE = "0b7f6f0e-6a0f-4d0a-9f43-0d6a3a0c1c11"
_AIM = 0.5

_CHECKOUT = Path(__file__).resolve().parents[1]


class Round(NamedTuple):
    """What one round came to.

    :param rate: events per second.
    :param cpu: seconds of CPU time that the server took for an event, all threads included.
    :param latencies: of requests, in seconds.
    """

    rate: float
    cpu: float
    latencies: list[float]


async def run(*, quick: bool) -> None:
    """Measure and print."""
    seconds, rounds = (0.4, 3) if quick else (1.0, 9)
    rows = []
    with TemporaryDirectory() as folder:
        async with (
            _serving("bare") as bare_port,
            _serving("gateway", str(Path(folder, "gp.sqlite3"))) as port,
        ):
            for concurrency, aim in ((1, None), (64, _AIM)):
                rows += await _compare(bare_port, port, concurrency, aim, seconds, rounds)
            rows.append(await _batches(port, seconds, rounds))
    show(
        "Custom events over HTTP (each on disk before its answer)",
        ["events/s", "p50 ms", "p99 ms", "CPU µs", "ratio"],
        rows,
    )


async def _compare(  # noqa: PLR0917 - one table's terms
    bare_port: int,
    port: int,
    concurrency: int,
    aim: float | None,
    seconds: float,
    rounds: int,
) -> list[Row]:
    bare, ours = [], []
    await _ask(bare_port, concurrency, seconds / 4)
    await _ask(port, concurrency, seconds / 4)
    for _ in range(rounds):
        bare.append(await _ask(bare_port, concurrency, seconds))
        ours.append(await _ask(port, concurrency, seconds))
    ratio = median(b.rate / a.rate for a, b in zip(bare, ours, strict=True))
    met = None if aim is None else (f"aim {aim}x", ratio >= aim)
    return [
        Row(f"bare handler, {concurrency} at once", [*_cells(bare), "1.00x"]),
        Row(f"gateway, SQLiteStore, {concurrency} at once", [*_cells(ours), f"{ratio:.2f}x"], met),
    ]


async def _batches(port: int, seconds: float, rounds: int) -> Row:
    results = [await _ask(port, 4, seconds, size=100) for _ in range(rounds)]
    return Row("gateway, batches of 100, 4 at once", [*_cells(results), ""])


def _cells(rounds: list[Round]) -> list[str]:
    latencies = [latency for one in rounds for latency in one.latencies]
    return [
        f"{median(one.rate for one in rounds):,.0f}",
        f"{quantile(latencies, 0.5) * 1000:.2f}",
        f"{quantile(latencies, 0.99) * 1000:.2f}",
        f"{median(one.cpu for one in rounds) * 1e6:.0f}",
    ]


def _request(number: int, size: int) -> bytes:
    event = {
        "event_name": "FTD",
        "telegram_id": number % 100_000 + 1,
        "value": 150.0,
        "currency": "USD",
        "user_data": {"plan": "premium"},
    }
    if size == 1:
        path, body = "/v1/events/custom", {**event, "workspace_id": _WORKSPACE}
    else:
        events = [{**event, "telegram_id": number % 1000 * 100 + n + 1} for n in range(size)]
        path, body = "/v1/events/batch", {"workspace_id": _WORKSPACE, "events": events}
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: gateway.example.com\r\nUser-Agent: shop/1.0\r\n"
        f"Accept: */*\r\nx-api-key: {_KEY}\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: order-{number}-{time.monotonic_ns()}\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


async def _ask(port: int, concurrency: int, seconds: float, size: int = 1) -> Round:
    """Let clients ask one after the other, each over a connection of its own."""
    latencies: list[float] = []
    numbers = itertools.count()
    cpu = await _cpu(port)
    started = time.perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (before := time.perf_counter()) < started + seconds:
            writer.write(_request(next(numbers), size))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            latencies.append(time.perf_counter() - before)
            if b" 200 " not in head[:20] or b'"processed"' not in body:
                msg = f"no event was recorded: {head!r} {body!r}"
                raise RuntimeError(msg)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    events = len(latencies) * size
    seconds = time.perf_counter() - started
    return Round(events / seconds, (await _cpu(port) - cpu) / events, latencies)


async def _cpu(port: int) -> float:
    """Return the seconds of CPU time that a server has taken so far."""
    async with ClientSession() as http, http.get(f"http://127.0.0.1:{port}/cpu") as response:
        return float(await response.text())


async def _tell_cpu(_: web.Request) -> web.Response:
    return web.Response(text=str(time.process_time()))


@asynccontextmanager
async def _serving(*arguments: str) -> AsyncIterator[int]:
    """Run a server in a process of its own; its port."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.gateway", *arguments),
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


async def _bare(request: web.Request) -> web.Response:
    """Read and answer, as any handler of such a request must."""
    body = await request.json()
    data = {
        "event_id": "evt_89237498237",
        "session_id": body.get("session_id"),
        "status": "processed",
    }
    return web.json_response({"ok": True, "data": data})


async def _serve(kind: str, *path: str) -> None:
    """Serve on a free port until standard input ends."""
    app = web.Application()
    app.router.add_get("/cpu", _tell_cpu)
    tracker = None
    if kind == "bare":
        app.router.add_post("/v1/events/custom", _bare)
    else:
        tracker = Tracker([], store=SQLiteStore(Path(*path)))
        await tracker.start()
        limits = GatewayLimits(per_minute=1e12)  # it does its work but never strikes
        Gateway(tracker, {_KEY: _WORKSPACE}, limits=limits, bot_id=42).setup(app)
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
