"""Takes the figures that gp_aiogram is built for; see README.md beside this file."""

from __future__ import annotations

import argparse
import asyncio
import logging
import platform
import sqlite3
import sys
from pathlib import Path

# The checkout that this file is part of, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import (
    accepting,
    building,
    connecting,
    dispatching,
    end_to_end,
    fanout,
    gateway,
    landing,
    peers,
    stores,
    tracking,
    workers,
)

PARTS = {
    "middlewares": dispatching.run,
    "handlers": tracking.run,
    "store": accepting.run,
    "landing": landing.run,
    "gateway": gateway.run,
    "peers": peers.run,
    "building": building.run,
    "fanout": fanout.run,
    "stores": stores.run,
    "end_to_end": end_to_end.run,
    "workers": workers.run,
    "connection": connecting.run,
}


def main() -> None:
    """Run the parts that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer rounds: seconds, not minutes")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}, only {', '.join(PARTS)}")
    logging.disable(logging.WARNING)
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; "
        "compare the rows of one table, not those of two runs",
    )
    for part in arguments.parts or PARTS:
        asyncio.run(PARTS[part](quick=arguments.quick))


if __name__ == "__main__":
    main()
