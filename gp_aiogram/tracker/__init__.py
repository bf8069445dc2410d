"""The object that a bot owns, and the parts it is put together from."""

from gp_aiogram.tracker.tracker import Tracker

__all__ = ["Tracker"]
