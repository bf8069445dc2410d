"""Where t.me is blocked or taken down, the owner chooses another domain of Telegram's.

After aiogram-3-guide#113 and #114, tdesktop#30971 and telegram-bot-sdk#1193 (t.me on serverHold),
mtproto_proxy#119 and Telegram-iOS#439 (blocked by providers). ``telegram.me`` and ``telegram.dog``
carry ``?start=`` alike (https://core.telegram.org/api/links).
"""

from __future__ import annotations

import pytest

from fixtures.landing import serving


@pytest.mark.parametrize("domain", ["telegram.me", "telegram.dog"])
async def test_the_owner_chooses_the_domain_of_all_links(domain: str) -> None:
    async def invite_link(session_id: str) -> str:
        return "https://t.me/+AbCdEf"

    async with serving(domain=domain) as server:
        assert (await server.location("?fbclid=x")).startswith(
            f"https://{domain}/my_bot?start=gp_"
        )
    async with serving(domain=domain, invite_link=invite_link) as server:
        assert await server.location("?fbclid=x") == f"https://{domain}/+AbCdEf"


async def test_an_invite_link_at_another_domain_of_telegrams_is_used() -> None:
    async def invite_link(session_id: str) -> str:
        return "https://telegram.me/+AbCdEf"

    async with serving(invite_link=invite_link) as server:
        assert await server.location("?fbclid=x") == "https://telegram.me/+AbCdEf"
        assert server.tracker.counts["invite_errors"] == 0
