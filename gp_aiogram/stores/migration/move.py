"""Moves everything from a file into a store, page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gp_aiogram.stores.migration.progress import Progress
from gp_aiogram.stores.migration.source import SQLiteSource, Summary
from gp_aiogram.stores.migration.steps import Step
from gp_aiogram.stores.migration.target import Target

#: Is told what is moved, how many rows are done, and of how many.
Tell = Callable[[str, int, int], None]


class Moved(NamedTuple):
    """What has come of it.

    :param counts: rows that were moved, by what they are.
    :param left_out: rows that cannot be read and were left out, by what they are.
    :param was_there: everything was there already.
    """

    counts: dict[str, int]
    left_out: dict[str, int]
    was_there: bool = False


class Move:
    """A move from a file into a store. The file stays as it is.

    :param tell: is called after each page.
    """

    def __init__(self, source: SQLiteSource, target: Target, tell: Tell) -> None:
        self._source = source
        self._target = target
        self._tell = tell

    async def run(self, *, restart: bool = False) -> Moved:
        """Move what is not moved yet, and compare in the end.

        :param restart: begin anew where another move has not finished.
        :raises StoreLocked: when a bot has the file.
        :raises StoreError: when source or target cannot be used, or differ in the end.
        """
        try:
            await self._source.open()
            await self._target.open()
            return await self._run(restart=restart)
        finally:
            try:
                await self._target.close()
            finally:
                await self._source.close()

    async def _run(self, *, restart: bool) -> Moved:
        summary = await self._source.summary()
        progress = await self._target.begin(summary, restart=restart)
        if progress is None:
            return Moved({}, {}, was_there=True)
        for step in self._target.steps:
            progress = await self._take(step, summary, progress)
        await self._target.finish(summary, progress)
        return _moved(self._target, progress)

    async def _take(self, step: Step, summary: Summary, progress: Progress) -> Progress:
        """Take a step to its end."""
        total = summary.counts[step.name]
        self._tell(step.name, progress.of(step).read, total)
        while not progress.of(step).is_done:
            page = await self._source.page(step, progress.of(step).after)
            progress = await self._target.write(step, page, summary, progress)
            self._tell(step.name, progress.of(step).read, total)
        return progress


def _moved(target: Target, progress: Progress) -> Moved:
    taken = {step.name: progress.of(step) for step in target.steps}
    return Moved(
        {name: step.written for name, step in taken.items()},
        {name: step.left_out for name, step in taken.items() if step.left_out},
    )
