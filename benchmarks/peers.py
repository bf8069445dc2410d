"""Events per second from the call to the collector, beside trackers that keep events in memory."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.collector import collected, collecting
from benchmarks.table import Row, show
from gp_aiogram import MetaCAPI, SQLiteStore, Tracker

#: What an event of a peer is called, and the ratio of rates that we aim at.
AIMS = {"posthog": 2.5, "segment": 2.0, "snowplow": 0.9}

WRITERS = 64
PEER_BATCH = 100

#: Seconds for the last event to arrive.
_PATIENCE = 120.0

_SCHEMA = "iglu:com.example/purchase/jsonschema/1-0-0"


class Round(NamedTuple):
    """What one round came to."""

    rate: float
    cpu_us: float


Send = Callable[[str, int], Awaitable[None]]


async def run(*, quick: bool) -> None:
    """Measure and print."""
    number, rounds = (4_000, 3) if quick else (20_000, 7)
    clients = {"gp_aiogram": _ours, **_peers()}
    taken: dict[str, list[Round]] = {name: [] for name in clients}
    gc.collect()
    gc.freeze()
    async with collecting() as address:
        for send in clients.values():
            await _round(send, address, number // 10)
        for _ in range(rounds):
            for name, send in clients.items():
                taken[name].append(await _round(send, address, number))
    gc.unfreeze()
    ours = taken["gp_aiogram"]
    show(
        f"{number:,} events to a collector (we: on disk first, batch 1000, {WRITERS} writers; "
        f"others: in memory, batch {PEER_BATCH})",
        ["events/s", "CPU us/event", "ours to it"],
        [_row(name, theirs, ours) for name, theirs in taken.items()],
    )
    if missing := AIMS.keys() - taken.keys():
        names = ", ".join(sorted(missing))
        print(f"{names}: not there; pip install -r benchmarks/requirements.txt")


def _row(name: str, theirs: list[Round], ours: list[Round]) -> Row:
    ratio = median(a.rate / b.rate for a, b in zip(ours, theirs, strict=True))
    rate, cpu = (median(column) for column in zip(*theirs, strict=True))
    aim = AIMS.get(name)
    return Row(
        name,
        [f"{rate:,.0f}", f"{cpu:.0f}", f"{ratio:.2f}x"],
        None if aim is None else (f">= {aim:g}x", ratio >= aim),
    )


async def _round(send: Send, address: str, number: int) -> Round:
    cpu, wall = time.process_time(), time.perf_counter()
    await send(address, number)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    arrived = sum((await collected(address)).values())
    if arrived != number:
        msg = f"{arrived} of {number} events arrived"
        raise RuntimeError(msg)
    return Round(number / wall, cpu / number * 1e6)


def _peers() -> dict[str, Send]:
    """Those that are installed, as an application uses them."""
    peers: dict[str, Send] = {}
    for name, load in {"posthog": _posthog, "segment": _segment, "snowplow": _snowplow}.items():
        with suppress(ImportError):
            peers[name] = load()
    return peers


def _facts(number: int) -> dict[str, Any]:
    """What every client tells of an event, in its own form."""
    return {"value": 9.99, "currency": "USD", "order_id": f"order-{number}"}


async def _ours(address: str, number: int) -> None:
    numbers = iter(range(number))
    with TemporaryDirectory() as folder:
        meta = MetaCAPI("1234567890123456", "token", base_url=address)
        store = SQLiteStore(Path(folder, "gp.sqlite3"))
        async with Tracker([meta], store=store) as tracker:

            async def writer() -> None:
                for one in numbers:
                    facts = _facts(one)
                    await tracker.track(
                        "Purchase",
                        telegram_id=10**9 + one,
                        bot_id=42,
                        value=facts.pop("value"),
                        currency=facts.pop("currency"),
                        user_data=facts,
                    )

            await asyncio.gather(*(writer() for _ in range(WRITERS)))
            await tracker.flush(_PATIENCE)


def _posthog() -> Send:
    from posthog import Posthog  # noqa: PLC0415 - may be missing

    async def send(address: str, number: int) -> None:
        client = Posthog("key", host=address, flush_at=PEER_BATCH, max_queue_size=number)
        for one in range(number):
            client.capture("Purchase", distinct_id=str(10**9 + one), properties=_facts(one))
        client.flush(timeout_seconds=None)
        client.shutdown()

    return send


def _segment() -> Send:
    from segment.analytics.client import Client  # noqa: PLC0415 - may be missing

    async def send(address: str, number: int) -> None:
        client = Client("key", host=address, upload_size=PEER_BATCH, max_queue_size=number)
        for one in range(number):
            client.track(str(10**9 + one), "Purchase", _facts(one))
        client.flush()
        client.join()

    return send


def _snowplow() -> Send:
    import snowplow_tracker as snowplow  # noqa: PLC0415 - may be missing

    async def send(address: str, number: int) -> None:
        emitter = snowplow.AsyncEmitter(address, batch_size=PEER_BATCH, buffer_capacity=number)
        tracker = snowplow.Tracker("benchmark", emitter)
        for one in range(number):
            tracker.track(
                snowplow.SelfDescribing(
                    snowplow.SelfDescribingJson(_SCHEMA, _facts(one)),
                    event_subject=snowplow.Subject().set_user_id(str(10**9 + one)),
                ),
            )
        emitter.sync_flush()

    return send
