"""Postbacks to trackers and ad networks: a GET request per conversion."""

from gp_aiogram.destinations.postback.destination import Postback

__all__ = ["Postback"]
