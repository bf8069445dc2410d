"""Shows that long work goes on, to people in a terminal and nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

#: Is told how much is done so far.
Advance = Callable[[int], None]


@contextmanager
def progress(text: str, total: int | None = None) -> Iterator[Advance]:
    """Show how much is done, on standard error; nothing of it stays.

    :param text: what is done.
    :param total: how much there is to do; None when nobody knows.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _done: None
        return
    columns = TextColumn(text), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(text, total=total)
        yield lambda done: shown.update(task, completed=done)
