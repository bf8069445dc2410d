"""Looks at a Redis server before it is trusted: what it may drop, and what a restart costs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from gp_aiogram.errors import StoreError, StoreMismatch, StoreUnavailable
from gp_aiogram.stores.redis.connection import Runner
from gp_aiogram.stores.redis.driver import is_cluster
from gp_aiogram.stores.redis.rows import text
from gp_aiogram.stores.redis.schema import LAYOUT_VERSION, Keys
from gp_aiogram.stores.redis.scripts import LAYOUT

logger = logging.getLogger("gp_aiogram")

#: What a server tells of itself, by the names of INFO.
_Facts = Mapping[str, Any]


class ServerCheck:
    """What :class:`~gp_aiogram.RedisStore` asks of a server; each warning is given once."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._told: set[str] = set()

    async def __call__(self, runner: Runner) -> None:
        """Check the server, or every primary of a cluster.

        :raises StoreUnavailable: when it is away, loading, or a replica.
        :raises StoreError: when it may drop keys, or knows slots and the client does not.
        :raises StoreMismatch: when a newer version of gp_aiogram wrote there.
        """
        for facts in await self._facts(runner):
            self._check_role(runner, facts)
            await self._check_memory(runner, facts)
            await self._check_persistence(runner, facts)
        (layout,) = await runner.run([LAYOUT([self._keys.layout], LAYOUT_VERSION)])
        if int(layout) > LAYOUT_VERSION:
            msg = (
                f"{runner.where}: the keys under this prefix were written by a newer version of "
                f"gp_aiogram (layout {text(layout)}, this one knows {LAYOUT_VERSION}): install it "
                "here as well, or give RedisStore another prefix=..."
            )
            raise StoreMismatch(msg)

    async def _facts(self, runner: Runner) -> list[_Facts]:
        told = await self._ask(runner, "INFO")
        if told is None:
            return [{}]
        by_node = [facts for facts in told.values() if isinstance(facts, Mapping)]
        is_one = "redis_version" in told or not by_node
        return [told] if is_one else by_node

    def _check_role(self, runner: Runner, facts: _Facts) -> None:
        if facts.get("cluster_enabled") == 1 and not is_cluster(runner.client):
            msg = (
                f"{runner.where} is part of a cluster: write RedisStore(RedisCluster.from_url("
                "...)), with RedisCluster of redis.asyncio"
            )
            raise StoreError(msg)
        if facts.get("loading") == 1:
            msg = f"{runner.where} is still loading what it has saved"
            raise StoreUnavailable(msg)
        if facts.get("role") == "slave":
            msg = f"{runner.where} is a replica, which takes no writes: connect to its primary"
            raise StoreUnavailable(msg)

    async def _check_memory(self, runner: Runner, facts: _Facts) -> None:
        policy = facts.get("maxmemory_policy") or await self._config(runner, "maxmemory-policy")
        if policy is None:
            self._warn(
                f"{runner.where} does not tell its maxmemory-policy: make sure that it is "
                "noeviction, any other one drops sessions when memory is short"
            )
        elif policy != "noeviction":
            limit = facts.get("maxmemory")
            if limit is None:
                limit = await self._config(runner, "maxmemory")
            advice = "set maxmemory-policy noeviction, or use a Redis of its own for sessions"
            if limit is None or int(limit) > 0:
                msg = (
                    f"{runner.where} drops keys when memory is short (maxmemory-policy {policy}), "
                    f"and with them sessions and clicks: {advice}"
                )
                raise StoreError(msg)
            self._warn(f"{runner.where} would drop keys once maxmemory is set: {advice}")

    async def _check_persistence(self, runner: Runner, facts: _Facts) -> None:
        if facts.get("aof_enabled") != 0:
            return
        snapshots = await self._config(runner, "save")
        advice = "set appendonly yes"
        if snapshots:
            self._warn(
                f"{runner.where} saves snapshots only: a crash forgets the sessions and clicks "
                f"since the last one, {advice}"
            )
        elif snapshots is not None:
            self._warn(
                f"{runner.where} saves nothing: its restart forgets every session, click and "
                f"trait, {advice}"
            )
        else:
            self._warn(
                f"{runner.where} has no append-only file: a restart forgets sessions and clicks, "
                f"at least those since its last snapshot, {advice}"
            )

    async def _config(self, runner: Runner, name: str) -> str | None:
        """Return a setting; None where the server does not tell, as managed ones."""
        answer = await self._ask(runner, "CONFIG GET", name)
        if not answer:
            return None
        values = {text(key): value for key, value in answer.items()}
        value = values.get(name)
        return text(value) if isinstance(value, (str, bytes)) else None

    async def _ask(self, runner: Runner, *words: str) -> Mapping[Any, Any] | None:
        options = {"target_nodes": "primaries"} if is_cluster(runner.client) else {}
        try:
            answer = await runner.attempt(runner.client.execute_command(*words, **options))
        except StoreUnavailable:
            raise
        except StoreError as error:
            if type(error.__cause__).__name__ in {"NoPermissionError", "ResponseError"}:
                return None
            raise
        return answer if isinstance(answer, Mapping) else None

    def _warn(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            logger.warning("%s", message)
