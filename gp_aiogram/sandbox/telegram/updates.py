"""The updates that wait for one bot, and their delivery by long polling or a webhook."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout

from gp_aiogram.sandbox.server import Notifier
from gp_aiogram.sandbox.telegram.errors import ApiError

Update = dict[str, Any]

MAX_UPDATES = 100
HIDDEN_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})

_FIRST_BACKOFF, _MAX_BACKOFF, _LONG = 0.05, 0.5, 3600.0
_WEBHOOK_TIMEOUT = ClientTimeout(total=60)


@dataclass
class Webhook:
    """The address to which a bot has its updates POSTed.

    :param url: the address.
    :param secret_token: the ``X-Telegram-Bot-Api-Secret-Token`` header.
    :param last_error_date: unix seconds of the latest failure.
    :param last_error_message: what failed.
    """

    url: str
    secret_token: str | None = None
    last_error_date: int | None = None
    last_error_message: str | None = None


@dataclass(eq=False)
class _Entry:
    update: Update
    repeated: bool
    fate: str = "waits in the queue: the bot has not asked for it"


def kind_of(update: Update) -> str:
    """Tell the type of an update, such as ``message``.

    :param update: the raw update.
    """
    return next((key for key in update if key != "update_id"), "nothing")


class UpdateQueue:
    """The updates of one bot, oldest first, kept until the bot confirms them.

    ``allowed_updates`` is applied when an update is handed out, so it also holds for updates
    that arrived before the bot set it.

    :param notifier: notified when an update arrives or a poll begins.
    :ivar webhook: where updates are POSTed; ``None`` for long polling.
    :ivar allowed: the bot's ``allowed_updates``; empty for the default ones.
    """

    def __init__(self, notifier: Notifier) -> None:
        self.webhook: Webhook | None = None
        self.allowed: list[str] = []
        self._notifier = notifier
        self._pending: list[_Entry] = []
        self._latest: dict[int, _Entry] = {}
        self._confirmed = 0
        self._poll = 0

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, update: Update) -> None:
        """Queue an update.

        :param update: with its ``update_id``; one that was confirmed before is handed out again.
        """
        entry = _Entry(update, repeated=update["update_id"] < self._confirmed)
        self._pending.append(entry)
        self._latest[update["update_id"]] = entry
        self._notifier.notify()

    def clear(self) -> None:
        """Drop all updates."""
        self._pending.clear()

    def fate(self, update_id: int) -> str:
        """Describe what has become of an update.

        :param update_id: the update.
        """
        return self._latest[update_id].fate

    async def poll(
        self, *, offset: int, limit: int, timeout: float, allowed: list[str] | None
    ) -> list[Update]:
        """Serve ``getUpdates``.

        :param offset: confirms all updates before it; negative counts from the end.
        :param limit: how many updates at most.
        :param timeout: seconds to wait for the first one.
        :param allowed: the new ``allowed_updates``; ``None`` keeps the old ones.
        :raises ApiError: a webhook is set, or another ``getUpdates`` was called meanwhile.
        """
        if self.webhook is not None:
            msg = (
                "Conflict: can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first"
            )
            raise ApiError(409, msg)
        if allowed is not None:
            self.allowed = allowed
        self._confirm(offset)
        self._poll = mine = self._poll + 1
        self._notifier.notify()

        def ready() -> bool:
            return self._poll != mine or self.webhook is not None or bool(self._deliverable())

        await self._notifier.wait_until(ready, timeout)
        if self.webhook is not None:
            raise ApiError(409, "Conflict: terminated by setWebhook request")
        if self._poll != mine:
            msg = (
                "Conflict: terminated by other getUpdates request; "
                "make sure that only one bot instance is running"
            )
            raise ApiError(409, msg)
        oldest = sorted(self._deliverable(), key=lambda entry: entry.update["update_id"])
        return [self._hand_out(entry) for entry in oldest[:limit]]

    async def post(
        self, session: ClientSession, on_answer: Callable[[ClientResponse], Awaitable[object]]
    ) -> None:
        """POST the updates to the webhook forever, in order, each until it is accepted.

        :param session: the client to use.
        :param on_answer: awaited with every 2xx response, which may hold a method to call.
        """
        backoff = _FIRST_BACKOFF
        while True:
            await self._notifier.wait_until(lambda: self.webhook and self._deliverable(), _LONG)
            webhook = self.webhook
            if webhook is None or not self._deliverable():
                continue
            entry = self._deliverable()[0]
            error = await self._post_one(session, webhook, entry, on_answer)
            if error is None:
                backoff = _FIRST_BACKOFF
                continue
            webhook.last_error_date, webhook.last_error_message = int(time.time()), error
            entry.fate = f"was not accepted by the webhook: {error}"
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _MAX_BACKOFF)

    async def _post_one(
        self,
        session: ClientSession,
        webhook: Webhook,
        entry: _Entry,
        on_answer: Callable[[ClientResponse], Awaitable[object]],
    ) -> str | None:
        headers = {}
        if webhook.secret_token is not None:
            headers["X-Telegram-Bot-Api-Secret-Token"] = webhook.secret_token
        try:
            async with session.post(
                webhook.url,
                json=self._hand_out(entry),
                headers=headers,
                timeout=_WEBHOOK_TIMEOUT,
                allow_redirects=False,
            ) as response:
                if not 200 <= response.status < 300:  # noqa: PLR2004 - as documented: 2xx
                    return f"Wrong response from the webhook: {response.status} {response.reason}"
                if entry in self._pending:
                    self._pending.remove(entry)
                await on_answer(response)
        except (ClientError, asyncio.TimeoutError) as error:
            return f"Connection failed: {type(error).__name__}: {error}"
        return None

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            del self._pending[:offset]
        elif offset:
            self._confirmed = offset
            self._pending = [
                entry
                for entry in self._pending
                if entry.update["update_id"] >= offset or entry.repeated
            ]

    def _deliverable(self) -> list[_Entry]:
        for entry in self._pending:
            if not self._is_allowed(kind_of(entry.update)):
                entry.fate = f"was dropped: the bot's allowed_updates are {self.allowed}"
        self._pending = [
            entry for entry in self._pending if self._is_allowed(kind_of(entry.update))
        ]
        return self._pending

    def _is_allowed(self, kind: str) -> bool:
        return kind in self.allowed if self.allowed else kind not in HIDDEN_BY_DEFAULT

    def _hand_out(self, entry: _Entry) -> Update:
        entry.repeated = False
        entry.fate = "was handed to the bot"
        return entry.update
