"""The store of sessions and profiles that many processes share."""

from gp_aiogram.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
