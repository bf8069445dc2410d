"""What a store must do so that another one can be moved into it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gp_aiogram.errors import StoreError
from gp_aiogram.stores.migration.progress import Progress
from gp_aiogram.stores.migration.source import Page, Summary
from gp_aiogram.stores.migration.steps import Step


class Target(ABC):
    """A store that is filled.

    It notes how far that has come, so that whoever is killed in the midst of it goes on from
    there; nothing is written twice.

    :param steps: what is moved, in this order.
    """

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps

    @abstractmethod
    async def open(self) -> None:
        """Connect.

        :raises StoreError: when the store cannot be used.
        """

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""

    @abstractmethod
    async def begin(self, source: Summary, *, restart: bool) -> Progress | None:
        """Take the store, or go on where the last one has ended.

        :param restart: throw away what a move that has not finished has left.
        :return: None when everything from this source is there already.
        :raises StoreError: when the store is in use, or holds anything else.
        """

    @abstractmethod
    async def write(self, step: Step, page: Page, source: Summary, progress: Progress) -> Progress:
        """Write a page, and note how far that brings the move.

        :param progress: how far it was.
        """

    @abstractmethod
    async def finish(self, source: Summary, progress: Progress) -> None:
        """Compare what is there with the source, and let everybody have the store.

        :raises StoreError: when they differ; the text says in what.
        """


def refuse_other(where: str, source: Summary, fingerprint: str, *, is_finished: bool) -> None:
    """Raise unless what was noted is of this source, as it is now.

    :param fingerprint: that was noted.
    :raises StoreError: when it is another one, or has changed.
    """
    if fingerprint == source.fingerprint:
        return
    if is_finished:
        msg = (
            f"{where} has got its data from another file, or from this one before it was used "
            "again: two stores cannot become one, name another schema or prefix"
        )
    else:
        msg = (
            f"{where} holds a part of another file, or of this one before it was used again: "
            "stop the bot and begin anew with --restart, which throws that part away"
        )
    raise StoreError(msg)


def unread(source: Summary, progress: Progress, steps: tuple[Step, ...]) -> list[str]:
    """Tell which rows of the source were not looked at."""
    counts = [(step, progress.of(step).read, source.counts[step.name]) for step in steps]
    return [
        f"{read} of {count} {step.name} were read" for step, read, count in counts if read != count
    ]
