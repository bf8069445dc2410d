"""Sessions, profiles and outbox in a PostgreSQL schema, shared by many processes."""

from gp_aiogram.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
