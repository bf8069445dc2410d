"""The store that forgets everything at exit."""

from gp_aiogram.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
