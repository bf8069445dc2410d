"""The command line: what ``gp-aiogram`` and ``python -m gp_aiogram`` run."""

from __future__ import annotations

import sys
from importlib.util import find_spec

#: Exit code for what the user can put right: arguments, settings, a missing extra.
USAGE = 2


def main() -> None:
    """Run a command and exit."""
    if any(find_spec(name) is None for name in ("dotenv", "rich", "typer")):
        sys.stderr.write("gp-aiogram: the command line needs: pip install 'gp-aiogram[cli]'\n")
        sys.exit(USAGE)
    from gp_aiogram.cli.app import app  # noqa: PLC0415 - an optional extra

    app()
