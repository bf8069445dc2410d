"""Where all visitors have one inner address, none of them loses a session for that.

After moby#15086 ("all the service sees are IPs from 172.17.0.1"), gotosocial#1125 and
easyappointments#1946: behind Docker's bridge, a userland proxy or a load balancer.
"""

from __future__ import annotations

import pytest

from fixtures.landing import serving


@pytest.mark.parametrize("forwarded", [{}, {"X_Forwarded_For": "172.17.0.1"}])
async def test_a_hundred_clicks_from_an_inner_address_have_their_sessions_and_it_is_told(
    forwarded: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as server:
        sessions = {
            await server.session_id(f"?fbclid=A{number}", **forwarded) for number in range(100)
        }
    assert len(sessions) == 100
    assert any("trusted_proxies" in message for message in caplog.messages)
