"""Keeps the tracker's exceptions out of the bot: they are logged and counted instead."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.errors import GPError

if TYPE_CHECKING:
    from gp_aiogram.tracker.tracker import Tracker


@contextmanager
def contained(
    tracker: Tracker,
    counter: TrackerCount,
    log: logging.Logger,
    source: object,
    outcome: str = "recorded nothing",
    *,
    let_through: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Count and log what fails within: the bot's own error handlers must not see it.

    A tracker that is ``strict`` raises it all the same.

    :param counter: key of ``tracker.counts``.
    :param source: what has failed, for the log line.
    :param outcome: what that means.
    :param let_through: errors that are the caller's to handle, all the same.
    """
    try:
        yield
    except let_through:
        raise
    except Exception as error:
        tracker.counts[counter] += 1
        # The text of our own errors says it all, unless something else is behind them.
        is_plain = isinstance(error, GPError) and error.__cause__ is None
        traceback = None if is_plain else error
        log.error(  # noqa: TRY400 - see above
            "%s %s: %s", source, outcome, describe_error(error), exc_info=traceback
        )
        if tracker.strict:
            raise


def describe_error(error: Exception) -> str:
    """Return an error's text, with its type where the text alone does not say what it is."""
    return str(error) if isinstance(error, GPError) else f"{type(error).__name__}: {error}"
