"""Records what a mark says, once what it marks has succeeded."""

from __future__ import annotations

import logging
from typing import Any

from gp_aiogram.bot.payments import completed, is_refund, payment_of
from gp_aiogram.bot.updates import GP_KEY
from gp_aiogram.decorators import DEPOSIT, TrackSpec, resolve
from gp_aiogram.errors import EventError, GPError
from gp_aiogram.model.event import FIRST_DEPOSIT, REFUND
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.user_tracker import UserTracker

logger = logging.getLogger("gp_aiogram.emit")

#: Arguments for which "nothing" makes sense; nothing for any other is a mistake in the rule.
_MAY_BE_NONE = frozenset({"session_id", "user_data"})


class Recorder:
    """Turns marks into events; what fails is logged and counted, never raised into the bot.

    :param tracker: records the events.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    async def record(self, mark: TrackSpec, event: Any, data: dict[str, Any], result: Any) -> None:
        """Record the event of a mark, if it applies.

        :param event: what MagicFilters look at.
        :param data: aiogram's own context of the update.
        :param result: what was returned by what is marked.
        """
        try:
            await self._record(mark, event, data, result)
        except GPError as error:
            self._count_error(mark, error)
        except Exception as error:  # noqa: BLE001 - the bot's own error handlers must not see it
            self._count_error(mark, error, exc_info=error)

    async def _record(
        self, mark: TrackSpec, event: Any, data: dict[str, Any], result: Any
    ) -> None:
        gp: UserTracker | None = data.get(GP_KEY)
        if gp is None:
            logger.debug("@track(%r) on %s: the update names no user", mark.name, mark.handler)
            return
        scope = {**data, "event": event, "result": result}
        if "event_update" in data:
            scope[data["event_update"].event_type] = event
        if mark.when is not None and not await resolve(mark.when, event, scope):
            return
        arguments = {
            name: await _resolved(name, argument, event, scope)
            for name, argument in mark.arguments.items()
        }
        arguments.setdefault("event_id", gp.event_id(mark.site_id, mark.name))
        payment = payment_of(event)
        if payment is not None:
            arguments = completed(arguments, payment)
        renewal = payment is not None and payment.is_renewal
        if mark.name == DEPOSIT:
            await gp.deposit(**{"value": None, **arguments}, renewal=renewal)
        elif mark.name == REFUND and is_refund(event):
            await gp.refund(**arguments)
        elif mark.name == FIRST_DEPOSIT and renewal:
            logger.info("@track(%r) on %s: a renewal is no first deposit", mark.name, mark.handler)
        else:
            # A refund names the payment, whatever lets its event through once.
            order = payment.charge_id if payment and arguments.get("once") == "user" else None
            await gp.track(mark.name, **arguments, order=order)

    def _count_error(
        self,
        mark: TrackSpec,
        error: Exception,
        exc_info: Exception | None = None,
    ) -> None:
        self._tracker.counts["decorator_errors"] += 1
        logger.error(
            "@track(%r) on %s recorded nothing: %s",
            mark.name,
            mark.handler,
            error,
            exc_info=exc_info,
        )


async def _resolved(name: str, argument: Any, event: Any, scope: dict[str, Any]) -> Any:
    resolved = await resolve(argument, event, scope)
    if resolved is None and name not in _MAY_BE_NONE:
        msg = f"{name}= came to nothing (None)"
        raise EventError(msg)
    return resolved
