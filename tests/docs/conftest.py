from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _levels_of_loggers() -> Iterator[None]:
    """Undo what examples of logging set, so that later tests hear all."""
    loggers = [
        logger
        for name, logger in logging.root.manager.loggerDict.items()
        if name.startswith("gp_aiogram") and isinstance(logger, logging.Logger)
    ]
    levels = {logger: logger.level for logger in loggers}
    yield
    for logger, level in levels.items():
        logger.setLevel(level)
