"""Where a visitor comes from, as far as the proxies in front can be believed."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from aiohttp import web

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.identity.net import Address, public_address, read_address

logger = logging.getLogger("gp_aiogram.web")

Network = IPv4Network | IPv6Network

#: Stands for the peer at a Unix socket, who has no address.
UNIX = "unix"

_SCHEMES = frozenset({"http", "https"})


class Visitor(NamedTuple):
    """Where a request comes from.

    :param address: the visitor's; the peer's when no better one can be believed, and None when
        that is a Unix socket.
    :param scheme: by which the visitor came.
    :param is_shared: the address stands for all visitors, since nothing tells them apart: a peer
        with an inner address, or a proxy that does not say whom it forwards.
    """

    address: str | None
    scheme: str
    is_shared: bool


class _Peer(NamedTuple):
    address: Address | None
    is_proxy: bool


class Visitors:
    """Finds the visitor's address and scheme behind trusted proxies.

    ``X-Forwarded-For`` and ``Forwarded`` (RFC 7239) are read only when the peer is trusted, from
    the right: the first hop that is no trusted proxy is the visitor, whatever they wrote further
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
        self._peer = lru_cache(maxsize=1024)(self._read_peer)
        self._warned: set[str] = set()

    def find(self, request: web.Request) -> Visitor:
        """Tell where a request comes from."""
        peer = self._peer(request.remote)
        if not peer.is_proxy:
            return self._unforwarded(request, peer.address)
        forwarded = _forwarded(request)
        scheme = _forwarded_scheme(request, forwarded) or request.scheme
        told_by = (_x_forwarded_for(request), [element.get("for", "") for element in forwarded])
        claims = [self._farthest(hops) for hops in told_by if hops]
        if claims and claims[0] != claims[-1]:
            self._warn_once(
                "X-Forwarded-For and Forwarded name different visitors, and neither is believed: "
                "have the proxy remove the one that it does not set",
            )
            return Visitor(_text(peer.address), scheme, is_shared=False)
        claim = claims[0] if claims else None
        address = None if claim is None else public_address(claim)
        return Visitor(_text(address or peer.address), scheme, is_shared=address is None)

    def _unforwarded(self, request: web.Request, address: Address | None) -> Visitor:
        is_shared = address is None or public_address(address) is None
        if is_shared and ("X-Forwarded-For" in request.headers or "Forwarded" in request.headers):
            self._warn_once(
                f"{address or 'the peer at a Unix socket (unix)'} forwards visitors but is not "
                "named in trusted_proxies: all of them count as one address",
            )
        return Visitor(_text(address), request.scheme, is_shared)

    def _read_peer(self, remote: str | None) -> _Peer:
        address = read_address(remote or "")
        return _Peer(address, self._unix if address is None else self._is_trusted(address))

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)

    def _farthest(self, hops: list[str]) -> Address | None:
        """Walk from the nearest hop to the first that is no proxy; None when one is rubbish."""
        address: Address | None = None
        for hop in reversed(hops):
            address = read_address(hop)
            if address is None or not self._is_trusted(address):
                break
        return address

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning("%s", text)


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)


def _forwarded_scheme(request: web.Request, forwarded: list[dict[str, str]]) -> str | None:
    told = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
    if not told and forwarded:
        told = forwarded[-1].get("proto", "").lower()
    return told if told in _SCHEMES else None


def _x_forwarded_for(request: web.Request) -> list[str]:
    return [
        hop
        for line in request.headers.getall("X-Forwarded-For", ())
        for hop in line.split(",")
        if hop.strip()
    ]


def _forwarded(request: web.Request) -> list[dict[str, str]]:
    """Read the elements of ``Forwarded``, each by itself.

    A comma ends an element even between quotes: no address holds one, and a visitor who opens
    a quote must not swallow what a proxy appends.
    """
    if "Forwarded" not in request.headers:
        return []
    return [
        {
            name.strip().lower(): value.strip().strip('"')
            for name, _, value in (pair.partition("=") for pair in element.split(";"))
        }
        for line in request.headers.getall("Forwarded", ())
        for element in line.split(",")
        if element.strip()
    ]
