"""A socket for both versions names an IPv4 visitor as IPv6; platforms get the IPv4 address.

After firezone#15013 and NetworkOptimizer#990. Inner addresses are left out in either form.
"""

from __future__ import annotations

import pytest

from gp_aiogram.destinations.ads import visitor_ip


@pytest.mark.parametrize(
    ("ip", "right"),
    [
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:cb00:7109", "203.0.113.9"),
        ("::ffff:10.0.0.5", None),
        ("::ffff:127.0.0.1", None),
        ("100.64.1.2", None),
        ("2001:db8::1%eth0", "2001:db8::1"),
        ("203.0.113.9:54321", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("203.0.113.9, 10.0.0.1", "203.0.113.9"),
    ],
)
def test_a_platform_gets_a_visitors_own_address(ip: str, right: str | None) -> None:
    assert visitor_ip(ip) == right
