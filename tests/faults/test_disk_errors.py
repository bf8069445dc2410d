"""A disk that is full or fails: what was acknowledged stays, and all goes on when it works."""

from __future__ import annotations

import asyncio
import errno
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from test_power_loss import Told, Work, laid, missing

from fixtures.delivery import ALL, until
from fixtures.disk import Disk
from fixtures.fault_table import RUNS, Table
from fixtures.recorder import Recorder
from gp_aiogram import SQLiteStore, StoreError, StoreUnavailable, Tracker
from gp_aiogram.stores.records import DeliveryFilter
from gp_aiogram.tracker import journal_queue
from gp_aiogram.tracker.request import EventRequest

resource = pytest.importorskip("resource")

SEEDS = 60 * RUNS

#: Seeds of a whole tracker, whose power is cut.
TRACKERS = 40 * RUNS

CODES = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}


def failing(
    draw: Random, code: int, of: Callable[[str], bool]
) -> Callable[[str, str], int | None]:
    """Have some of what is asked of a disk fail; a full one still reads and syncs."""
    operations = {"write"} if code == errno.ENOSPC else {"read", "write", "sync", "remove"}

    def fails(operation: str, name: str) -> int | None:
        return code if operation in operations and of(name) and draw.random() < 1 / 3 else None

    return fails


def works(operation: str, name: str) -> int | None:
    return None


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
async def test_a_store_whose_disk_fails_now_and_then_loses_nothing(
    tmp_path: Path, table: Table, code: int
) -> None:
    name = next(name for name in CODES if CODES[name] == code)
    for seed in range(SEEDS // 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        draw, told, disk = Random(seed), Told(), Disk(folder, seed)
        with laid(disk, draw):
            await work_on_a_bad_disk(disk, draw, told, code)
        gone = await missing(folder / "gp.sqlite3", told)
        table.add(
            f"{name}, SQLite",
            seeds=1,
            faults=disk.failures,
            acknowledged=len(told),
            lost=len(gone),
        )
        assert not gone, f"seed {seed}"
        assert disk.failures


async def work_on_a_bad_disk(disk: Disk, draw: Random, told: Told, code: int) -> None:
    store = SQLiteStore(disk.folder / "gp.sqlite3")
    await store.open()
    work = Work(store, draw, told, 0)
    for _ in range(5):
        disk.fails = failing(draw, code, lambda _: True)
        for _ in range(5):
            with pytest.raises(StoreError):
                await work.go_on()
        # It heals by itself: nobody opens it again.
        disk.fails = works
        for _ in range(3):
            await work.step()
    await store.close()


class Payments:
    """A payment service that tells a tracker of orders, and notes what was acknowledged."""

    def __init__(self, tracker: Tracker, told: list[str]) -> None:
        self._tracker = tracker
        self._told = told

    async def pay(self, order: int) -> None:
        with suppress(StoreError):
            event = await self._tracker.track(
                "Purchase",
                telegram_id=7 + order % 3,
                bot_id=42,
                value=5,
                once=order,
                event_id=f"e{order}",
                on_outage="journal",
            )
            if event is not None:
                self._told.append(event.event_id)


def new_tracker(folder: Path) -> Tracker:
    store = SQLiteStore(folder / "gp.sqlite3")
    return Tracker([Recorder()], store=store, journal=folder / "gp.journal")


async def recorded(folder: Path) -> list[str]:
    """Let a new process record what waits, and return what there is."""
    async with new_tracker(folder) as tracker:
        await until(lambda: not tracker.intake.waiting)
        found = await tracker.store.outbox.select(DeliveryFilter(), limit=ALL)
    assert not [path for path in folder.glob("gp.journal*") if path.suffix != ".lock"]
    return [delivery.event.event_id for delivery in found]


async def test_store_and_journal_together_survive_a_power_cut(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's file fails at times, so that requests go on into the journal and back."""
    monkeypatch.setattr(journal_queue, "_PAUSE", 0.001)
    journaled = 0
    for seed in range(TRACKERS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        told: list[str] = []
        disk, draw = Disk(folder, seed), Random(seed)
        with laid(disk, draw):
            disk.cut_power_after(draw.randrange(50, 600))
            journaled += await serve_until_the_cut(disk, draw, told)
        disk.restore()
        there = await recorded(folder)
        table.add(
            "power loss, store and journal",
            seeds=1,
            faults=1,
            acknowledged=len(told),
            lost=len({*told} - {*there}),
            duplicated=len(there) - len({*there}),
        )
        assert {*told} <= {*there}, f"seed {seed}"
        assert len(there) == len({*there})
    assert journaled > TRACKERS


async def serve_until_the_cut(disk: Disk, draw: Random, told: list[str]) -> int:
    tracker = new_tracker(disk.folder)
    with suppress(StoreError):
        await tracker.start()
    payments, order = Payments(tracker, told), 0
    while not disk.is_cut:
        is_away = draw.random() < 1 / 2
        disk.fails = failing(draw, errno.EIO, is_the_stores) if is_away else works
        for _ in range(draw.randrange(1, 6)):
            count = draw.choice([1, 1, 8])
            await asyncio.gather(*map(payments.pay, range(order, order + count)))
            order += count
    disk.fails = works
    await tracker.close(grace=0)
    return tracker.counts["journaled"]


def is_the_stores(name: str) -> bool:
    return "sqlite" in name


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
async def test_where_both_disks_fail_it_is_kept_in_memory(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A handler is never failed: what no disk takes is recorded as long as the process lives."""
    monkeypatch.setattr(journal_queue, "_PAUSE", 0.001)
    name = next(name for name in CODES if CODES[name] == code)
    for seed in range(10 * RUNS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        disk, draw = Disk(folder, seed), Random(seed)
        with laid(disk, draw):
            await handle_on_a_bad_disk(disk, draw, code)
        there = await recorded(folder)
        table.add(
            f"{name}, store and journal",
            seeds=1,
            faults=disk.failures,
            acknowledged=200,
            lost=200 - len({*there}),
            duplicated=len(there) - len({*there}),
        )
        assert sorted(there) == sorted(f"e{number}" for number in range(200)), f"seed {seed}"


async def handle_on_a_bad_disk(disk: Disk, draw: Random, code: int) -> None:
    async with new_tracker(disk.folder) as tracker:
        for start in range(0, 200, 10):
            disk.fails = failing(draw, code, lambda _: True)
            await asyncio.gather(*(record(tracker, start + number) for number in range(10)))
            disk.fails = works
            if draw.random() < 1 / 2:
                await until(lambda: not tracker.intake.waiting)
        await until(lambda: not tracker.intake.waiting)
        assert tracker.counts["journaled"]
        assert not tracker.counts["lost"]


async def record(tracker: Tracker, number: int) -> None:
    request = EventRequest(
        name="REG", telegram_id=number + 1, bot_id=42, event_id=f"e{number}", once="user"
    )
    assert await tracker.intake.track(request) is not None


# A disk that is really full


class SmallDisk:
    """A folder in which little has room.

    :param grow: makes room.
    """

    def __init__(self, folder: Path, grow: Callable[[], None]) -> None:
        self.folder = folder
        self.grow = grow


@contextmanager
def small_file_system(folder: Path) -> Iterator[SmallDisk]:
    """Mount a file system of 3 MiB; who may not mount makes do with small files."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "gp_aiogram", str(folder)]
    try:
        is_mounted = not subprocess.run(mount, check=False, capture_output=True).returncode
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted:
        with small_files(folder) as disk:
            yield disk
        return
    remount = ["mount", "-o", "remount,size=64m", str(folder)]
    try:
        yield SmallDisk(folder, lambda: subprocess.run(remount, check=True) and None)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def small_files(folder: Path) -> Iterator[SmallDisk]:
    """Let no file of this process be larger than 1 MiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    try:
        limit(2**20)
        yield SmallDisk(folder, lambda: limit(soft))
    finally:
        limit(soft)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("small", [small_file_system, small_files])
async def test_a_full_disk_refuses_and_takes_again_when_there_is_room(
    tmp_path: Path, table: Table, small: Callable[[Path], AbstractContextManager[SmallDisk]]
) -> None:
    told: list[str] = []
    with small(tmp_path) as disk:
        async with new_tracker(disk.folder) as tracker:
            full = 0
            for number in range(20_000):
                try:
                    await fill(tracker, number, told)
                except StoreUnavailable:
                    full += 1
                    if full == 50:
                        break
            assert full == 50
            acknowledged = len(told)
            disk.grow()
            for number in range(20_000, 20_050):
                await fill(tracker, number, told)
            await until(lambda: not tracker.intake.waiting)
            assert len(told) == acknowledged + 50
        there = await recorded(disk.folder)
    table.add(
        "full disk",
        faults=full,
        acknowledged=len(told),
        lost=len({*told} - {*there}),
        duplicated=len(there) - len({*there}),
    )
    assert {*told} <= {*there}
    assert len(there) == len({*there})


async def fill(tracker: Tracker, number: int, told: list[str]) -> None:
    """Record an event of 5 KB, in the journal where the store takes no more."""
    event_id = f"e{number}"
    await tracker.track(
        "REG",
        telegram_id=7,
        bot_id=42,
        event_id=event_id,
        user_data={"x": "x" * 5_000},
        on_outage="journal",
    )
    told.append(event_id)
