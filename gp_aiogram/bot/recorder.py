"""Records what an update tells, for ``@track``, ``tracked`` and ``auto`` alike."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from gp_aiogram.bot.payments import is_refund, payment_of, with_payment_defaults
from gp_aiogram.bot.updates import GP_KEY
from gp_aiogram.decorators import TrackSpec, resolve
from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.errors import EventError, GPError
from gp_aiogram.model.event import FIRST_DEPOSIT, REFUND
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.arguments import DepositArguments, EventArguments
from gp_aiogram.tracker.user_tracker import DEPOSIT, UserTracker

logger = logging.getLogger("gp_aiogram.emit")

#: Arguments for which "nothing" makes sense; nothing for any other is a mistake in the decorator.
_MAY_BE_NONE = frozenset({"session_id", "user_data"})


@contextmanager
def contained(
    tracker: Tracker,
    counter: TrackerCount,
    log: logging.Logger,
    source: object,
) -> Iterator[None]:
    """Count and log what fails within: the bot's own error handlers must not see it.

    :param counter: key of ``tracker.counts``.
    :param source: what the events would have come from, for the log line.
    """
    try:
        yield
    except Exception as error:
        tracker.counts[counter] += 1
        traceback = None if isinstance(error, GPError) else error
        log.error(  # noqa: TRY400 - the text of our own errors says it all
            "%s recorded nothing: %s", source, error, exc_info=traceback
        )


async def record_spec(spec: TrackSpec, event: Any, data: dict[str, Any], result: Any) -> None:
    """Record the event of a spec, if it applies; what fails is logged and counted, never raised.

    :param event: what MagicFilters look at.
    :param data: aiogram's own context of the update.
    :param result: what the decorated function has returned.
    """
    gp: UserTracker | None = data.get(GP_KEY)
    if gp is None:
        logger.debug("%s: the update names no user", spec)
        return
    with contained(gp.tracker, "decorator_errors", logger, spec):
        scope = {**data, "event": event, "result": result}
        if "event_update" in data:
            scope[data["event_update"].event_type] = event
        if spec.when is not None and not await resolve(spec.when, event, scope):
            return
        arguments = await _resolved(spec, event, scope)
        await record_event(gp, spec.name, event, arguments, site_id=spec.site_id)


async def record_event(
    gp: UserTracker,
    name: str | None,
    event: object,
    arguments: EventArguments,
    *,
    site_id: str,
) -> None:
    """Record an event; the payment that Telegram tells of stands in for what is not given.

    :param name: of the event to record; None for a deposit.
    :param event: what Telegram sent.
    :param site_id: tells the place in the code that records it from all others.
    :raises GPError: when nothing could be recorded.
    """
    arguments.setdefault("event_id", gp.event_id(site_id, name or DEPOSIT))
    payment = payment_of(event)
    if payment is not None:
        arguments = with_payment_defaults(arguments, payment)
        if payment.order_info is not None and gp.tracker.payments_identify:
            await gp.identify(order_info=payment.order_info)
    is_renewal = payment is not None and payment.is_renewal
    if name is None:
        deposit = {"value": None, **arguments, "renewal": is_renewal}
        await gp.deposit(**cast("DepositArguments", deposit))
    elif name == REFUND and is_refund(event):
        await gp.refund(**cast("dict[str, Any]", arguments))
    elif name == FIRST_DEPOSIT and is_renewal:
        logger.info("%s: a renewal is no first deposit", site_id)
    else:
        if payment is not None and arguments.get("once") == "user":
            # A refund names the payment, whatever lets its event through once.
            arguments["order"] = payment.charge_id
        await gp.track(name, **arguments)


async def _resolved(spec: TrackSpec, event: Any, scope: dict[str, Any]) -> EventArguments:
    resolved: dict[str, Any] = {}
    for name, argument in spec.arguments.items():
        resolved[name] = await resolve(argument, event, scope)
        if resolved[name] is None and name not in _MAY_BE_NONE:
            msg = f"{name}= came to nothing (None)"
            raise EventError(msg)
    return cast("EventArguments", resolved)
