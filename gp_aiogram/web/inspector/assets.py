"""Serves the files of a page from the package, with headers that keep everything else out."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from aiohttp import web

from gp_aiogram.errors import ConfigurationError

_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}

#: For whatever a page of ours is answered: nothing but our own files is loaded, nobody frames it,
#: and no other site learns of its address.
SECURITY: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


class Asset(NamedTuple):
    """A file of a page."""

    content: bytes
    content_type: str
    etag: str


class Assets:
    """The files of a folder of a package, read once.

    :param package: such as ``gp_aiogram.web.inspector``.
    :param folder: within it; its own folders are left out.
    :raises ConfigurationError: when the files are missing, as in an incomplete installation.
    """

    def __init__(self, package: str, folder: str = "static") -> None:
        place = files(package).joinpath(folder)
        if not place.is_dir():
            msg = f"{package} lacks its folder {folder}: install gp-aiogram again"
            raise ConfigurationError(msg)
        self._assets = {
            each.name: _asset(each.name, each.read_bytes())
            for each in place.iterdir()
            if each.name.rpartition(".")[2] in _TYPES
        }

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        return sorted(self._assets)

    def answer(self, request: web.Request, name: str) -> web.Response:
        """Answer with a file, or that the browser has it already.

        :raises aiohttp.web.HTTPNotFound: when there is none of this name.
        """
        asset = self._assets.get(name)
        if asset is None:
            raise web.HTTPNotFound(headers=SECURITY)
        headers = {**SECURITY, "Cache-Control": "no-cache", "ETag": f'"{asset.etag}"'}
        if any(tag.value == asset.etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = f"{asset.content_type}; charset=utf-8"
        return web.Response(body=asset.content, headers=headers)


def _asset(name: str, content: bytes) -> Asset:
    return Asset(content, _TYPES[name.rpartition(".")[2]], sha256(content).hexdigest()[:20])
