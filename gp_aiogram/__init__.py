"""Ad attribution for aiogram 3 bots: catch the click, keep the session, deliver conversions."""

from importlib.metadata import version as _version

from gp_aiogram.decorators import track
from gp_aiogram.destinations.base import Destination
from gp_aiogram.destinations.clickhouse import ClickHouse, ClickHouseHistory
from gp_aiogram.destinations.grampixel import GramPixel
from gp_aiogram.destinations.http import HTTPDestination
from gp_aiogram.destinations.leadsail import LeadSail
from gp_aiogram.destinations.meta import MetaCAPI
from gp_aiogram.destinations.metrica import YandexMetrica
from gp_aiogram.destinations.postback import Postback
from gp_aiogram.destinations.snapchat import Snapchat
from gp_aiogram.destinations.tiktok import TikTokEvents
from gp_aiogram.destinations.webhook import Webhook
from gp_aiogram.errors import (
    ConfigurationError,
    DeliveryError,
    DeliveryFailed,
    DestinationMisconfigured,
    EventError,
    EventRejected,
    EventSkipped,
    GPError,
    RateLimited,
    Refused,
    Rejected,
    Skipped,
    StoreError,
    StoreLocked,
    StoreMismatch,
    StoreUnavailable,
    Throttled,
    Unreachable,
)
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.model.money import Stars
from gp_aiogram.model.retention import Retention
from gp_aiogram.model.session import Attribution, Session
from gp_aiogram.settings import Settings
from gp_aiogram.stores.contract import Outbox, ProfileStore, SessionStore, SplitStore, Store
from gp_aiogram.stores.memory import MemoryStore
from gp_aiogram.stores.postgres import PostgresStore
from gp_aiogram.stores.records import Delivery
from gp_aiogram.stores.redis import RedisStore
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.user_tracker import UserTracker

__version__ = _version("gp-aiogram")

__all__ = [
    "Attribution",
    "Click",
    "ClickHouse",
    "ClickHouseHistory",
    "ConfigurationError",
    "Delivery",
    "DeliveryError",
    "DeliveryFailed",
    "Destination",
    "DestinationMisconfigured",
    "Event",
    "EventError",
    "EventRejected",
    "EventSkipped",
    "GPError",
    "GramPixel",
    "HTTPDestination",
    "LeadSail",
    "MemoryStore",
    "MetaCAPI",
    "Outbox",
    "Postback",
    "PostgresStore",
    "ProfileStore",
    "RateLimited",
    "RedisStore",
    "Refused",
    "Rejected",
    "Retention",
    "SQLiteStore",
    "Session",
    "SessionStore",
    "Settings",
    "Skipped",
    "Snapchat",
    "SplitStore",
    "Stars",
    "Store",
    "StoreError",
    "StoreLocked",
    "StoreMismatch",
    "StoreUnavailable",
    "Throttled",
    "TikTokEvents",
    "Tracker",
    "Unreachable",
    "UserTracker",
    "Webhook",
    "YandexMetrica",
    "__version__",
    "track",
]
