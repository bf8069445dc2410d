"""Records what an update tells, for ``@track``, ``tracked`` and ``auto`` alike."""

from __future__ import annotations

import logging
from typing import Any, cast

from gp_aiogram.bot.expressions import why_nothing
from gp_aiogram.bot.joins import ARRIVAL, REQUEST, one_lead, with_price_of_join
from gp_aiogram.bot.payments import is_refund, payment_of, with_payment_defaults
from gp_aiogram.bot.updates import GP_KEY
from gp_aiogram.decorators import Argument, TrackSpec, resolve
from gp_aiogram.errors import EventError
from gp_aiogram.model.event import FIRST_DEPOSIT, REFUND
from gp_aiogram.tracker.arguments import DepositArguments, EventArguments
from gp_aiogram.tracker.containment import contained, describe_error
from gp_aiogram.tracker.user_tracker import DEPOSIT, UserTracker

logger = logging.getLogger("gp_aiogram.emit")

#: Arguments for which "nothing" makes sense; nothing for any other is a mistake in the decorator.
_MAY_BE_NONE = frozenset({"session_id", "user_data"})


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
        if spec.when is not None and not await _resolved_one("when", spec.when, event, scope):
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
    arguments = with_price_of_join(arguments, event, gp)
    is_renewal = payment is not None and payment.is_renewal
    if name is None:
        deposit = {"value": None, **arguments, "renewal": is_renewal}
        await gp.record_deposit(**cast("DepositArguments", deposit))
    elif name == REFUND and is_refund(event):
        await gp.record_refund(**cast("dict[str, Any]", arguments))
    elif name == FIRST_DEPOSIT and is_renewal:
        logger.info("%s: a renewal is no first deposit", site_id)
    else:
        if payment is not None and arguments.get("once") == "user":
            # A refund names the payment, whatever lets its event through once.
            arguments["order"] = payment.charge_id
        await _record_named(gp, name, event, arguments)


async def _record_named(
    gp: UserTracker,
    name: str,
    event: object,
    arguments: EventArguments,
) -> None:
    lead = await one_lead(gp, name, event)
    if lead is not None and name == ARRIVAL and arguments.get("to") is None:
        arguments["to"] = await lead.receivers()
    recorded = await gp.record(name, **arguments)
    if lead is not None and name == REQUEST and recorded is not None:
        await lead.remember_request()


async def _resolved(spec: TrackSpec, event: Any, scope: dict[str, Any]) -> EventArguments:
    resolved: dict[str, Any] = {}
    for name, argument in spec.arguments.items():
        resolved[name] = await _resolved_one(name, argument, event, scope)
        if resolved[name] is None and name not in _MAY_BE_NONE:
            msg = f"{name}= came to nothing (None): {why_nothing(argument, event)}"
            raise EventError(msg)
    return cast("EventArguments", resolved)


async def _resolved_one(name: str, argument: Argument, event: Any, scope: dict[str, Any]) -> Any:
    """Resolve an argument; an exception in it says which one, and keeps its traceback."""
    try:
        return await resolve(argument, event, scope)
    except Exception as error:
        msg = f"{name}= failed: {describe_error(error)}"
        raise EventError(msg) from error
