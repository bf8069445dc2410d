"""The process that test_migration_kills.py kills while it brings a store up to date.

One process imports everything and forks one for each line, which has the URL of a store and the
seconds after which it is killed. It answers how each has ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
import traceback

from gp_aiogram.stores import from_url


async def open_and_close(url: str) -> None:
    store = from_url(url)
    await store.open()
    await store.close()


def die(delay: float) -> None:
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)


def be_born(url: str, delay: float) -> None:
    """Be the forked process; ends it."""
    code = 1
    try:
        threading.Thread(target=die, args=(delay,), daemon=True).start()
        asyncio.run(open_and_close(url))
        code = 0
    except BaseException:  # noqa: BLE001 - for the test to show
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    for line in iter(sys.stdin.readline, ""):
        url, delay = line.split()
        pid = os.fork()
        if pid == 0:
            be_born(url, float(delay))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
