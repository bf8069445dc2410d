"""Carries commands to Redis: over the client that it was given, or one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gp_aiogram.stores.redis.driver import Client, checked_client, client_of
from gp_aiogram.stores.redis.failures import is_unknown_script, translated
from gp_aiogram.stores.redis.scripts import Command

Result = TypeVar("Result")

#: Commands that one round trip carries, and round trips at a time.
_PAGE, _AT_ONCE = 500, 32

#: Checks a server before the first command.
Check = Callable[["Runner"], Awaitable[None]]


class Runner:
    """Runs commands over a client, and translates what goes wrong.

    :param where: names the server in errors, without secrets.
    :param timeout: seconds that an answer may take.
    """

    def __init__(self, client: Client, where: str, timeout: float) -> None:
        self.client = client
        self.where = where
        self._timeout = timeout

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands, in no particular order, and return their answers.

        :raises StoreError: what one of them met with.
        """
        answers: list[Any] = []
        for start in range(0, len(commands), _PAGE):
            answers += await self.attempt(self._run_page(commands[start : start + _PAGE]))
        return answers

    async def attempt(self, work: Awaitable[Result]) -> Result:
        """Wait for redis-py as long as an answer may take.

        :raises StoreError: when there is none, or it is an error.
        """
        try:
            return await asyncio.wait_for(work, self._timeout)
        except Exception as error:
            raise translated(error, self.where) from error

    async def _run_page(self, commands: Sequence[Command]) -> list[Any]:
        answers = await self._send([command.words for command in commands])
        unknown = [number for number, got in enumerate(answers) if is_unknown_script(got)]
        again = await self._send([commands[number].with_text() for number in unknown])
        for number, answer in zip(unknown, again, strict=True):
            answers[number] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _send(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        if len(commands) <= 1:
            return [await self._send_one(words) for words in commands]
        async with self.client.pipeline(transaction=False) as pipeline:
            for words in commands:
                pipeline.execute_command(*words)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            return answers

    async def _send_one(self, words: Sequence[Any]) -> Any:
        try:
            return await self.client.execute_command(*words)
        except Exception as error:
            if is_unknown_script(error):
                return error
            raise


class RedisConnection:
    """The client of a :class:`RedisStore`.

    A client that the caller has made is never closed. One's own exists from :meth:`open` to
    :meth:`close`; what comes later opens one for as long as that takes.

    :param source: a URL or a client.
    :param timeout: seconds that an answer may take.
    :param check: looks at the server before the first command.
    """

    def __init__(self, source: object, *, timeout: float, check: Check) -> None:
        self._url = source if isinstance(source, str) else None
        self._given = None if isinstance(source, str) else checked_client(source)
        self._own: Client | None = None
        self._timeout = timeout
        self._check = check
        self._is_checked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Semaphore(_AT_ONCE)
        if self._url is not None:
            client_of(self._url)

    @property
    def where(self) -> str:
        """What names the server, without secrets."""
        if self._url is None:
            return f"Redis of the given {type(self._given).__name__}"
        parts = urlsplit(self._url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"

    async def open(self) -> None:
        """Connect, and check the server. Does nothing when already open.

        :raises StoreError: when it is away, or cannot be used as it is configured.
        """
        if self._url is not None and self._own is None:
            self._own = client_of(self._url)
        await self.run()

    async def close(self) -> None:
        """Close the client, if it is one's own."""
        own, self._own = self._own, None
        self._is_checked = False
        if own is not None:
            await own.aclose()

    async def run(self, *commands: Command) -> list[Any]:
        """Run commands, in no particular order, and return their answers.

        :raises StoreUnavailable: when Redis is away; it heals by itself.
        :raises StoreError: what one of them met with.
        """
        turns = self._turns_of_loop()
        try:
            await asyncio.wait_for(turns.acquire(), self._timeout)
        except asyncio.TimeoutError as error:
            raise translated(error, self.where) from error
        try:
            return await self._run_with_client(commands)
        finally:
            turns.release()

    async def _run_with_client(self, commands: Sequence[Command]) -> list[Any]:
        client = self._own if self._given is None else self._given
        if client is not None:
            return await self._run(client, commands)
        client = client_of(self._url or "")
        try:
            return await self._run(client, commands)
        finally:
            await client.aclose()

    async def _run(self, client: Client, commands: Sequence[Command]) -> list[Any]:
        runner = Runner(client, self.where, self._timeout)
        if not self._is_checked:
            await self._check(runner)
            self._is_checked = True
        return await runner.run(commands)

    def _turns_of_loop(self) -> asyncio.Semaphore:
        """Return what limits the round trips of this event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._turns = loop, asyncio.Semaphore(_AT_ONCE)
        return self._turns
