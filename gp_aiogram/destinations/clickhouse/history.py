"""Resolves a user's session from the events that ClickHouse has."""

from __future__ import annotations

from datetime import datetime, timezone

import httpx

from gp_aiogram.destinations.clickhouse.destination import ClickHouse
from gp_aiogram.model.session import Session, SessionQuery


class ClickHouseHistory:
    """Finds the session of a user's earlier events, the second step of GramPixel's order.

    Pass it to the attribution policy: ``Attribution(history=ClickHouseHistory(...))``. It looks at
    the user's events in the same bot that have a session, and returns the session of the last one,
    or of the first one with ``touch="first"``. The click of a session, or else its first event,
    must be within the window. The database user only needs to read the table.

    :param url: the HTTP interface, e.g. ``https://clickhouse.example.com:8443``.
    :param table: that of :class:`ClickHouse`.
    :param database: of the table.
    :param user: letters, digits and underscores.
    :param password: sent in a header; None if the user has none.
    :param proxy: URL of an HTTP proxy; None uses the proxy of the environment, if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``.
    :raises ConfigurationError: when an argument is invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        table: str = "gp_events",
        database: str = "default",
        user: str = "default",
        password: str | None = None,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._clickhouse = ClickHouse(
            url,
            table=table,
            database=database,
            user=user,
            password=password,
            name="clickhouse history",
            proxy=proxy,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"ClickHouseHistory({self._clickhouse.table.name})"

    async def find(self, query: SessionQuery) -> Session | None:
        """Return the session of the earlier events; None if there are none.

        :raises DeliveryError: when ClickHouse does not answer.
        """
        rows = await self._clickhouse.query(self._statement(query))
        if not rows:
            return None
        (row,) = rows
        session_id = str(row["session_id"])
        return Session(
            bot_id=int(row["bot_id"]) or None,
            telegram_id=query.telegram_id,
            session_id=session_id,
            source="history",
            at=datetime.fromtimestamp(int(row["touched"]), timezone.utc),
            payload=session_id,
        )

    async def close(self) -> None:
        """Close the connections; the next query opens new ones."""
        await self._clickhouse.close()

    def _statement(self, query: SessionQuery) -> str:
        """Write the question. Numbers alone go into it, so nothing needs to be escaped."""
        wanted = [f"telegram_id = {int(query.telegram_id)}", "session_id != ''"]
        if query.bot_id is not None:
            wanted.append(f"bot_id = {int(query.bot_id)}")
        if query.until is not None:
            wanted.append(f"event_time <= toDateTime({_seconds(query.until)})")
        # Of the touch itself, so that events do not keep a session alive beyond the window.
        since = 0 if query.since is None else _seconds(query.since)
        order = "min(event_time) ASC" if query.first else "max(event_time) DESC"
        return (
            "SELECT session_id, bot_id, "
            "toUnixTimestamp(min(coalesce(click_at, event_time))) AS touched "
            f"FROM {self._clickhouse.table.name} WHERE {' AND '.join(wanted)} "
            f"GROUP BY session_id, bot_id HAVING touched >= {since} "
            f"ORDER BY {order}, session_id LIMIT 1"
        )


def _seconds(moment: datetime) -> int:
    """Return Unix seconds that a ``DateTime`` holds."""
    return min(max(int(moment.timestamp()), 0), 2**32 - 1)
