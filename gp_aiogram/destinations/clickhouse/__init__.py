"""ClickHouse: every event as a row, and the history of events as a source of sessions."""

from gp_aiogram.destinations.clickhouse.destination import ClickHouse
from gp_aiogram.destinations.clickhouse.history import ClickHouseHistory

__all__ = ["ClickHouse", "ClickHouseHistory"]
