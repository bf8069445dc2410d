"""Says which proxy requests go through: the one that was given, or that of the environment."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.request import getproxies, proxy_bypass

import httpx

from gp_aiogram.errors import ConfigurationError


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy.

    :param url: its address, without user and password.
    :param headers: what tells it who asks.
    :param secrets: what of it must not be shown.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def validate_proxy(where: str, proxy: object) -> Proxy:
    """Return the proxy that a URL names.

    :param where: names the argument in messages.
    :raises ConfigurationError: without showing the URL, which may have a password.
    """
    text = proxy if isinstance(proxy, str) and proxy.isprintable() and " " not in proxy else ""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    extra = url.path not in {"", "/"} or url.query or url.fragment
    if url.scheme not in {"http", "https"} or not url.host or url.port == 0 or extra:
        msg = (
            f"{where} must be the address of an HTTP proxy such as "
            "'http://user:password@proxy.example.com:3128', with the special characters of user "
            "and password percent-encoded; SOCKS is not supported"
        )
        raise ConfigurationError(msg)
    address = str(url.copy_with(username=None, password=None))
    if not url.username and not url.password:
        return Proxy(address)
    whole = f"{url.username}:{url.password}"
    token = base64.b64encode(whole.encode()).decode()
    secrets = (whole, url.password or url.username)
    return Proxy(address, {"proxy-authorization": f"Basic {token}"}, secrets)


def environment_proxy(base_url: str) -> Proxy | None:
    """Return the proxy that the environment has for a URL; None when there is none.

    ``HTTPS_PROXY`` and ``HTTP_PROXY`` by the scheme of the URL, else ``ALL_PROXY``; the hosts of
    ``NO_PROXY`` are reached directly.

    :raises ConfigurationError: when it is no HTTP proxy.
    """
    url = httpx.URL(base_url)
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.netloc.decode()):
        return None
    text = proxy if "://" in proxy else f"http://{proxy}"
    return validate_proxy(f"the environment's {url.scheme.upper()}_PROXY or ALL_PROXY", text)
