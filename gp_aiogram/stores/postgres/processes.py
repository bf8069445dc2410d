"""Which processes use a schema: they say so every few seconds, and count in slots of their own."""

from __future__ import annotations

from gp_aiogram.stores.postgres.statements import Run

#: Seconds between two signs of life, and after which a process without one is taken for dead.
BEAT, DEAD_AFTER = 15.0, 60.0

_REGISTER = """
    INSERT INTO {gp}.process (slot, version)
    VALUES (nextval('{gp}.slots'), CAST(:version AS INTEGER)) RETURNING slot
"""

_BEAT = """
    INSERT INTO {gp}.process (slot, version)
    VALUES (CAST(:slot AS BIGINT), CAST(:version AS INTEGER))
    ON CONFLICT (slot) DO UPDATE SET seen = clock_timestamp()
"""

_LEAVE = "DELETE FROM {gp}.process WHERE slot = CAST(:slot AS BIGINT)"

_BURY = """
    DELETE FROM {gp}.process
    WHERE slot IN (
        SELECT slot FROM {gp}.process
        WHERE seen < clock_timestamp() - make_interval(secs => CAST(:seconds AS FLOAT8))
        FOR UPDATE SKIP LOCKED
    )
"""

_OLDEST = """
    SELECT min(version) FROM {gp}.process
    WHERE seen >= clock_timestamp() - make_interval(secs => CAST(:seconds AS FLOAT8))
"""

#: What dead processes and callers' transactions have counted goes to one who is alive.
_INHERIT = """
    WITH left_behind AS (
        DELETE FROM {gp}.tally
        WHERE (slot, destination, state) IN (
            SELECT slot, destination, state FROM {gp}.tally
            WHERE NOT EXISTS (SELECT 1 FROM {gp}.process WHERE process.slot = tally.slot)
            LIMIT 5000 FOR UPDATE SKIP LOCKED
        )
        RETURNING destination, state, n
    )
    INSERT INTO {gp}.tally (slot, destination, state, n)
    SELECT CAST(:slot AS BIGINT), destination, state, sum(n) FROM left_behind
    GROUP BY destination, state ORDER BY destination, state
    ON CONFLICT (slot, destination, state) DO UPDATE SET n = tally.n + excluded.n
"""


async def register(run: Run, version: int) -> int:
    """Say that a process is there, and return its slot."""
    ((slot,),) = await run(_REGISTER, {"version": version})
    return int(slot)


async def beat(run: Run, slot: int, version: int) -> None:
    """Say that a process is still there, and clear up after those that are not."""
    await run(_BEAT, {"slot": slot, "version": version})
    await run(_BURY, {"seconds": DEAD_AFTER})
    await run(_INHERIT, {"slot": slot})


async def leave(run: Run, slot: int) -> None:
    """Say that a process is going."""
    await run(_LEAVE, {"slot": slot})


async def oldest_version(run: Run) -> int | None:
    """Return the earliest version that a living process has; None without any."""
    ((version,),) = await run(_OLDEST, {"seconds": DEAD_AFTER})
    return None if version is None else int(version)
