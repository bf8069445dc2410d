"""What a page is told when it cannot have what it asks for."""

from __future__ import annotations

from http import HTTPStatus


class Refused(Exception):  # noqa: N818 - reads as what happened
    """A request that is not carried out.

    :param reason: for whoever looks at the page.
    :param retry_after: seconds after which it may be.
    """

    def __init__(self, status: HTTPStatus, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
