"""Stand-ins for Telegram and the ad platforms on 127.0.0.1, for tests, demos and development."""

from gp_aiogram.sandbox.bots import ApiCall
from gp_aiogram.sandbox.faults import Fault
from gp_aiogram.sandbox.grampixel import GramPixelEvent, GramPixelSandbox
from gp_aiogram.sandbox.leadsail import LeadSailEvent, LeadSailSandbox
from gp_aiogram.sandbox.meta import MetaEvent, MetaSandbox
from gp_aiogram.sandbox.server import DestinationSandbox, SandboxRequest
from gp_aiogram.sandbox.telegram import TelegramSandbox
from gp_aiogram.sandbox.tiktok import TikTokEvent, TikTokSandbox
from gp_aiogram.sandbox.users import SandboxAnswer, SandboxButton, SandboxMessage, SandboxUser

__all__ = [
    "ApiCall",
    "DestinationSandbox",
    "Fault",
    "GramPixelEvent",
    "GramPixelSandbox",
    "LeadSailEvent",
    "LeadSailSandbox",
    "MetaEvent",
    "MetaSandbox",
    "SandboxAnswer",
    "SandboxButton",
    "SandboxMessage",
    "SandboxRequest",
    "SandboxUser",
    "TelegramSandbox",
    "TikTokEvent",
    "TikTokSandbox",
]
