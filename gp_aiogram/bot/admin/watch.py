"""Looks at destinations every now and then, and has admins told of what is the matter."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from aiogram import Bot

from gp_aiogram.bot.admin.buttons import buttons
from gp_aiogram.bot.admin.conditions import Alert, Alerts, conditions_of
from gp_aiogram.bot.admin.messenger import Messenger
from gp_aiogram.bot.admin.overview import DestinationView, destinations_of
from gp_aiogram.stores.keys import alert_key
from gp_aiogram.tracker import Tracker

T = TypeVar("T")

logger = logging.getLogger("gp_aiogram.admin")

#: Seconds for the store, and for a look that is under way when the bot stops.
_PATIENCE, _ENDING = 10.0, 5.0


class Watch:
    """Runs beside the bot from start to stop.

    What admins were told of is kept in the store: neither a restart nor a second process of the
    same bot tells it again.

    :param backlog: seconds that events may wait.
    :param every: seconds between two looks.
    """

    def __init__(
        self,
        tracker: Tracker,
        messenger: Messenger,
        alerts: Alerts,
        *,
        backlog: float,
        every: float,
    ) -> None:
        self._tracker = tracker
        self._messenger = messenger
        self._alerts = alerts
        self._backlog = backlog
        self._every = every
        self._task: asyncio.Task[None] | None = None
        self._failed = False

    def start(self, bots: Sequence[Bot]) -> None:
        """Begin to look. Does nothing when already begun.

        :param bots: by which admins are told.
        """
        self._messenger.learn(bots)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="gp_aiogram watches for admins")

    async def stop(self) -> None:
        """Look no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=_ENDING)

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
                self._failed = False
            except _Closed:
                logger.debug("the tracker is closed, and what admins learn waits for its start")
            except Exception as error:  # it must go on, whatever fails
                # The tracker tells of a store that is away; once is enough here.
                level = logging.DEBUG if self._failed else logging.WARNING
                logger.log(level, "admins learn nothing now, and will later", exc_info=error)
                self._failed = True
            await asyncio.sleep(self._every)

    async def _look(self) -> None:
        if not self._tracker.running or not self._messenger.bots:
            return
        await self._messenger.catch_up()
        outbox = self._tracker.store.outbox
        views = destinations_of(await self._ask(self._tracker.stats()))
        conditions = conditions_of(views, self._backlog)
        keys = {alert_key(each.key): each.key for each in conditions}
        known = await self._ask(outbox.known_keys(keys))
        for alert in self._alerts.due(conditions, {keys[key] for key in known}):
            await self._tell(alert, views)

    async def _tell(self, alert: Alert, views: Sequence[DestinationView]) -> None:
        """Tell admins, and keep that they know: first, so that no other process tells it, too."""
        outbox, key = self._tracker.store.outbox, alert_key(alert.condition.key)
        if alert.is_cure:
            await self._ask(outbox.drop_keys([key]))
        elif not await self._ask(outbox.add_keys([key])):
            return
        concerned = [view for view in views if view.name == alert.condition.destination]
        told = False
        try:
            told = await self._messenger.tell(
                alert.text, None if alert.is_cure else buttons(concerned)
            )
        finally:
            if not told:
                await self._take_back(alert)

    async def _take_back(self, alert: Alert) -> None:
        """Keep that admins do not know yet, so that they are told later."""
        outbox, key = self._tracker.store.outbox, alert_key(alert.condition.key)
        try:
            if alert.is_cure:
                await self._ask(outbox.add_keys([key]))
            else:
                await self._ask(outbox.drop_keys([key]))
        except Exception:  # what has kept them from being told is what matters
            logger.warning("admins will not be told: %s", alert.condition.key, exc_info=True)

    async def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        """Ask the store, so that closing the tracker waits for the answer.

        :raises Exception: what the store raised, or TimeoutError.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def ask() -> None:
            try:
                result = await asyncio.wait_for(question, _PATIENCE)
            except Exception as error:  # noqa: BLE001 - raised below
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)

        if not self._tracker.running:
            question.close()
            raise _Closed
        self._tracker.run_in_background(ask())
        return await answer


class _Closed(Exception):  # noqa: N818 - reads as what happened
    """The tracker has been closed meanwhile."""
