"""Stand-ins for Telegram and the ad platforms on 127.0.0.1, for tests, demos and development."""

from gp_aiogram.sandbox.faults import Fault
from gp_aiogram.sandbox.platforms.grampixel import GramPixelEvent, GramPixelSandbox
from gp_aiogram.sandbox.platforms.keitaro import KeitaroConversion, KeitaroSandbox
from gp_aiogram.sandbox.platforms.leadsail import LeadSailEvent, LeadSailSandbox
from gp_aiogram.sandbox.platforms.meta import MetaEvent, MetaSandbox
from gp_aiogram.sandbox.platforms.metrica import MetricaEvent, MetricaSandbox
from gp_aiogram.sandbox.platforms.snapchat import SnapchatEvent, SnapchatSandbox
from gp_aiogram.sandbox.platforms.tiktok import TikTokEvent, TikTokSandbox
from gp_aiogram.sandbox.platforms.webhook import WebhookEvent, WebhookSandbox
from gp_aiogram.sandbox.server import DestinationSandbox, SandboxRequest
from gp_aiogram.sandbox.telegram.chats import SandboxChat
from gp_aiogram.sandbox.telegram.errors import RefusedError
from gp_aiogram.sandbox.telegram.messages import SandboxAnswer, SandboxButton, SandboxMessage
from gp_aiogram.sandbox.telegram.payments import SandboxPayment
from gp_aiogram.sandbox.telegram.server import TelegramSandbox
from gp_aiogram.sandbox.telegram.state import ApiCall
from gp_aiogram.sandbox.telegram.users import SandboxUser

__all__ = [
    "ApiCall",
    "DestinationSandbox",
    "Fault",
    "GramPixelEvent",
    "GramPixelSandbox",
    "KeitaroConversion",
    "KeitaroSandbox",
    "LeadSailEvent",
    "LeadSailSandbox",
    "MetaEvent",
    "MetaSandbox",
    "MetricaEvent",
    "MetricaSandbox",
    "RefusedError",
    "SandboxAnswer",
    "SandboxButton",
    "SandboxChat",
    "SandboxMessage",
    "SandboxPayment",
    "SandboxRequest",
    "SandboxUser",
    "SnapchatEvent",
    "SnapchatSandbox",
    "TelegramSandbox",
    "TikTokEvent",
    "TikTokSandbox",
    "WebhookEvent",
    "WebhookSandbox",
]
