"""The object that a bot owns, in parts: events, users and deliveries."""

from gp_aiogram.tracker.tracker import Tracker

__all__ = ["Tracker"]
