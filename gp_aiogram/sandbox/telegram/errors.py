"""How Telegram refuses: a bot gets an error response, a user sees an error in the app."""

from __future__ import annotations

#: What Telegram says about a query that is unknown, answered before or expired.
QUERY_TOO_OLD = "Bad Request: query is too old and response timeout expired or query ID is invalid"


class ApiError(Exception):
    """A response ``{"ok": false, ...}`` of the Bot API.

    :param code: the ``error_code``, also the HTTP status.
    :param description: the ``description``, in Telegram's words.
    """

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


class RefusedError(Exception):
    """Telegram does not let a user do something; the text is Telegram's."""
