"""What an arrival in a chat is worth, and which destinations have counted it already.

A person who must be approved arrives twice: as a ``JoinRequest`` and as a ``Subscribe``. Ad
platforms count both as one kind of event, a ``Lead``; they get the first of the two.
"""

from __future__ import annotations

import asyncio
import logging

from aiogram.types import ChatJoinRequest, ChatMemberUpdated

from gp_aiogram.bot.members import has_joined
from gp_aiogram.destinations.ads import AdDestination
from gp_aiogram.model.event import Event
from gp_aiogram.model.money import STARS
from gp_aiogram.stores.keys import OnceKey
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.arguments import EventArguments
from gp_aiogram.tracker.user_tracker import UserTracker
