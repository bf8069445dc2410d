"""Points pasted bots at the stand-ins, by the variables and the address that they use."""

from __future__ import annotations

import pytest
from aiogram.client.telegram import TelegramAPIServer

from gp_aiogram.sandbox import GramPixelSandbox, TelegramSandbox


def configured(
    monkeypatch: pytest.MonkeyPatch,
    *,
    telegram: TelegramSandbox | None = None,
    grampixel: GramPixelSandbox | None = None,
) -> None:
    """Set what a bot reads from its environment."""
    if telegram is not None:
        url = telegram.url
        monkeypatch.setenv("BOT_TOKEN", telegram.token)
        monkeypatch.setattr(
            TelegramAPIServer, "api_url", lambda _, token, method: f"{url}/bot{token}/{method}"
        )
    if grampixel is not None:
        monkeypatch.setenv("GP_GRAMPIXEL__API_KEY", grampixel.api_key)
        monkeypatch.setenv("GP_GRAMPIXEL__WORKSPACE_ID", str(grampixel.workspace_id))
        monkeypatch.setenv("GP_GRAMPIXEL__BASE_URL", grampixel.url)
