"""Where a visitor comes from, as far as the proxies in front can be believed."""

from __future__ import annotations

import logging
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_network

from aiohttp import web

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.identity.net import Address, public_address, read_address

logger = logging.getLogger("gp_aiogram.web")

Network = IPv4Network | IPv6Network

#: Stands for the peer at a Unix socket, who has no address.
UNIX = "unix"

_SCHEMES = frozenset({"http", "https"})


class Visitors:
    """Finds the visitor's address and scheme behind trusted proxies.

    ``X-Forwarded-For`` and ``Forwarded`` (RFC 7239) are read only when the peer is trusted, from
    the right: the first hop that is no trusted proxy is the visitor, whatever he wrote further
    left. When both headers are there and name different visitors, neither is believed, since one
    of them may be the visitor's own.

    :param trusted_proxies: addresses or networks; ``"unix"`` is the peer at a Unix socket.
    :raises ConfigurationError: when one of them is neither.
    """

    def __init__(self, trusted_proxies: Collection[str | Address | Network]) -> None:
        if isinstance(trusted_proxies, str):
            msg = f"trusted_proxies must be a list of networks, not {short_repr(trusted_proxies)}"
            raise ConfigurationError(msg)
        self._unix = UNIX in trusted_proxies
        try:
            self._trusted = [
                ip_network(proxy, strict=False) for proxy in trusted_proxies if proxy != UNIX
            ]
        except ValueError as error:
            msg = f"trusted_proxies must hold addresses or networks: {error}"
            raise ConfigurationError(msg) from error
        self._warned = False

    def address(self, request: web.Request) -> str | None:
        """Return the visitor's address; the peer's when no better one can be believed."""
        peer = read_address(request.remote or "")
        fallback = None if peer is None else str(peer)
        if not self._is_proxy(peer):
            self._warn(request, peer)
            return fallback
        claims = {
            self._farthest(hops)
            for hops in (_x_forwarded_for(request), _forwarded_for(request))
            if hops
        }
        if len(claims) != 1:
            return fallback
        (visitor,) = claims
        public = None if visitor is None else public_address(visitor)
        return fallback if public is None else str(public)

    def scheme(self, request: web.Request) -> str:
        """Return the scheme by which the visitor came."""
        if self._is_proxy(read_address(request.remote or "")):
            told = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
            if not told and (elements := _forwarded(request)):
                told = elements[-1].get("proto", "").lower()
            if told in _SCHEMES:
                return told
        return request.scheme

    def _is_proxy(self, address: Address | None) -> bool:
        if address is None:
            return self._unix
        return any(address in network for network in self._trusted)

    def _farthest(self, hops: list[str]) -> Address | None:
        """Walk from the nearest hop to the first that is no proxy; None when one is rubbish."""
        address: Address | None = None
        for hop in reversed(hops):
            address = read_address(hop)
            if address is None or not self._is_proxy(address):
                break
        return address

    def _warn(self, request: web.Request, peer: Address | None) -> None:
        """Say once that the operator seems to have forgotten his proxy."""
        if self._warned or (peer is not None and public_address(peer) is not None):
            return
        if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
            self._warned = True
            logger.warning(
                "%s forwards visitors but is not named in trusted_proxies: "
                "all of them count as one address",
                peer or "the peer at a Unix socket ('unix')",
            )


def _x_forwarded_for(request: web.Request) -> list[str]:
    return [
        hop
        for line in request.headers.getall("X-Forwarded-For", ())
        for hop in line.split(",")
        if hop.strip()
    ]


def _forwarded_for(request: web.Request) -> list[str]:
    return [element.get("for", "") for element in _forwarded(request)]


def _forwarded(request: web.Request) -> list[dict[str, str]]:
    """Read the elements of ``Forwarded``, each by itself.

    A comma ends an element even between quotes: no address holds one, and a visitor who opens
    a quote must not swallow what a proxy appends.
    """
    return [
        {
            name.strip().lower(): value.strip().strip('"')
            for name, _, value in (pair.partition("=") for pair in element.split(";"))
        }
        for line in request.headers.getall("Forwarded", ())
        for element in line.split(",")
        if element.strip()
    ]
