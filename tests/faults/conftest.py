"""Prints the table of faults when the tests are over."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from fixtures.fault_table import Row, Table, as_markdown

_ROWS = pytest.StashKey[dict[str, Row]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = {}


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    return Table(request.config.stash[_ROWS])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = [astuple(row) for row in config.stash[_ROWS].values()]
    if not rows:
        return
    total = ("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:]))
    terminalreporter.section("what the stores went through")
    for line in as_markdown([*sorted(rows), total]):
        terminalreporter.write_line(line)
