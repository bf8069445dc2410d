"""The tables of a gp_aiogram SQLite file, and how an older file becomes a current one."""

from __future__ import annotations

import json
from collections.abc import Sequence

import aiosqlite

from gp_aiogram.errors import StoreMismatch
from gp_aiogram.stores.keys import legacy_once_digest, new_salt

#: Marks a file as ours (``PRAGMA application_id``): "GPA1".
APPLICATION_ID = 0x47504131

#: Statement n brings a file of version n to version n + 1; never change one that was released.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE session (
        telegram_id INTEGER NOT NULL,
        bot_id      INTEGER,
        at_ms       INTEGER NOT NULL,
        session_id  TEXT NOT NULL,
        source      TEXT NOT NULL,
        payload     TEXT NOT NULL
    );
    CREATE UNIQUE INDEX session_touch
        ON session (telegram_id, at_ms, session_id, coalesce(bot_id, 0));

    CREATE TABLE click (
        session_id TEXT PRIMARY KEY,
        at_ms      INTEGER NOT NULL,
        body       TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE trait (
        telegram_id INTEGER NOT NULL,
        platform    TEXT NOT NULL,
        field       TEXT NOT NULL,
        value       TEXT NOT NULL,
        PRIMARY KEY (telegram_id, platform, field)
    ) WITHOUT ROWID;

    CREATE TABLE event (
        seq         INTEGER PRIMARY KEY,
        event_id    TEXT NOT NULL UNIQUE,
        telegram_id INTEGER NOT NULL,
        bot_id      INTEGER,
        accepted_ms INTEGER NOT NULL,
        body        TEXT NOT NULL
    );
    CREATE INDEX event_of_user ON event (telegram_id, seq);

    CREATE TABLE delivery (
        seq         INTEGER NOT NULL REFERENCES event (seq),
        destination TEXT NOT NULL,
        state       TEXT NOT NULL DEFAULT 'pending',
        since_ms    INTEGER NOT NULL,
        due_ms      INTEGER NOT NULL,
        attempts    INTEGER NOT NULL DEFAULT 0,
        reason      TEXT,
        receipt     TEXT,
        PRIMARY KEY (seq, destination)
    ) WITHOUT ROWID;
    CREATE INDEX delivery_due ON delivery (destination, due_ms, seq) WHERE state = 'pending';
    CREATE INDEX delivery_dead ON delivery (seq, destination) WHERE state = 'dead';

    CREATE TABLE once (
        key   TEXT PRIMARY KEY,
        at_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE store (
        salt   BLOB NOT NULL,
        erased INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO store (salt) VALUES (new_salt());

    CREATE TABLE seen (
        digest BLOB PRIMARY KEY,
        at_ms  INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO seen SELECT key_digest(salt, key), at_ms FROM once, store;
    DROP TABLE once;

    ALTER TABLE event ADD COLUMN order_digest BLOB;
    CREATE INDEX event_of_order ON event (order_digest) WHERE order_digest IS NOT NULL;

    CREATE TABLE invite (
        link       TEXT PRIMARY KEY,
        session_id TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX invite_of_session ON invite (session_id);
    """,
    """
    ALTER TABLE store ADD COLUMN legacy INTEGER NOT NULL DEFAULT 0;
    UPDATE store SET legacy = EXISTS (SELECT * FROM seen);

    CREATE TABLE named_event (
        seq          INTEGER PRIMARY KEY,
        event_id     TEXT NOT NULL,
        name         TEXT NOT NULL,
        telegram_id  INTEGER NOT NULL,
        bot_id       INTEGER,
        accepted_ms  INTEGER NOT NULL,
        order_digest BLOB,
        body         TEXT NOT NULL,
        UNIQUE (event_id, name)
    );
    INSERT INTO named_event
        SELECT seq, event_id, event_name(body), telegram_id, bot_id, accepted_ms, order_digest,
            body
        FROM event;
    DROP TABLE event;
    ALTER TABLE named_event RENAME TO event;
    CREATE INDEX event_of_user ON event (telegram_id, seq);
    CREATE INDEX event_of_order ON event (order_digest) WHERE order_digest IS NOT NULL;

    ALTER TABLE delivery ADD COLUMN maybe_delivered INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE delivery ADD COLUMN batch_cap INTEGER;
    UPDATE delivery SET maybe_delivered = 1 WHERE instr(reason, 'may have been taken');
    DROP INDEX delivery_due;
    CREATE INDEX delivery_due ON delivery (destination, due_ms, seq)
        WHERE state = 'pending' AND batch_cap IS NULL;
    CREATE INDEX delivery_capped ON delivery (destination, due_ms, seq)
        WHERE state = 'pending' AND batch_cap IS NOT NULL;

    CREATE TABLE tally (
        destination TEXT NOT NULL,
        state       TEXT NOT NULL,
        n           INTEGER NOT NULL,
        PRIMARY KEY (destination, state)
    ) WITHOUT ROWID;
    INSERT INTO tally SELECT destination, state, count(*) FROM delivery GROUP BY 1, 2;
    CREATE INDEX delivery_dead_of ON delivery (destination, seq) WHERE state = 'dead';

    CREATE TABLE numbered_click (
        session_id TEXT NOT NULL UNIQUE,
        at_ms      INTEGER NOT NULL,
        body       TEXT NOT NULL
    );
    INSERT INTO numbered_click SELECT session_id, at_ms, body FROM click;
    DROP TABLE click;
    ALTER TABLE numbered_click RENAME TO click;

    CREATE INDEX session_of_click ON session (session_id);
    CREATE INDEX session_age ON session (at_ms);
    CREATE INDEX click_age ON click (at_ms);
    """,
    """
    CREATE TABLE click_id (
        value      TEXT NOT NULL,
        session_id TEXT NOT NULL,
        PRIMARY KEY (value, session_id)
    ) WITHOUT ROWID;
    CREATE INDEX click_id_of_session ON click_id (session_id);
    INSERT OR IGNORE INTO click_id
        SELECT click_id(body, name), session_id
        FROM click, (SELECT 'fbclid' AS name UNION SELECT 'ttclid' UNION SELECT 'gclid')
        WHERE click_id(body, name) IS NOT NULL;

    CREATE TABLE unmatched (
        key      TEXT PRIMARY KEY,
        click_id TEXT NOT NULL,
        at_ms    INTEGER NOT NULL,
        body     TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX unmatched_of_click ON unmatched (click_id);
    CREATE INDEX unmatched_age ON unmatched (at_ms, key);

    CREATE INDEX trait_of_lead ON trait (value, telegram_id)
        WHERE platform = 'leadsail' AND field = 'lead_id';
    """,
    """
    ALTER TABLE delivery ADD COLUMN tries TEXT;
    """,
)


async def migrate(
    connection: aiosqlite.Connection,
    migrations: Sequence[str] = MIGRATIONS,
) -> None:
    """Bring a file to the current version, or an empty one into being, in one transaction.

    :raises StoreMismatch: when the file is another program's or a newer version's.
    """
    version = await _pragma(connection, "user_version")
    if await _pragma(connection, "application_id") != APPLICATION_ID:
        if version or await _tables(connection):
            msg = "it holds another program's tables: give gp_aiogram a file of its own"
            raise StoreMismatch(msg)
    elif version > len(migrations):
        msg = (
            f"it has schema version {version}, this gp_aiogram knows up to {len(migrations)}: "
            "install the newer gp_aiogram that wrote it"
        )
        raise StoreMismatch(msg)
    if version == len(migrations):
        return
    await connection.create_function("new_salt", 0, new_salt)
    await connection.create_function("key_digest", 2, legacy_once_digest)
    await connection.create_function("event_name", 1, _event_name)
    await connection.create_function("click_id", 2, _click_id)
    steps = "".join(migrations[version:])
    await connection.executescript(
        f"BEGIN IMMEDIATE; {steps} PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {len(migrations)}; COMMIT;",
    )


def _event_name(body: str) -> str:
    try:
        return str(json.loads(body)["name"])
    except (ValueError, TypeError, KeyError):
        return "unknown"  # it cannot be read, and goes to nobody


def _click_id(body: str, name: str) -> str | None:
    try:
        value = json.loads(body).get(name)
    except (ValueError, TypeError, AttributeError):
        return None  # it cannot be read, and is no click to anybody
    return value if isinstance(value, str) else None


async def _pragma(connection: aiosqlite.Connection, name: str) -> int:
    (row,) = await connection.execute_fetchall(f"PRAGMA {name}")
    return int(row[0])


async def _tables(connection: aiosqlite.Connection) -> int:
    (row,) = await connection.execute_fetchall("SELECT count(*) FROM sqlite_master")
    return int(row[0])
