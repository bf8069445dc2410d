"""Records conversions that are told of clicks, and keeps those whose user has not turned up."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from gp_aiogram.delivery.stats import TrackerCount
from gp_aiogram.errors import EventError
from gp_aiogram.model.conversion import DEPOSIT, REJECTED, Conversion
from gp_aiogram.model.event import FIRST_DEPOSIT, LATER_DEPOSIT, REFUND, Event
from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.keys import OnceKey, opt_out_key
from gp_aiogram.stores.records import DeliveryFilter, Unmatched
from gp_aiogram.tracker.deposits import Deposits
from gp_aiogram.tracker.once_keys import order_keys, payment_keys
from gp_aiogram.tracker.recording import Recording
from gp_aiogram.tracker.refunds import Refunds
from gp_aiogram.tracker.request import DepositRules, EventRequest, RequestCheck
from gp_aiogram.tracker.user_search import UserSearch

logger = logging.getLogger("gp_aiogram.postbacks")

#: Conversions that are looked at together.
_PAGE = 200

#: What became of a conversion: it was ``recorded``; it was before (``duplicate``); its user has
#: ``opted_out``; ``before_send`` has ``dropped`` it; there is ``no_payment`` that it could take
#: back; it is ``kept`` until its user turns up; nobody knows its user, and the store keeps none
#: (``unknown``).
ConversionResult = Literal[
    "recorded", "duplicate", "opted_out", "dropped", "no_payment", "kept", "unknown"
]


class Report(NamedTuple):
    """What became of a conversion, and the event that it was recorded as."""

    result: ConversionResult
    event: Event | None = None


class Conversions:
    """Records conversions for the users that their click ids stand for.

    :param store: keeps what is told of users who have not turned up.
    :param search: finds users.
    :param counts: what happened is counted here.
    """

    def __init__(
        self,
        *,
        store: Store,
        search: UserSearch,
        check: RequestCheck,
        recording: Recording,
        deposits: Deposits,
        refunds: Refunds,
        counts: Counter[TrackerCount],
    ) -> None:
        self._profiles = store.profiles
        self._outbox = store.outbox
        self._search = search
        self._check = check
        self._recording = recording
        self._deposits = deposits
        self._refunds = refunds
        self._counts = counts

    async def report(self, conversion: Conversion, window: timedelta) -> Report:
        """Record a conversion; returns when it is in the store.

        :param window: how long one is kept whose user has not turned up.
        :raises EventError: when no event can be built from it; nothing was recorded.
        :raises StoreError: when the store failed; report it again.
        """
        self._check_fields(conversion)
        touch = await self._search.latest(conversion.click_id)
        if touch is not None:
            return await self._record(conversion, touch)
        until = conversion.at + window
        body = {"conversion": conversion.to_dict(), "until": until.isoformat()}
        kept = Unmatched(conversion.key, conversion.click_id, conversion.at, body)
        if not await self._profiles.add_unmatched(kept):
            logger.error(
                "%s: no user has come with the click of a %s, and %s keeps none of these: it is "
                "not recorded",
                conversion.network,
                conversion.event,
                type(self._profiles).__name__,
            )
            return Report("unknown")
        # Whoever came while it was being kept has not seen it.
        touch = await self._search.latest(conversion.click_id)
        if touch is not None:
            return await self._record_kept(kept, touch)
        self._counts["unmatched"] += 1
        logger.info(
            "%s: no user has come with the click of a %s yet: it is kept until %s",
            conversion.network,
            conversion.event,
            until.isoformat(timespec="seconds"),
        )
        return Report("kept")

    async def settle(self, touch: Session) -> None:
        """Record what was told of a user before they turned up.

        What fails stays kept, is logged, and is tried again by :meth:`sweep`.
        """
        try:
            while page := await self._profiles.unmatched_of(touch.session_id, _PAGE):
                # What is taken back was told first, by a clock that may say otherwise.
                for kept in sorted(page, key=_is_rejection):
                    await self._record_kept(kept, touch)
        except Exception:
            self._counts["postback_errors"] += 1
            logger.exception(
                "what was reported for session %s before its user came could not be recorded, "
                "trying again later",
                touch.session_id,
            )

    async def sweep(self, now: datetime) -> int:
        """Record what was kept and has its user now, and give up what has waited long enough.

        :return: how many were given up.
        :raises StoreError: when the store failed.
        """
        given_up = 0
        last: Unmatched | None = None
        while page := await self._profiles.unmatched(_PAGE, last):
            for kept in page:
                touch = await self._search.latest(kept.click_id)
                if touch is not None:
                    await self.settle(touch)
                elif datetime.fromisoformat(kept.body["until"]) < now:
                    given_up += 1
                    await self._give_up(kept)
            last = page[-1]
        return given_up

    async def _give_up(self, kept: Unmatched) -> None:
        conversion = Conversion.from_dict(kept.body["conversion"])
        self._counts["unmatched_expired"] += 1
        logger.warning(
            "%s: no user came with the click of a %s of %s in time: it is given up",
            conversion.network,
            conversion.event,
            conversion.at.isoformat(timespec="seconds"),
        )
        await self._profiles.drop_unmatched([kept.key])

    async def _record_kept(self, kept: Unmatched, touch: Session) -> Report:
        conversion = Conversion.from_dict(kept.body["conversion"])
        try:
            report = await self._record(conversion, touch)
        except EventError as error:
            self._counts["lost"] += 1
            logger.error(  # noqa: TRY400 - it says all
                "%s: a %s that was kept cannot be recorded: %s",
                conversion.network,
                conversion.event,
                error,
            )
            report = Report("dropped")
        await self._profiles.drop_unmatched([kept.key])
        return report

    def _check_fields(self, conversion: Conversion) -> None:
        """Refuse what could be recorded for nobody.

        :raises EventError: when no event can be built from it.
        """
        anybody = Session(None, 1, conversion.click_id, "manual", conversion.at, "")
        request = _request(conversion, anybody, _event_name(conversion), conversion.order(""))
        self._check.event(request)

    async def _record(self, conversion: Conversion, touch: Session) -> Report:
        if conversion.event == REJECTED:
            return await self._take_back(conversion, touch)
        order = conversion.order(touch.session_id)
        request = _request(conversion, touch, _event_name(conversion), order)
        if conversion.event not in {FIRST_DEPOSIT, LATER_DEPOSIT, DEPOSIT}:
            event = await self._recording.record(self._check.event(request))
            return await self._result(event, touch, order_keys(order, [conversion.event]))
        rules = DepositRules(repeated=conversion.event == LATER_DEPOSIT)
        event = await self._deposits.record(self._check.deposit(request, rules), rules)
        return await self._result(event, touch, payment_keys(order))

    async def _take_back(self, conversion: Conversion, touch: Session) -> Report:
        """Refund the payments that a rejection means, as far as they were recorded."""
        report = Report("no_payment")
        for order in conversion.rejected_orders(touch.session_id):
            if not await self._outbox.known_keys(payment_keys(order)):
                continue
            payer = await self._payer(order) or touch
            refund = self._check.refund(_request(conversion, payer, REFUND, order))
            event = await self._refunds.record(refund)
            report = await self._result(event, payer, order_keys(order, [REFUND]))
        return report

    async def _payer(self, order: str) -> Session | None:
        """Return whose payment an order was: somebody may have come by the same link later."""
        for delivery in await self._outbox.select(DeliveryFilter(order=order), limit=1):
            paid = delivery.event
            session_id = paid.session_id or ""
            return Session(
                paid.bot_id, paid.telegram_id, session_id, "manual", paid.event_time, session_id
            )
        return None

    async def _result(
        self,
        event: Event | None,
        touch: Session,
        keys: Collection[OnceKey],
    ) -> Report:
        """Tell why nothing was recorded."""
        if event is not None:
            return Report("recorded", event)
        opt_out = opt_out_key(touch.telegram_id)
        known = await self._outbox.known_keys([opt_out, *keys])
        if opt_out in known:
            return Report("opted_out")
        return Report("duplicate" if known else "dropped")


def _is_rejection(kept: Unmatched) -> bool:
    return bool(kept.body["conversion"]["event"] == REJECTED)


def _event_name(conversion: Conversion) -> str:
    names = {REJECTED: REFUND, DEPOSIT: LATER_DEPOSIT}
    return names.get(conversion.event, conversion.event)


def _request(conversion: Conversion, touch: Session, name: str, order: str) -> EventRequest:
    is_refund = name == REFUND
    return EventRequest(
        name=name,
        telegram_id=touch.telegram_id,
        bot_id=touch.bot_id,
        # What is rejected was rejected as a whole, whatever the network writes.
        value=None if is_refund else conversion.value,
        currency=None if is_refund or conversion.value is None else conversion.currency,
        session_id=touch.session_id or None,
        event_time=conversion.at,
        once=order,
        # Whoever came by the same link later must not count it again.
        once_scope="store",
        keeps_touch=False,
    )
