"""ClickHouse: every event with its session and click as a row, for one's own reports.

It speaks the HTTP interface, with rows as JSONEachRow, and not through ``clickhouse-connect``:
that client asks each server for ``system.settings.readonly`` before anything else, which servers
such as Debian's 18.16 do not have, repeats requests by itself, and does not tell whether a failed
one was read. Formats and codes of the interface are the same in all versions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any

import httpx

from gp_aiogram.destinations.answers import retry_after_header
from gp_aiogram.destinations.arguments import validate_secret
from gp_aiogram.destinations.base import Receipt
from gp_aiogram.destinations.clickhouse.errors import clickhouse_error
from gp_aiogram.destinations.clickhouse.table import Table, row_of, validate_identifier
from gp_aiogram.destinations.http import HTTPDestination
from gp_aiogram.errors import ConfigurationError, DeliveryFailed, RateLimited, short_repr
from gp_aiogram.model import codec
from gp_aiogram.model.event import Event

_ROWS, _GATHER_FOR = 1000, 5.0

#: A request must end within 25 seconds, and its answer fit into memory.
_MOST_ROWS, _LONGEST_GATHERING = 100_000, 3600.0

#: The server buffers the rows of many inserts, and answers when they are written.
_ASYNC = {"async_insert": "1", "wait_for_async_insert": "1"}


class ClickHouse(HTTPDestination):
    """Writes every event into a table.

    A row has the event, the session it is credited to and the click, with address and browser.
    ``forget()`` does not erase rows; docs/howto/clickhouse.md has the statement that does.

    Inserts gather 1000 rows or for five seconds, because each makes a part that ClickHouse has to
    merge. The table replaces rows of the same event, so an insert whose answer was lost can be
    repeated. Read it with ``FINAL``, which leaves out rows that are not yet replaced.

    :param url: the HTTP interface, e.g. ``https://clickhouse.example.com:8443``.
    :param table: its name, or database and name: ``analytics.gp_events``.
    :param database: of the table.
    :param user: letters, digits and underscores.
    :param password: sent in a header; None if the user has none.
    :param create: create the table before the first insert, if it does not exist.
        :attr:`create_statement` is the statement, :meth:`create_table` runs it at once.
    :param batch_size: rows that fill an insert, up to 100 000.
    :param gather_for: the most seconds that an event waits for others, up to 3600.
    :param async_insert: the server gathers rows as well (``async_insert=1``,
        ``wait_for_async_insert=1``), for many processes with few rows each. Since ClickHouse
        21.11.
    :param name: of this destination; each destination of a tracker needs its own.
    :param only: names of the events to send; None sends all.
    :param proxy: URL of an HTTP proxy; None uses the proxy of the environment, if there is one.
    :param transport: an httpx transport for the requests, such as ``httpx.MockTransport``.
    :raises ConfigurationError: when an argument is invalid.
    """

    concurrency = 2

    #: Rows hold no traits.
    uses_traits = False

    def __init__(
        self,
        url: str,
        *,
        table: str = "gp_events",
        database: str = "default",
        user: str = "default",
        password: str | None = None,
        create: bool = False,
        batch_size: int = _ROWS,
        gather_for: float = _GATHER_FOR,
        async_insert: bool = False,
        name: str = "clickhouse",
        only: Collection[str] | None = None,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        secret = "" if password is None else validate_secret("ClickHouse(password=...)", password)
        headers = {"x-clickhouse-user": validate_identifier("ClickHouse(user=...)", user)}
        super().__init__(
            name=name,
            base_url=url,
            headers={**headers, "x-clickhouse-key": secret} if secret else headers,
            secrets=(secret,),
            only=only,
            proxy=proxy,
            transport=transport,
        )
        self.table = Table(database, table, "ClickHouse")
        self.batch_size = _validate_rows(batch_size)
        self.gather_for = _validate_gathering(gather_for)
        self._settings = {
            "database": self.table.database,
            "wait_end_of_query": "1",
            **(_ASYNC if async_insert else {}),
        }
        self._missing = bool(create)
        self._creating = asyncio.Lock()

    def __repr__(self) -> str:
        return f"ClickHouse({self.table.name}, name={self.name!r})"

    @property
    def create_statement(self) -> str:
        """The ``CREATE TABLE`` statement."""
        return self.table.create_statement()

    async def create_table(self) -> None:
        """Create the table, if it does not exist.

        :raises DeliveryError: when ClickHouse refuses or does not answer.
        """
        await self._execute({"query": self.create_statement}, b"")

    async def query(self, statement: str) -> list[dict[str, Any]]:
        """Run a ``SELECT`` and return its rows, up to 1 MiB.

        :param statement: without ``FORMAT``. Values are part of it, so never build it from input.
        :raises DeliveryError: when ClickHouse does not answer.
        """
        answer = await self._execute({}, f"{statement}\nFORMAT JSONEachRow".encode())
        return [codec.decode(line) for line in answer.text.splitlines()]

    def prepare(self, event: Event) -> bytes:
        """Build a row.

        :raises EventRejected: when a time does not fit into a ``DateTime``.
        """
        return row_of(event, time.time())

    async def send(self, batch: Sequence[bytes]) -> Sequence[Receipt]:
        """Insert rows; the receipt holds nothing.

        :raises DeliveryError: see :meth:`Destination.send <gp_aiogram.Destination.send>`.
        """
        if self._missing:
            async with self._creating:
                if self._missing:
                    await self.create_table()
                    self._missing = False
        query = {"query": self.table.insert_statement(), **self._settings}
        await self._execute(query, b"\n".join(batch))
        return [{}] * len(batch)

    async def _execute(self, query: dict[str, str], content: bytes) -> httpx.Response:
        answer = await self.post_content("/", content, "text/plain; charset=utf-8", query)
        error = clickhouse_error(answer)
        if isinstance(error, RateLimited):
            error.retry_after = retry_after_header(answer)
        if error is not None:
            raise self.redact_error(error)
        self.raise_for_status(answer)
        if len(answer.content) and query:
            msg = f"the answer is not ClickHouse's: HTTP {answer.status_code}: {answer.text}"
            raise DeliveryFailed(self.redact(msg), ambiguous=True, status=answer.status_code)
        return answer


def _validate_rows(rows: object) -> int:
    if not isinstance(rows, int) or isinstance(rows, bool) or not 0 < rows <= _MOST_ROWS:
        msg = (
            f"ClickHouse(batch_size=...) must be a number of rows, 1 to {_MOST_ROWS}, "
            f"not {short_repr(rows)}"
        )
        raise ConfigurationError(msg)
    return rows


def _validate_gathering(seconds: object) -> float:
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not 0 <= float(str(seconds)) <= _LONGEST_GATHERING:
        msg = (
            f"ClickHouse(gather_for=...) must be seconds, 0 to {_LONGEST_GATHERING:g}, "
            f"not {short_repr(seconds)}"
        )
        raise ConfigurationError(msg)
    return float(str(seconds))
