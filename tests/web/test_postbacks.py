"""Postbacks of affiliate networks, over real HTTP on the loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from aiohttp import web
from yarl import URL

from fixtures.postbacks import BOT, KEY, OTHER, USER, Endpoint, endpoint
from gp_aiogram import (
    Attribution,
    Click,
    ConfigurationError,
    MemoryStore,
    RedisStore,
    SQLiteStore,
    StoreError,
)
from gp_aiogram.stores.contract import SessionStore, Store
from gp_aiogram.stores.redis.schema import Keys
from gp_aiogram.testing import ManualClock
from gp_aiogram.web import CPA, KEITARO, KUKURUKU, Network, Postbacks

OTHER_KEY = "another-key_of_24_chars0"


@pytest.fixture
async def here() -> AsyncIterator[Endpoint]:
    async with endpoint() as here:
        await here.come()
        yield here


# What the documents print


@pytest.mark.parametrize(
    ("network", "query", "expected"),
    [
        # docs.keitaro.io, "Postback": what Keitaro itself takes, and what copies of it send.
        (
            KEITARO,
            "subid=gp_a&status=lead&payout=0&currency=USD&tid=1",
            ("REG", None),
        ),
        (
            KEITARO,
            "subid=gp_a&status=sale&payout=10&currency=usd&tid=1",
            ("FTD", Decimal("10.00")),
        ),
        (KEITARO, "subid=gp_a&payout=10.5&currency=EUR&tid=1", ("FTD", Decimal("10.50"))),
        (
            KEITARO,
            "subid=gp_a&status=rebill&payout=20&currency=USD&tid=2",
            ("DEP", Decimal("20.00")),
        ),
        # In practice: a network's own words, declared in the postback.
        (KEITARO, "subid=gp_a&status=reg&lead_status=reg", ("REG", None)),
        (
            KEITARO,
            "subid=gp_a&status=first_dep&sale_status=first_dep&tid=",
            ("FTD", Decimal("0.00")),
        ),
        (
            KEITARO,
            "subid=gp_a&status=paid&sale_status=approved,paid&payout=3&tid=9",
            ("FTD", Decimal("3.00")),
        ),
        (
            KEITARO,
            "subid=gp_a&status=re&rebill_status=re&payout=3&tid=9",
            ("DEP", Decimal("3.00")),
        ),
        # docs.kukuruku.win.
        (
            KUKURUKU,
            "click_id=gp_a&amount=15.5&currency=USD&goal_alias=ftd&conv_status=approved",
            ("FTD", Decimal("15.50")),
        ),
        (
            KUKURUKU,
            "click_id=gp_a&amount=7&currency=EUR&goal_alias=rdep&conv_status=approved",
            ("DEP", Decimal("7.00")),
        ),
        (
            KUKURUKU,
            "click_id=gp_a&amount=1.23&currency=USD&goal_alias=revshare&conv_status=approved",
            ("RevShare", Decimal("1.23")),
        ),
        # Common words.
        (CPA, "clickid=gp_a&goal=registration", ("REG", None)),
        (CPA, "aff_sub=gp_a&event=First_Deposit&sum=5&currency=RUB", ("FTD", Decimal("5.00"))),
        (CPA, "SubID=gp_a&Status=deposit&amount=5", ("FTD", Decimal("5.00"))),
        (CPA, "subid=gp_a&status=next_dep&amount=5&txid=1", ("DEP", Decimal("5.00"))),
    ],
)
async def test_what_documents_print(network: Network, query: str, expected: Any) -> None:
    async with endpoint(network=network) as here:
        await here.come()
        status, text = await here.get(query)
        assert (status, text.partition(" ")[0]) == (200, "OK:"), text
        assert await here.recorded() == [expected]
        (event,) = here.recorder.events
        assert (event.session_id, event.bot_id) == ("gp_a", BOT)
        # Sent again, it changes nothing.
        status, text = await here.get(query)
        assert status == 200
        assert "reported" in text
        assert await here.recorded() == [expected]


async def test_the_answer_says_what_was_recorded(here: Endpoint) -> None:
    assert await here.get("subid=gp_a&status=lead") == (200, "OK: REG recorded")
    answer = await here.get("subid=gp_a&status=sale&payout=10&currency=EUR&tid=1")
    assert answer == (200, "OK: FTD 10.00 EUR recorded")
    answer = await here.get("subid=gp_a&status=sale&payout=10&currency=EUR&tid=1")
    assert answer == (200, "OK: not recorded: it was reported before")


async def test_form_and_json_bodies_are_taken(here: Endpoint) -> None:
    form = {"subid": "gp_a", "status": "sale", "payout": "2", "tid": "1"}
    status, text, _ = await here.ask("POST", data=form)
    assert (status, text) == (200, "OK: FTD 2.00 USD recorded")
    status, text, _ = await here.ask("POST", json={**form, "payout": 3.1, "tid": 2, "x": [None]})
    assert (status, text) == (200, "OK: DEP 3.10 USD recorded")
    # A body counts more than the query, and many senders name no type.
    raw = json.dumps({"payout": "4", "tid": "3", "currency": None})
    headers = {"Content-Type": "text/plain"}
    status, text, _ = await here.ask(
        "POST", "subid=gp_a&payout=9&status=sale", data=raw, headers=headers
    )
    assert (status, text) == (200, "OK: DEP 4.00 USD recorded")


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"{", "application/json", (400, "the body must be JSON")),
        (b"[1]", "application/json", (400, "the body must be a JSON object")),
        (b"[" * 8000, "application/json", (400, "the body must be JSON")),
        (b"x" * 9000, "text/plain", (413, "the body must not be longer than 8192 bytes")),
        (b"<a/>", "text/xml", (415, "the body must be JSON or a form")),
    ],
)
async def test_other_bodies_are_refused(
    here: Endpoint, body: bytes, kind: str, expected: tuple[int, str]
) -> None:
    status, text, _ = await here.ask("POST", data=body, headers={"Content-Type": kind})
    assert status == expected[0]
    assert text.startswith(expected[1])


# Once, and taken back


async def test_a_transaction_counts_once_and_another_one_is_another_deposit(
    here: Endpoint,
) -> None:
    for tid in ("1", "2", "1", "2"):
        await here.get(f"subid=gp_a&status=sale&payout=5&tid={tid}")
    assert await here.recorded() == [("FTD", 5), ("DEP", 5)]


async def test_without_a_transaction_id_a_status_counts_once_per_session(here: Endpoint) -> None:
    await here.get("subid=gp_a&status=sale&payout=5")
    status, text = await here.get("subid=gp_a&status=sale&payout=6")
    assert status == 200
    assert "without a transaction id another one cannot be told from it" in text
    await here.get("subid=gp_a&status=lead")
    await here.come("gp_b", OTHER)
    await here.get("subid=gp_b&status=sale&payout=5")
    assert await here.recorded() == [("FTD", 5), ("REG", None)]
    assert await here.recorded(OTHER) == [("FTD", 5)]


async def test_the_same_transaction_of_another_network_is_another() -> None:
    keys = {KEY: KEITARO, OTHER_KEY: replace(KEITARO, name="casino")}
    async with endpoint(key=keys) as here:
        await here.come()
        await here.get("subid=gp_a&status=sale&payout=5&tid=1")
        await here.get("subid=gp_a&status=sale&payout=6&tid=1", OTHER_KEY)
        await here.get("subid=gp_a&status=sale&payout=7&tid=1", OTHER_KEY)
        assert await here.recorded() == [("FTD", 5), ("DEP", 6)]


async def test_a_deposit_that_is_not_the_first_leaves_the_first_to_come(here: Endpoint) -> None:
    """Networks send what failed again, and so in another order."""
    await here.get("subid=gp_a&status=rebill&payout=7&tid=2")
    await here.get("subid=gp_a&status=sale&payout=5&tid=1")
    await here.get("subid=gp_a&status=sale&payout=6&tid=3")
    assert await here.recorded() == [("DEP", 7), ("FTD", 5), ("DEP", 6)]


@pytest.mark.parametrize("tid", ["&tid=1", ""])
async def test_what_is_rejected_later_is_refunded_once(here: Endpoint, tid: str) -> None:
    await here.get(f"subid=gp_a&status=sale&payout=5&currency=EUR{tid}")
    assert await here.recorded() == [("FTD", 5)]
    answer = await here.get(f"subid=gp_a&status=rejected&payout=0{tid}")
    assert answer == (200, "OK: Refund 5.00 EUR recorded")
    answer = await here.get(f"subid=gp_a&status=rejected{tid}")
    assert answer == (200, "OK: not recorded: it was reported before")
    assert await here.recorded() == [("FTD", 5), ("Refund", 5)]


async def test_kukuruku_says_what_is_rejected() -> None:
    async with endpoint(network=KUKURUKU) as here:
        await here.come()
        for goal in ("ftd", "rdep"):
            await here.get(f"click_id=gp_a&amount=5&goal_alias={goal}&conv_status=approved")
        assert await here.recorded() == [("FTD", 5), ("DEP", 5)]
        query = "click_id=gp_a&amount=5&goal_alias=rdep&conv_status="
        assert (await here.get(f"{query}rejected"))[1] == "OK: Refund 5.00 USD recorded"
        assert "not to be recorded" in (await here.get(f"{query}pending"))[1]
        assert len(await here.recorded()) == 3
        status, text = await here.get(f"{query}whatever")
        assert (status, text) == (
            400,
            "conv_status='whatever' is not known here: approved, hold, pending, rejected",
        )


async def test_what_was_no_payment_cannot_be_taken_back(here: Endpoint) -> None:
    await here.get("subid=gp_a&status=lead&tid=1")
    answer = await here.get("subid=gp_a&status=rejected&tid=1")
    assert answer == (
        200,
        "OK: not recorded: no payment that this could take back was recorded",
    )
    assert await here.recorded() == [("REG", None)]


# Whose conversion it is


async def test_any_id_of_the_click_finds_the_user(here: Endpoint) -> None:
    session_id = await here.tracker.register_click(
        Click(fbclid="IwAR0abc", ids={"subid": "7f3a", "yclid": "123456"})
    )
    await here.come(session_id)
    for number, click_id in enumerate((session_id, "IwAR0abc", "7f3a", "123456")):
        await here.get(f"subid={click_id}&status=sale&payout=5&tid={number}")
    assert len(await here.recorded()) == 4
    assert {event.session_id for event in here.recorder.events} == {session_id}
    assert {event.click and event.click.fbclid for event in here.recorder.events} == {"IwAR0abc"}
    # Each id names the same session.
    await here.get("subid=IwAR0abc&status=lead")
    assert "reported for this click before" in (await here.get("subid=7f3a&status=lead"))[1]


async def test_a_payload_that_carries_the_subid_needs_no_landing() -> None:
    attribution = Attribution(pattern=r"kt-.+", parse=lambda text: (text, {"subid": text[3:]}))
    async with endpoint(tracker={"attribution": attribution}) as here:
        await here.come("kt-7f3a")
        answer = await here.get("subid=7f3a&status=sale&payout=5&tid=1")
        assert answer == (200, "OK: FTD 5.00 USD recorded")
        assert await here.recorded() == [("FTD", 5)]
        (event,) = here.recorder.events
        assert event.session_id == "kt-7f3a"
        assert event.click
        assert event.click.ids == {"subid": "7f3a"}


async def test_of_several_users_the_last_one_counts(
    here: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    await here.come(user=OTHER)
    query = "subid=gp_a&status=sale&payout=5&tid=1"
    assert (await here.get(query))[0] == 200
    assert "2 users came by the click of a postback, session gp_a" in caplog.text
    assert await here.recorded() == []
    assert await here.recorded(OTHER) == [("FTD", 5)]
    # Told again, it is not the next one's.
    await here.come(user=9)
    assert (await here.get(query))[1] == "OK: not recorded: it was reported before"
    # And it is taken back from whose it was.
    assert (await here.get("subid=gp_a&status=rejected&tid=1"))[1].startswith("OK: Refund")
    assert await here.recorded(OTHER) == [("FTD", 5), ("Refund", 5)]


async def test_a_postback_is_no_touch(here: Endpoint) -> None:
    """An old click's conversion must not take the credit of the ad that the user came by since."""
    await here.come("gp_b")
    await here.get("subid=gp_a&status=sale&payout=5&tid=1")
    session = await here.tracker.session(USER, BOT)
    assert session is not None
    assert session.session_id == "gp_b"
    assert await here.recorded() == [("FTD", 5)]
    assert here.recorder.events[0].session_id == "gp_a"


async def test_a_user_who_has_opted_out_is_not_recorded(here: Endpoint) -> None:
    await here.tracker.opt_out(USER)
    for query in ("status=lead", "status=sale&payout=1&tid=1"):
        answer = await here.get(f"subid=gp_a&{query}")
        assert answer == (200, "OK: not recorded: the user has opted out")
    assert await here.recorded() == []


async def test_before_send_has_the_last_word() -> None:
    async with endpoint(tracker={"before_send": lambda _: None}) as here:
        await here.come()
        status, text = await here.get("subid=gp_a&status=lead")
        assert (status, text) == (
            200,
            "OK: not recorded: before_send has dropped it, or makes no event of it",
        )


# Before its user turns up


@pytest.fixture(params=["memory", "sqlite", "redis"])
def any_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    if request.param == "redis":
        url, prefix = map(request.getfixturevalue, ("redis_url", "redis_prefix"))
        # The outbox is gp.sqlite3 where the process is.
        monkeypatch.chdir(tmp_path)
        return lambda _: RedisStore(url, prefix=prefix)

    def make(clock: ManualClock) -> Store:
        if request.param == "memory":
            return MemoryStore(clock=clock)
        return SQLiteStore(tmp_path / "gp.sqlite3", clock=clock)

    return make


async def test_what_is_told_too_early_is_recorded_when_the_user_comes(any_store: Any) -> None:
    clock = ManualClock()
    async with endpoint(any_store(clock), clock=clock) as here:
        told_at = here.now()
        for _ in range(2):
            for query in ("status=lead", "status=sale&payout=5&tid=1"):
                answer = await here.get(f"subid=gp_a&{query}")
                assert answer == (
                    200,
                    "OK: no user has come with this click id yet: kept for 30 days",
                )
                clock.advance(60)
        assert (await here.tracker.stats()).counts["unmatched"] == 4
        assert await here.recorded() == []
        await here.come("gp_b", OTHER)
        assert await here.recorded(OTHER) == []
        await here.come()
        assert await here.recorded() == [("REG", None), ("FTD", 5)]
        first, second = here.recorder.events
        assert first.event_time == told_at
        assert second.event_time == told_at + timedelta(minutes=1)
        assert {first.session_id, second.session_id} == {"gp_a"}
        # Once, whoever else comes and whatever is told again.
        await here.come()
        await here.come(user=OTHER)
        answer = await here.get("subid=gp_a&status=sale&payout=5&tid=1")
        assert answer == (200, "OK: not recorded: it was reported before")
        assert len(await here.recorded()) == 2
        assert await here.recorded(OTHER) == []


async def test_the_ids_of_a_click_bring_what_was_told_of_them(any_store: Any) -> None:
    clock = ManualClock()
    async with endpoint(any_store(clock), clock=clock) as here:
        await here.get("subid=7f3a&status=sale&payout=5&tid=1")
        await here.get("subid=7f3a&status=rejected&tid=1")
        session_id = await here.tracker.register_click(Click(ids={"subid": "7f3a"}))
        await here.tracker.invites.bind("https://t.me/+abc", session_id)
        await here.tracker.capture_invite(USER, "https://t.me/+abc", bot_id=BOT)
        assert await here.tracker.store.profiles.unmatched() == []
        assert (await here.tracker.stats()).counts["tracked"] == 2


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    path, clock = tmp_path / "gp.sqlite3", ManualClock()
    async with endpoint(SQLiteStore(path, clock=clock), clock=clock) as here:
        await here.get("subid=gp_a&status=sale&payout=5&tid=1")
    async with endpoint(SQLiteStore(path, clock=clock), clock=clock) as here:
        await here.come()
        assert await here.recorded() == [("FTD", 5)]


async def test_what_fails_when_the_user_comes_is_recorded_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with endpoint() as here:
        await here.get("subid=gp_a&status=sale&payout=5&tid=1")
        outbox = here.tracker.store.outbox
        with monkeypatch.context() as patch:
            patch.setattr(outbox, "accept", _fail)
            await here.come()  # and the bot goes on
        assert "could not be recorded, trying again later" in caplog.text
        assert await here.recorded() == []
        await here.tracker.prune()
        assert await here.recorded() == [("FTD", 5)]
        assert await here.tracker.store.profiles.unmatched() == []


async def test_a_touch_that_waits_in_the_journal_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with endpoint() as here:
        with monkeypatch.context() as patch:
            patch.setattr(here.tracker.store.sessions, "add", _fail)
            await here.tracker.intake.capture(
                USER, "gp_a", bot_id=BOT, source="start", at=here.now()
            )
            answer = await here.get("subid=gp_a&status=sale&payout=5&tid=1")
            assert answer[1].endswith("kept for 30 days")
        while here.tracker.intake.waiting:
            await asyncio.sleep(0.02)
        assert await here.recorded() == [("FTD", 5)]


async def test_what_nobody_comes_for_is_given_up_and_told(
    any_store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    async with endpoint(any_store(clock), clock=clock, window=timedelta(days=2)) as here:
        assert "kept for 2 days" in (await here.get("subid=gp_a&status=lead"))[1]
        here.clock.advance(timedelta(days=2).total_seconds() - 1)
        assert await here.tracker.prune() == 0
        here.clock.advance(2)
        assert await here.tracker.prune() == 1
        assert "keitaro: no user came with the click of a REG" in caplog.text
        assert (await here.tracker.stats()).counts["unmatched_expired"] == 1
        await here.come()
        assert await here.recorded() == []


async def test_redis_forgets_nothing_that_may_be_counted_yet(
    redis_url: str, redis_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clock, window = ManualClock(time.time()), timedelta(days=365)
    store = RedisStore(redis_url, prefix=redis_prefix)
    async with endpoint(store, clock=clock, window=window) as here:
        await here.get("subid=gp_a&status=sale&payout=5&tid=1")
        (kept,) = await store.profiles.unmatched()
    with redis.Redis.from_url(redis_url) as server:
        left = server.ttl(Keys(redis_prefix).unmatched(kept.key)[0])
    assert timedelta(seconds=left) > window + timedelta(days=7)


async def test_whoever_comes_while_it_is_being_kept_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with endpoint() as here:
        profiles = here.tracker.store.profiles
        keep = profiles.add_unmatched

        async def keep_late(conversion: Any) -> bool:
            await here.come()
            return await keep(conversion)

        monkeypatch.setattr(profiles, "add_unmatched", keep_late)
        answer = await here.get("subid=gp_a&status=sale&payout=5&tid=1")
        assert answer == (200, "OK: FTD 5.00 USD recorded")
        assert await profiles.unmatched() == []


class Forgetful(SessionStore):
    """A session store of somebody's own, which cannot tell who came by a session."""

    async def add(self, session: Any) -> None: ...

    async def history(self, *_: Any, **__: Any) -> list[Any]:
        return []

    async def erase(self, telegram_id: int) -> set[str]:
        return set()

    async def prune(self, *_: Any) -> int:
        return 0


async def test_a_store_that_cannot_find_users_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async with endpoint(Store.of(Forgetful(), MemoryStore())):
        assert "lacks touches_of or add_unmatched" in caplog.text


async def test_a_store_that_keeps_nothing_makes_it_a_404(monkeypatch: pytest.MonkeyPatch) -> None:
    async with endpoint() as here:
        monkeypatch.setattr(here.tracker.store.profiles, "add_unmatched", _no)
        answer = await here.get("subid=gp_a&status=lead")
        assert answer == (404, "no user has come with this click id, and none can be kept")


async def _no(_: Any) -> bool:
    return False


async def _fail(*_: Any, **__: Any) -> Any:
    msg = "the disk is full"
    raise StoreError(msg)


# Refusals


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("status=sale", "the click id is missing or empty: the network must send it as subid or"),
        ("subid=&status=sale", "the click id is missing or empty"),
        ("subid=null&status=sale", "the click id is missing or empty"),
        ("subid={subid}&status=sale", "subid={subid} is a macro that the network did not replace"),
        ("subid=%7Bsubid%7D", "subid={subid} is a macro that the network did not replace"),
        ("subid=%257Bsubid%257D", "subid=%7Bsubid%7D is a macro"),
        ("subid=[[click_id]]", "subid=[[click_id]] is a macro"),
        ("subid=[CLICK_ID]", "subid=[CLICK_ID] is a macro"),
        ("subid=__CLICKID__", "subid=__CLICKID__ is a macro"),
        ("subid={{fbclid}}", "subid={{fbclid}} is a macro"),
        ("subid=%%CLICKID%%", "subid=%%CLICKID%% is a macro"),
        ("subid=kt-null", "subid holds a text of 7 characters, which is no click id"),
        ("subid=a+b", "subid holds a text of 3 characters, which is no click id"),
        (f"subid={'a' * 1001}", "subid holds a text of 1001 characters, which is no click id"),
        (
            "subid=gp_a&status=paid",
            "status='paid' is no status that is known here: lead, rebill, rejected, sale, or decl",
        ),
        ("subid=gp_a&status={status}", "status={status} is a macro"),
        ("subid=gp_a&status=sale&tid={tid}", "tid={tid} is a macro"),
        ("subid=gp_a&status=sale&payout={payout}", "payout={payout} is a macro"),
        ("subid=gp_a&status=sale&payout=1&currency={currency}", "currency={currency} is a macro"),
        ("subid=gp_a&status=sale&payout=ten", "payout must be a number such as 12.50, not a text"),
        ("subid=gp_a&status=sale&payout=1,5", "payout must be a number such as 12.50"),
        ("subid=gp_a&status=sale&payout=inf", "payout must be a number such as 12.50"),
        ("subid=gp_a&status=sale&payout=-5", "payout is negative: what is taken back is told by"),
        (
            "subid=gp_a&status=sale&payout=5&currency=XYZ",
            "currency must be a three-letter ISO 4217 code",
        ),
        (
            "subid=gp_a&status=sale&payout=5&currency=USDT",
            "currency must be a three-letter ISO 4217 code",
        ),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
async def test_a_refusal_says_what_to_change(query: str, reason: str, *, is_known: bool) -> None:
    async with endpoint() as here:
        if is_known:
            await here.come()
        status, text = await here.get(query)
        assert (status, text[: len(reason)]) == (400, reason)
        assert await here.recorded() == []
        assert await here.tracker.store.profiles.unmatched() == []
        assert (await here.tracker.stats()).counts["postbacks_refused"] == 1


async def test_a_deposit_without_a_sum_may_be_refused() -> None:
    async with endpoint(network=replace(KEITARO, default_amount=None)) as here:
        await here.come()
        answer = await here.get("subid=gp_a&status=sale")
        assert answer == (
            400,
            "deposit needs an amount: the network must send it as payout",
        )
        assert (await here.get("subid=gp_a&status=lead"))[0] == 200


async def test_a_sum_of_ones_own_stands_in_for_a_missing_one() -> None:
    network = replace(KEITARO, default_amount="35", default_currency="eur")
    async with endpoint(network=network) as here:
        await here.come()
        answer = await here.get("subid=gp_a&status=sale")
        assert answer == (200, "OK: FTD 35.00 EUR recorded")


async def test_a_store_that_is_away_has_the_network_try_again(
    here: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    query = "subid=gp_a&status=sale&payout=5&tid=1"
    with monkeypatch.context() as patch:
        patch.setattr(here.tracker.store.outbox, "accept", _fail)
        status, text, headers = await here.ask("GET", query)
    assert (status, headers["Retry-After"]) == (503, "60")
    assert text == "the postback could not be recorded for the moment: send it again"
    assert "the disk is full" in caplog.text
    assert (await here.tracker.stats()).counts["postback_errors"] == 1
    assert await here.get(query) == (200, "OK: FTD 5.00 USD recorded")


async def test_it_is_on_disk_when_it_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "gp.sqlite3"
    async with endpoint(SQLiteStore(path)) as here:
        await here.come()
        assert (await here.get("subid=gp_a&status=sale&payout=5&tid=1"))[0] == 200
        # Another process reads the file, as it would after a crash of this one.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            (body,) = connection.execute("SELECT body FROM event").fetchone()
        assert json.loads(body)["name"] == "FTD"


# Keys, addresses, limits


async def test_a_wrong_key_opens_nothing(here: Endpoint) -> None:
    for key in ("wrong", KEY[:-1], KEY.lower(), f"{KEY}x", "%00", "%C3%A9"):
        answer = await here.get("subid=gp_a&status=sale&payout=5", key)
        assert answer == (403, "the key in the address is wrong")
    assert await here.recorded() == []


async def test_each_of_several_keys_opens() -> None:
    async with endpoint(key=[KEY, OTHER_KEY]) as here:
        await here.come()
        for tid, key in enumerate((KEY, OTHER_KEY)):
            assert (await here.get(f"subid=gp_a&payout=5&tid={tid}", key))[0] == 200
        # It is one network all the same.
        assert (await here.get("subid=gp_a&payout=5&tid=1", KEY))[1].endswith("reported before")


async def test_each_network_has_its_own_form_behind_its_key() -> None:
    async with endpoint(key={KEY: KEITARO, OTHER_KEY: KUKURUKU}) as here:
        await here.come()
        assert (await here.get("subid=gp_a&status=lead"))[0] == 200
        assert (await here.get("subid=gp_a&status=lead", OTHER_KEY))[0] == 400
        assert (await here.get("click_id=gp_a&goal_alias=ftd", OTHER_KEY))[0] == 200


async def test_guesses_are_slowed_down_and_the_right_key_is_not(here: Endpoint) -> None:
    for _ in range(60):
        assert (await here.get("", "wrong"))[0] == 403
    status, text, headers = await here.ask("GET", "", "wrong")
    assert (status, text, headers["Retry-After"]) == (429, "too many wrong keys", "1")
    assert (await here.get("subid=gp_a&status=lead"))[0] == 200


async def test_a_flood_of_one_network_is_told_to_come_again() -> None:
    keys = {KEY: KEITARO, OTHER_KEY: KUKURUKU}
    async with endpoint(key=keys, per_minute=2) as here:
        await here.come()
        for tid in (1, 2):
            assert (await here.get(f"subid=gp_a&payout=5&tid={tid}"))[0] == 200
        status, _, headers = await here.ask("GET", "subid=gp_a&payout=5&tid=3")
        assert (status, headers["Retry-After"]) == (429, "30")
        assert (await here.get("click_id=gp_a&goal_alias=ftd", OTHER_KEY))[0] == 200
        here.clock.advance(30)
        assert (await here.get("subid=gp_a&payout=5&tid=3"))[0] == 200


async def test_only_the_sources_that_are_named_are_let_in() -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    async with endpoint(sources=["203.0.113.0/24"], trusted_proxies=["127.0.0.1"]) as here:
        await here.come()
        assert (await here.get("subid=gp_a&status=lead", headers=forwarded))[0] == 200
        stranger = {"X-Forwarded-For": "198.51.100.1"}
        for headers in (stranger, {}):
            answer = await here.get("subid=gp_a&payout=5", headers=headers)
            assert answer == (403, "this address is not among the sources of postbacks")
        # Whether the key is right makes no difference.
        assert (await here.get("", "wrong", headers=stranger))[1] == answer[1]
    async with endpoint(sources=["203.0.113.0/24"]) as here:  # nobody trusts this proxy
        assert (await here.get("subid=gp_a", headers=forwarded))[0] == 403


async def test_a_head_request_records_nothing(here: Endpoint) -> None:
    status, _, _ = await here.ask("HEAD", "subid=gp_a&status=lead")
    assert status == 405
    assert await here.recorded() == []


async def test_no_log_shows_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with endpoint(
        key=[KEY, OTHER_KEY], access_log=logging.getLogger("aiohttp.access")
    ) as here:
        await here.come()
        for key in (KEY, OTHER_KEY):
            await here.get("subid=gp_a&status=lead", key)
            await here.get("subid={subid}", key)
            await here.ask("HEAD", "", key)
        # What aiohttp cannot read, it quotes.
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(here.url).port)
        writer.write(f"GET /postback/{KEY}?subid=é HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert "InvalidURLError" in caplog.text
    lines = [record for record in caplog.records if record.name == "aiohttp.access"]
    assert len(lines) == 7
    for record in caplog.records:
        shown = f"{logging.Formatter().format(record)} {vars(record)}"
        assert KEY not in shown
        assert OTHER_KEY not in shown
    assert "GET /postback/***?subid=gp_a&status=lead HTTP/1.1" in caplog.text
    # The endpoint takes its mask along.
    assert logging.getLogger("aiohttp.access").filters == []


async def test_refusals_are_logged_without_what_may_be_personal(
    here: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    for query in ("subid=jo hn@example.com", "subid=gp_a&status=jane@example.com"):
        assert (await here.get(query.replace(" ", "+")))[0] == 400
    assert "a postback of keitaro is refused (400): " in caplog.text
    assert "example.com" not in caplog.text


async def test_it_mounts_under_any_path() -> None:
    async with endpoint() as here:
        app = web.Application()
        Postbacks(here.tracker, key=KEY).setup(app, "/ads/")
        assert {route.resource.canonical for route in app.router.routes() if route.resource} == {
            "/ads/postback/{key}"
        }


# What cannot work is refused at once


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"key": "short"}, r"key=\.\.\.\) must have 16 to 200 letters"),
        ({"key": "with a blank in the key"}, r"must have 16 to 200 letters"),
        ({"key": ["0123456789abcdef", 7]}, r"must have 16 to 200 letters"),
        ({"key": []}, r"needs a key"),
        ({"key": None}, r"needs a key"),
        ({"key": {KEY: "keitaro"}}, r"network=\.\.\.\) must be a Network such as KEITARO"),
        ({"key": KEY, "network": None}, r"must be a Network such as KEITARO"),
        (
            {"key": {KEY: KEITARO, OTHER_KEY: replace(KUKURUKU, name="keitaro")}},
            r"two networks are named keitaro",
        ),
        ({"key": KEY, "window": 30}, r"window=\.\.\.\) must be a positive timedelta"),
        ({"key": KEY, "window": timedelta(0)}, r"window=\.\.\.\) must be a positive timedelta"),
        ({"key": KEY, "sources": "1.2.3.4"}, r"sources=\.\.\.\) must be a list of networks"),
        ({"key": KEY, "sources": ["casino.example"]}, r"sources=\.\.\.\) must hold addresses"),
        ({"key": KEY, "per_minute": 0}, r"per_minute=\.\.\.\) must be a positive number"),
    ],
)
async def test_arguments_that_cannot_work(arguments: dict[str, Any], reason: str) -> None:
    async with endpoint() as here:
        with pytest.raises(ConfigurationError, match=reason) as caught:
            Postbacks(here.tracker, **arguments)
        assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "a b"}, r"name=\.\.\.\) must be a name"),
        ({"click_id": "subid"}, r"click_id=\.\.\.\) must be a list of names"),
        ({"click_id": []}, r"click_id=\.\.\.\) must be at least one parameter"),
        ({"amount": ["a b"]}, r"amount=\.\.\.\) must be names such as"),
        ({"statuses": {}}, r"statuses=\.\.\.\) must be at least one word"),
        ({"statuses": ["sale"]}, r"statuses=\.\.\.\) must be a mapping"),
        ({"statuses": {"sale": ""}, "declared": {}}, r"an event of Network\(statuses=\.\.\.\)"),
        ({"default_status": "other"}, r"must be words of statuses, not 'other'"),
        ({"declared": {"x_status": "other"}}, r"must be words of statuses, not 'other'"),
        ({"approvals": {"ok": "yes"}}, r"approvals=\.\.\.\) must be 'approved', 'rejected' or"),
        ({"default_amount": "ten"}, r"default_amount=\.\.\.\) must be a number"),
        ({"default_amount": -1}, r"default_amount=\.\.\.\) is negative"),
        ({"default_currency": "XYZ"}, r"default_currency=\.\.\.\) must be an ISO 4217 code"),
    ],
)
def test_networks_that_make_no_sense(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        replace(KEITARO, **changes)
