"""``python -m tests.faults`` prints the table; ``GP_FAULT_RUNS=10`` does ten times as much."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    folder = Path(__file__).parent
    options = ["-q", "--no-header", "--show-capture=no", "-p", "no:cacheprovider"]
    sys.exit(pytest.main([str(folder), *options, *sys.argv[1:]]))
