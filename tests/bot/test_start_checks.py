"""Each mistake that a bot can be told of at its start, and the line that it gets."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Collection
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from aiogram import Dispatcher, F, Router
from aiogram.filters import Command, CommandStart
from aiogram.types import TelegramObject

from fixtures.recorder import Recorder
from gp_aiogram import (
    ConfigurationError,
    Destination,
    GramPixel,
    MemoryStore,
    MetaCAPI,
    TikTokEvents,
    Tracker,
    track,
)
from gp_aiogram.bot.spelling import meant_name

Lines = Callable[[], list[str]]
Decorator = Callable[[Any], Any]


def nobody(request: httpx.Request) -> httpx.Response:
    raise AssertionError(request.url)


TRANSPORT = httpx.MockTransport(nobody)
WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"


def meta(**settings: Any) -> MetaCAPI:
    return MetaCAPI("1", "token", transport=TRANSPORT, **settings)


def tiktok(**settings: Any) -> TikTokEvents:
    return TikTokEvents("C4ABC", "token", transport=TRANSPORT, **settings)


def grampixel(**settings: Any) -> GramPixel:
    return GramPixel("key", WORKSPACE, transport=TRANSPORT, **settings)


def marked(*decorators: Decorator) -> Any:
    async def handler(event: TelegramObject) -> None: ...

    for decorator in reversed(decorators):
        handler = decorator(handler)
    return handler


async def start(
    *decorators: Decorator,
    kind: str = "message",
    filters: Collection[Any] = (),
    destinations: Collection[Destination] = (),
    auto: Collection[str] = (),
) -> None:
    """Start and stop a bot that has one handler."""
    tracker = Tracker([*destinations] or [Recorder()], store=MemoryStore(), auto=auto)
    dp = Dispatcher()
    tracker.setup(dp)
    if decorators:
        dp.observers[kind].register(marked(*decorators), *filters)
    try:
        await dp.emit_startup()
    finally:
        await dp.emit_shutdown()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """What was said that needs a look."""
    caplog.set_level(logging.INFO)
    return lambda: [each.getMessage() for each in caplog.records if each.levelno > logging.INFO]


HANDLER = "on test_start_checks.marked.<locals>.handler"
ONE_FOR_ALL = "this constant lets one event through for all users together; once='user' lets one"


@pytest.mark.parametrize(
    ("decorator", "says"),
    [
        (track("FTD", value="much"), f"@track('FTD', value='much') {HANDLER}: value"),
        (track("FTD", value=-5), f"@track('FTD', value=-5) {HANDLER}: value"),
        (track("FTD", value="much", currency="XTR"), f"@track('FTD', value='much') {HANDLER}: "),
        (track.deposit(value=[5]), f"@track.deposit(value=[5]) {HANDLER}: value"),
        (track("FTD", value=5, currency="EURO"), f"@track('FTD', currency='EURO') {HANDLER}: "),
        (track("REG", to="metta"), "to= names no destination: 'metta'; there are recorder"),
        (track("REG", to=["recorder", "x"]), "to= names no destination: 'x'; there are recorder"),
        (track("REG", to=[]), "to= names no destination, so nothing would get there"),
        (track("REG", to=5), "to= must name destinations, not 5; there are recorder"),
        (track("REG", once="users"), f"@track('REG', once='users') {HANDLER}: {ONE_FOR_ALL}"),
        (track("REG", once=5), f"@track('REG', once=5) {HANDLER}: {ONE_FOR_ALL}"),
        (track("REG", once=True), "once must be 'user' or a key such as an order's id"),
        (track.deposit(value=5, once="user"), "once='user' would let one deposit through"),
        (track("REG", user_data="text"), "user_data must be a mapping"),
        (track("REG", session_id=5), "session_id must be a text of 1 to 128 characters"),
        (track("R" * 101), f"{HANDLER}: name must be a text of 1 to 100 characters"),
        (track(5), f"@track(5) {HANDLER}: name must be a text"),  # type: ignore[arg-type]
        (track.deposit(value=5, ftd_within=3), "ftd_within must be a positive timedelta, not 3"),
    ],
)
async def test_a_constant_that_can_make_no_event_is_refused(
    decorator: Decorator, says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await start(decorator)
    assert says in str(caught.value)
    assert HANDLER in str(caught.value)


@pytest.mark.parametrize(
    "decorator",
    [
        track("FTD", value="12.50", currency="EUR", to="recorder", once="user"),
        track("FTD", value=5, once=F.text),
        track("FTD", value=F.text, once=lambda: "o1", to=F.text),
        track("REG", user_data={"plan": F.text}, session_id="gp_a"),
        track("FTD", value=3, currency="XTR"),
        track.deposit(value=5, ftd_within=timedelta(days=3)),
    ],
)
async def test_what_makes_sense_may_start(decorator: Decorator, lines: Lines) -> None:
    await start(decorator)
    assert lines() == []


@pytest.mark.parametrize("kind", ["callback_query", "chat_join_request", "poll_answer"])
@pytest.mark.parametrize(
    ("decorator", "names"),
    [
        (track("FTD", currency="USD"), "@track('FTD')"),
        (track("DEP"), "@track('DEP')"),
        (track("Purchase", once="user"), "@track('Purchase')"),
        (track.deposit(), "@track.deposit()"),
    ],
)
async def test_an_amount_is_needed_where_no_payment_brings_one(
    decorator: Decorator, names: str, kind: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await start(decorator, kind=kind)
    assert f"{names} {HANDLER}: " in str(caught.value)
    says = f"needs a value, which only a payment brings along; a {kind} is none, so give it value="
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "filters", [[Command("buy")], [CommandStart()], [F.text], [F.text == "Buy"]], ids=str
)
async def test_a_text_is_no_payment(filters: list[Any], lines: Lines) -> None:
    await start(track("Purchase"), filters=filters)
    (line,) = lines()
    assert line == (
        f"@track('Purchase') {HANDLER}: Purchase needs a value, which only a payment brings "
        "along; a text is none, so give it value=..."
    )


@pytest.mark.parametrize(
    "filters",
    [
        [],
        [F.successful_payment],
        [F.text.is_(None)],
        [F.text | F.successful_payment],
        [~F.text],
        [lambda message: True],
    ],
    ids=str,
)
async def test_what_may_be_a_payment_is_no_mistake(filters: list[Any], lines: Lines) -> None:
    await start(track("Purchase"), filters=filters)
    assert lines() == []


@pytest.mark.parametrize("kind", ["message", "pre_checkout_query", "chat_member"])
async def test_payments_and_paid_joins_bring_their_amount(kind: str, lines: Lines) -> None:
    await start(track("Purchase"), kind=kind)
    assert lines() == []


@pytest.mark.parametrize("value", [0, "0.00", Decimal(0)])
async def test_a_first_deposit_of_nothing_is_reported(value: object, lines: Lines) -> None:
    await start(track("FTD", value=value))
    (line,) = lines()
    assert line.startswith(f"@track('FTD', value={value!r}) {HANDLER}: ad platforms learn")


# Twice the same


@pytest.mark.parametrize(
    ("decorators", "says"),
    [
        (
            [track("FTD", once="user"), track("Purchase")],
            (
                f"FTD and Purchase {HANDLER} are one Purchase to meta and one CompletePayment to "
                "tiktok: each counts twice; use @track.deposit"
            ),
        ),
        (
            [track("Purchase", to="meta"), track.deposit()],
            (
                f"Purchase and @track.deposit {HANDLER} are one Purchase to meta: each counts "
                "twice; use @track.deposit"
            ),
        ),
        (
            [track("INSTALL"), track("AppInstall")],
            f"INSTALL and AppInstall {HANDLER} are one AppInstall to meta: each counts twice",
        ),
    ],
)
async def test_two_decorators_that_are_one_event_to_a_platform(
    decorators: list[Decorator], says: str, lines: Lines
) -> None:
    await start(*decorators, destinations=[meta(), tiktok(), grampixel()])
    assert lines() == [says]


@pytest.mark.parametrize(
    ("decorators", "destinations"),
    [
        ([track("FTD"), track("Purchase")], [grampixel()]),
        ([track("FTD", to="meta"), track("Purchase", to="grampixel")], [meta(), grampixel()]),
        ([track("FTD"), track("REG")], [meta(), tiktok()]),
        ([track("FTD"), track("Purchase")], [meta(only={"FTD"}), grampixel()]),
        # One of them at a time.
        ([track("FTD", when=F.text), track("DEP", when=~F.text)], [meta()]),
        ([track("FTD"), track("Purchase")], [meta(event_names={"FTD": "FirstDeposit"})]),
    ],
)
async def test_two_decorators_may_be_two_events(
    decorators: list[Decorator], destinations: list[Destination], lines: Lines
) -> None:
    await start(*decorators, destinations=destinations)
    assert lines() == []


async def test_a_decorator_and_auto_that_are_one_lead(lines: Lines) -> None:
    await start(
        track("Lead"), kind="chat_member", destinations=[meta(), grampixel()], auto={"Subscribe"}
    )
    assert lines() == [
        (
            f"@track('Lead') {HANDLER} and auto's Subscribe are one Lead to meta: each counts "
            "twice; leave one of them out"
        )
    ]


@pytest.mark.parametrize("name", ["Subscribe", "JoinRequest", "Member"])
async def test_what_auto_knows_to_be_its_own_is_no_mistake(name: str, lines: Lines) -> None:
    await start(track(name), kind="chat_member", destinations=[meta()], auto={"Subscribe"})
    assert lines() == []


# Names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Puchase", "Purchase"),
        ("purchase", "Purchase"),
        ("Purchasse", "Purchase"),
        ("Purchese", "Purchase"),
        ("Purhcase", "Purchase"),
        ("ftd", "FTD"),
        ("FDT", "FTD"),
        ("subscribe", "Subscribe"),
        ("Join_Request", "JoinRequest"),
        ("refund", "Refund"),
        ("FTD", None),
        ("FTD2", None),
        ("FTP", None),
        ("Purchase2", None),
        ("Lead", None),
        ("Registration", None),
        ("Subscription", None),
    ],
)
def test_which_standard_event_was_meant(name: str, meant: str | None) -> None:
    assert meant_name(name) == meant


async def test_a_name_one_letter_away_from_a_standard_one(lines: Lines) -> None:
    await start(track("Puchase", value=5))
    assert lines() == [
        (
            f"@track('Puchase') {HANDLER}: to platforms 'Puchase' is an event of your own; is "
            "'Purchase' meant?"
        )
    ]


@pytest.mark.parametrize("make", [meta, tiktok, grampixel])
async def test_a_misspelt_name_in_event_names(
    make: Callable[..., Destination], lines: Lines
) -> None:
    destination = make(event_names={"FDT": "FirstDeposit", "DEP": "Deposit"})
    await start(destinations=[destination])
    assert lines() == [f"{destination.name}: event_names=... names 'FDT'; is 'FTD' meant?"]


async def test_only_that_matches_nothing(lines: Lines) -> None:
    await start(track("Club"), destinations=[meta(only={"Klub"})])
    assert lines() == ["meta: only=... names Klub, and no decorator or auto records such an event"]


async def test_only_with_a_misspelt_name(lines: Lines) -> None:
    await start(destinations=[meta(only={"REG", "Puchase"})])
    assert lines() == ["meta: only=... names 'Puchase'; is 'Purchase' meant?"]


@pytest.mark.parametrize("only", [{"FTD"}, {"Club"}, {"Start"}, {"Refund", "Klub"}])
async def test_only_that_may_match(only: set[str], lines: Lines) -> None:
    await start(track("Club"), destinations=[meta(only=only)], auto={"Start"})
    assert lines() == []


# The rest of the bot


async def test_a_router_is_no_dispatcher() -> None:
    tracker = Tracker([Recorder()], store=MemoryStore())
    with pytest.raises(
        ConfigurationError, match=r"wants the Dispatcher, not <Router .*tracker\.s"
    ):
        tracker.setup(Router())  # type: ignore[arg-type]


async def test_events_that_wait_for_a_destination_that_is_gone(lines: Lines) -> None:
    store = MemoryStore()
    former = Tracker([Recorder("former")], store=store)
    await former.track("REG", telegram_id=7, bot_id=42)
    tracker, dp = Tracker([Recorder()], store=store), Dispatcher()
    tracker.setup(dp)
    await dp.emit_startup()
    await dp.emit_shutdown()
    assert lines()[-1] == (
        "1 events wait in the store for 'former', which is no destination of this tracker: there "
        "are recorder. A destination with name='former' gets them"
    )


async def test_a_store_that_does_not_tell_is_no_reason_not_to_start(
    monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    async def counts() -> None:
        raise ConnectionError

    store = MemoryStore()
    monkeypatch.setattr(store.outbox, "counts", counts)
    tracker, dp = Tracker([Recorder()], store=store), Dispatcher()
    tracker.setup(dp)
    await dp.emit_startup()
    await dp.emit_shutdown()
    assert lines() == []


class Links:
    """The part of a bot that makes invite links."""

    async def create_chat_invite_link(self, chat_id: int | str, **terms: Any) -> Any:
        return type("Link", (), {"invite_link": "https://t.me/+a"})

    create_chat_subscription_invite_link = create_chat_invite_link


@pytest.mark.parametrize(
    ("terms", "kind", "auto"),
    [
        ({}, "chat_member", "Subscribe"),
        ({"subscription_price": 50}, "chat_member", "Subscribe"),
        ({"join_request": True}, "chat_join_request", "JoinRequest"),
    ],
)
async def test_links_without_the_updates_that_tell_who_came(
    terms: dict[str, Any], kind: str, auto: str, lines: Lines
) -> None:
    for told in ((), (auto,)):
        tracker, dp = Tracker([Recorder()], store=MemoryStore(), auto=told), Dispatcher()
        tracker.setup(dp)
        dp.message.register(marked())
        await dp.emit_startup()
        for _ in range(2):
            await tracker.invites.create(Links(), -1001, "gp_a", **terms)  # type: ignore[arg-type]
        await dp.emit_shutdown()
    (line,) = lines()
    assert f"the bot asks Telegram for no {kind} updates" in line
    assert f"Tracker(auto={{'{auto}'}})" in line


# At the end of the program

PROGRAM = """
import logging
logging.basicConfig()
from aiogram import Dispatcher, Router
from gp_aiogram import MemoryStore, Tracker, track

router = Router()

@router.message()
@track("REG")
async def never_heard(message): ...

tracker = Tracker([], store=MemoryStore())
dp = Dispatcher()
"""


@pytest.mark.parametrize(("ending", "is_told"), [("", True), ("tracker.setup(dp)", False)])
def test_decorators_that_no_dispatcher_has_heard_of(ending: str, *, is_told: bool) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM + ending], capture_output=True, text=True, check=True
    )
    says = (
        "no dispatcher of this process emitted what @track marks on __main__.never_heard: call "
        "tracker.setup(dp)"
    )
    assert (says in run.stderr) == is_told
