"""What the digests of a schema are made with."""

from __future__ import annotations

from typing import NamedTuple

from gp_aiogram.errors import StoreUnavailable
from gp_aiogram.stores.postgres.statements import Run

_SALT = """
    SELECT salt, legacy, EXISTS (SELECT 1 FROM {gp}.move WHERE NOT finished) FROM {gp}.store
"""


class Salt(NamedTuple):
    """The store's own key, and which digests there may be.

    :param key: random bytes.
    :param has_legacy: whether some may be of before once-keys had parts: they came from a SQLite
        file that an early version had made. None is added.
    """

    key: bytes
    has_legacy: bool = False


async def read_salt(run: Run, schema: str) -> Salt:
    """Return what digests are made with.

    :raises StoreUnavailable: while another store is being moved into the schema: what that one
        knows is not known here yet.
    """
    ((key, has_legacy, is_moving),) = await run(_SALT, {})
    if is_moving:
        msg = (
            f"another store is being moved into the schema {schema}: until gp-aiogram migrate has "
            "finished nobody uses it. If it was interrupted, run it again"
        )
        raise StoreUnavailable(msg)
    return Salt(bytes(key), has_legacy)
