"""From which addresses requests of other servers may come."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_network

from aiohttp import web

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.identity.net import Address, read_address
from gp_aiogram.web.visitors import Network, Visitors


class Sources:
    """The addresses that are let in.

    :param allowed: addresses or networks; none means every address.
    :param trusted_proxies: as of :class:`~gp_aiogram.web.visitors.Visitors`.
    :raises ConfigurationError: when one of them is neither.
    """

    def __init__(
        self,
        allowed: Collection[str | Address | Network],
        trusted_proxies: Collection[str | Address | Network],
    ) -> None:
        if isinstance(allowed, str):
            msg = f"Postbacks(sources=...) must be a list of networks, not {short_repr(allowed)}"
            raise ConfigurationError(msg)
        try:
            self._allowed = [ip_network(source, strict=False) for source in allowed]
        except ValueError as error:
            msg = f"Postbacks(sources=...) must hold addresses or networks: {error}"
            raise ConfigurationError(msg) from error
        self._visitors = Visitors(trusted_proxies)

    def find(self, request: web.Request) -> Address | None:
        """Return where a request comes from; None at a Unix socket."""
        return read_address(self._visitors.find(request).address or "")

    def admit(self, address: Address | None) -> bool:
        """Return whether an address is let in."""
        if not self._allowed:
            return True
        return address is not None and any(address in network for network in self._allowed)
