"""Addresses: how they are read, and which of them a visitor may have."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gp_aiogram.destinations.ads import visitor_ip
from gp_aiogram.identity.net import public_address, read_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        (" 203.0.113.9\t", "203.0.113.9"),
        ("203.0.113.9:54321", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:cb00:7109", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1%eth0", "2001:db8::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
        *((text, None) for text in ("", " ", "unknown", "_hidden", "203.0.113", "203.0.113.999")),
        *((text, None) for text in ("::1::", "[]", "[]:80", "203.0.113.9/24", "1e3", "\ud800")),
    ],
)
def test_an_address_is_read_however_it_is_written(text: str, address: str | None) -> None:
    found = read_address(text)
    assert (None if found is None else str(found)) == address


@given(st.text())
def test_any_text_is_an_address_or_none(text: str) -> None:
    address = read_address(text)
    assert address is None or read_address(str(address)) == address


@pytest.mark.parametrize(
    "inner",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "127.0.0.1", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.1.2", "100.127.255.255"),
        *("192.0.0.1", "192.0.0.170", "198.18.0.1", "198.19.255.255"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::7f00:1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1"),
        *("100::1", "2001::1", "2001:2::1", "2001:20::1", "4000::1", "::ffff:0:203.0.113.9"),
        *("64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::203.0.113.9"),
        *("2002:a00:1::1", "2002:7f00:1::1", "2002:c0a8:101::1"),
    ],
)
def test_an_inner_address_is_no_visitors(inner: str) -> None:
    assert public_address(ip_address(inner)) is None


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((ip, ip) for ip in ("1.1.1.1", "9.255.255.255", "11.0.0.1", "93.184.216.34")),
        *((ip, ip) for ip in ("100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1")),
        *((ip, ip) for ip in ("192.0.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255")),
        # Documentation: nobody has these, but examples and tests do.
        *((ip, ip) for ip in ("192.0.2.1", "198.51.100.7", "203.0.113.9", "2001:db8::1")),
        *((ip, ip) for ip in ("2606:4700::1111", "2a00:1450::1", "2001:4860::8888", "3fff::1")),
        ("64:ff9b::203.0.113.9", "203.0.113.9"),
        ("2002:cb00:7109::1", "2002:cb00:7109::1"),
    ],
)
def test_a_public_address_may_be_a_visitors(address: str, public: str) -> None:
    assert str(public_address(ip_address(address))) == public


@pytest.mark.parametrize(
    ("ip", "right"),
    [
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.5", None),
        ("::ffff:127.0.0.1", None),
        ("100.64.1.2", None),
        ("2001:db8::1%eth0", "2001:db8::1"),
        ("203.0.113.9:54321", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("203.0.113.9, 10.0.0.1", "203.0.113.9"),
        ("10.0.0.1, 203.0.113.9", None),
        ("", None),
        (None, None),
    ],
)
def test_a_platform_gets_the_address_of_the_visitor(ip: str | None, right: str | None) -> None:
    assert visitor_ip(ip) == right
