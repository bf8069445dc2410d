"""Runs the command line as ``python -m gp_aiogram``."""

from __future__ import annotations

from gp_aiogram.cli import main

if __name__ == "__main__":
    main()
