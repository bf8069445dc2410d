"""The statements of docs/howto/clickhouse.md, run on the old server and on the current engine."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from fixtures.clickhouse import Server, current_engine, old_server
from gp_aiogram import Click, ClickHouse, MemoryStore, Tracker

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "clickhouse.md"

CREATE, FUNNEL, CAMPAIGNS, COHORTS, ERASE = re.findall(
    r"```sql\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL
)

#: A Monday.
START = datetime(2026, 1, 5, 12, tzinfo=timezone.utc)


@pytest.fixture(scope="module", params=[old_server, current_engine], ids=["18.16", "current"])
def server(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture
async def clickhouse(server: Server) -> AsyncIterator[ClickHouse]:
    """A table with what three users did; whatever is written is written twice."""
    clickhouse = ClickHouse(**server.arguments(), create=True)
    async with Tracker([clickhouse], store=MemoryStore()) as tracker:
        for user, campaign in ((1, "may"), (2, "may"), (3, "june")):
            click = Click(at=START, utm={"utm_campaign": campaign})
            await tracker.register_click(click, session_id=f"gp_{user}")
        for user, name, day, value in (
            (1, "REG", 0, None),
            (1, "FTD", 1, "10.50"),
            (1, "DEP", 8, "20.25"),
            (2, "REG", 7, None),
            (2, "FTD", 8, "5.00"),
            (3, "REG", 1, None),
            (4, "DEP", 1, "7.00"),
        ):
            event = await tracker.track(
                name,
                telegram_id=user,
                session_id=None if user == 4 else f"gp_{user}",
                value=value,
                currency="EUR" if value else None,
                event_time=START + timedelta(days=day),
            )
            await clickhouse.send([clickhouse.prepare(event)])
        assert await tracker.flush(10)
        yield clickhouse


async def rows(clickhouse: ClickHouse, statement: str) -> list[list[str]]:
    found = await clickhouse.query(statement.replace("gp_events", clickhouse.table.name))
    return [[str(value) for value in row.values()] for row in found]


def test_the_table_of_the_page_is_the_one_that_is_made():
    assert ClickHouse("http://127.0.0.1").create_statement == CREATE


async def test_the_funnel_counts_users_by_how_far_they_came(clickhouse):
    assert await rows(clickhouse, FUNNEL) == [["0", "1"], ["1", "1"], ["2", "1"], ["3", "1"]]


async def test_value_by_campaign_counts_each_event_once(clickhouse):
    found = await rows(clickhouse, CAMPAIGNS)
    assert [(campaign, currency, users) for campaign, currency, users, _ in found] == [
        ("may", "EUR", "2"),
        ("", "EUR", "1"),
    ]
    assert [Decimal(total) for *_, total in found] == [Decimal("35.75"), Decimal(7)]


async def test_cohorts_pay_week_by_week(clickhouse):
    found = await rows(clickhouse, COHORTS)
    assert [row[:3] for row in found] == [
        ["2026-01-05", "0", "1"],
        ["2026-01-05", "1", "1"],
        ["2026-01-12", "0", "1"],
    ]
    assert [Decimal(row[3]) for row in found] == [Decimal("10.5"), Decimal("20.25"), Decimal(5)]


async def test_a_user_is_erased_by_the_statement_of_the_page(clickhouse):
    table = clickhouse.table.name
    statement = ERASE.replace("gp_events", table).replace("= 7", "= 1")
    await clickhouse._execute({"query": statement}, b"")
    count = f"SELECT count() AS n FROM {table} WHERE telegram_id = 1"
    deadline = time.monotonic() + 30
    while await rows(clickhouse, count) != [["0"]]:
        assert time.monotonic() < deadline
    assert await rows(clickhouse, count.replace("= 1", "= 2")) != [["0"]]
