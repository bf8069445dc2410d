"""How figures are taken and shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table.

    :param what: what was measured.
    :param cells: figures, formatted, in the order of the table's heads.
    :param aim: what is aimed at, and whether that was met; None where nothing is aimed at.
    """

    what: str
    cells: Sequence[str]
    aim: tuple[str, bool] | None = None


def show(title: str, heads: Sequence[str], rows: Sequence[Row]) -> None:
    """Print one table."""
    lines = [["", *heads, ""]]
    for row in rows:
        verdict = "" if row.aim is None else f"{row.aim[0]}: {'met' if row.aim[1] else 'MISSED'}"
        lines.append([row.what, *row.cells, verdict])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(f"\n{title}")
    for what, *cells, verdict in lines:
        figures = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=False)]
        print("  ".join([what.ljust(widths[0]), *figures, verdict]).rstrip())


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed.

    :param share: 0.5 for the median, 0.99 for p99.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
