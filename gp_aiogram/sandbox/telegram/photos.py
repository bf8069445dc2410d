"""Photos that a bot sends: read from its call, and checked as Telegram does it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aiohttp.web import FileField

from gp_aiogram.sandbox.telegram.errors import ApiError
from gp_aiogram.sandbox.telegram.params import Params

#: Bytes of a photo that is uploaded, and pixels of its width and height together (Bot API,
#: ``sendPhoto``).
_MAX_BYTES, _MAX_PIXELS = 10 * 1024 * 1024, 10_000

_ATTACHED = "attach://"
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Photo:
    """An uploaded photo.

    :param content: the file.
    """

    content: bytes
    width: int
    height: int

    @property
    def file_id(self) -> str:
        """By which Telegram names it; the same file has the same id here."""
        return sha256(self.content).hexdigest()[:32]

    @property
    def sizes(self) -> list[dict[str, Any]]:
        """The ``photo`` of the Bot API's ``Message``; Telegram makes smaller ones as well."""
        return [
            {
                "file_id": self.file_id,
                "file_unique_id": self.file_id[:16],
                "width": self.width,
                "height": self.height,
                "file_size": len(self.content),
            }
        ]


def uploaded_photo(params: Params) -> Photo:
    """Read the ``photo`` of a call: an upload, in a part of its own or not.

    :raises ApiError: there is none, or it is no PNG that Telegram takes. Other formats, URLs and
        ids of files are not known to this stand-in.
    """
    sent = params.get("photo")
    if isinstance(sent, str) and sent.startswith(_ATTACHED):
        sent = params.get(sent.removeprefix(_ATTACHED))
    if not isinstance(sent, FileField):
        raise ApiError(400, "Bad Request: there is no photo in the request")
    content = sent.file.read()
    if len(content) > _MAX_BYTES:
        raise ApiError(413, "Request Entity Too Large")
    if not content.startswith(_PNG):
        raise ApiError(400, "Bad Request: IMAGE_PROCESS_FAILED")
    width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))
    if not 0 < width + height <= _MAX_PIXELS:
        raise ApiError(400, "Bad Request: PHOTO_INVALID_DIMENSIONS")
    return Photo(content, width, height)
