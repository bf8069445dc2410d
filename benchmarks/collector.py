"""A collector that takes any client's batches, in a process of its own so that it costs no client.

Events are the items of ``data`` (Meta, Snowplow) or ``batch`` (PostHog, Segment); a body without
either is one event (GramPixel). Everything is answered at once, as Meta and GramPixel answer it,
except under ``/slow``, after 20 ms, under ``/hang``, where no answer comes, and under ``/503``.
Nothing is checked: for that there are the stand-ins in ``gp_aiogram.sandbox``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

_CHECKOUT = Path(__file__).resolve().parents[1]

_LARGEST = 64 * 1024 * 1024

#: Seconds that an answer under ``/slow`` takes.
_SLOW = 0.02


@asynccontextmanager
async def collecting() -> AsyncIterator[str]:
    """Run a collector; its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.collector"),
        cwd=_CHECKOUT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()


async def collected(address: str) -> dict[str, int]:
    """Return how many events came under each first part of a path, and forget them."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}/collected") as answer:
        counts: dict[str, int] = await answer.json()
        return counts


class _Collector:
    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    async def take(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        where = request.path.split("/")[1]
        if where == "hang":
            await asyncio.Event().wait()
        if where == "slow":
            await asyncio.sleep(_SLOW)
        if where == "503":
            return web.Response(status=503)
        number = len(body.get("data") or body.get("batch") or [body])
        self._counts[where] += number
        answer = {"events_received": number, "messages": [], "fbtrace_id": "A0", "ok": True}
        return web.json_response(answer)

    async def tell(self, _: web.Request) -> web.Response:
        counts, self._counts = self._counts, Counter()
        return web.json_response(counts)


async def _serve() -> None:
    """Collect on a free port until standard input ends."""
    collector = _Collector()
    app = web.Application(client_max_size=_LARGEST)
    app.router.add_get("/collected", collector.tell)
    app.router.add_post("/{path:.*}", collector.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve())
