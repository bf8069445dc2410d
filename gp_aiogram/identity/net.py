"""Tells the addresses of visitors from those that nobody visits from over the internet."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

#: An address with a port: ``192.0.2.1:80``, ``[2001:db8::1]:80``, or brackets alone.
_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]+)\](?::\w*)?|(?P<v4>[^:]+):\w*")


def _ends(network: IPv4Network | IPv6Network) -> tuple[int, int]:
    """Return the first and the last address as numbers, which compare faster."""
    return int(network[0]), int(network[-1])


#: Special-purpose networks (IANA's registry): private, shared by a provider's customers (CGNAT),
#: loopback, link-local, protocol assignments, benchmarks, multicast, reserved. Networks for
#: documentation are not among them: nobody has such an address, but examples and tests do.
_INNER_IPV4 = [
    _ends(IPv4Network(network))
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
    )
]

#: All that IANA has assigned to global unicast, and the part of it that is kept for protocols.
_GLOBAL_IPV6 = _ends(IPv6Network("2000::/3"))
_PROTOCOLS_IPV6 = _ends(IPv6Network("2001::/23"))

#: Where a translator puts IPv4 addresses into the last 32 bits (RFC 6052).
_NAT64 = _ends(IPv6Network("64:ff9b::/96"))
_LAST_32_BITS = 0xFFFFFFFF


@lru_cache(maxsize=1024)
def read_address(text: str) -> Address | None:
    """Read an address, with or without port and zone; None when the text is none.

    An IPv4 address that a socket for both versions writes as IPv6 (``::ffff:192.0.2.1``) is
    returned as the IPv4 address.
    """
    text = text.strip()
    if with_port := _WITH_PORT.fullmatch(text):
        text = with_port["v6"] or with_port["v4"]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def public_address(address: Address) -> Address | None:
    """Return the address that a visitor has on the internet; None when it cannot be a visitor's.

    What came through a translator (NAT64) is the IPv4 address within. A 6to4 address is as
    public as the IPv4 address within.
    """
    number = int(address)
    if isinstance(address, IPv4Address):
        return None if _is_inner_ipv4(number) else address
    if _is_within(number, _NAT64):
        return public_address(IPv4Address(number & _LAST_32_BITS))
    if not _is_within(number, _GLOBAL_IPV6) or _is_within(number, _PROTOCOLS_IPV6):
        return None
    if address.sixtofour is not None and public_address(address.sixtofour) is None:
        return None
    return address


def _is_inner_ipv4(number: int) -> bool:
    for first, last in _INNER_IPV4:  # noqa: SIM110 - any() takes three times as long
        if first <= number <= last:
            return True
    return False


def _is_within(number: int, ends: tuple[int, int]) -> bool:
    first, last = ends
    return first <= number <= last
