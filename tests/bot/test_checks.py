"""What a bot is told of its decorators when it starts: some are refused, some reported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import httpx
import pytest
from aiogram import Dispatcher, F, Router
from aiogram.types import Message

from gp_aiogram import (
    ConfigurationError,
    Destination,
    Event,
    GramPixel,
    LeadSail,
    MemoryStore,
    Stars,
    TikTokEvents,
    Tracker,
    track,
)

#: Georgian lari, which TikTok does not take.
LARI = "GEL"

Decorator = Callable[..., Any]


def nobody(request: httpx.Request) -> httpx.Response:
    raise AssertionError(request.url)


TRANSPORT = httpx.MockTransport(nobody)
WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"


def grampixel() -> GramPixel:
    return GramPixel("key", WORKSPACE, transport=TRANSPORT)


def tiktok(only: set[str] | None = None, **settings: Any) -> TikTokEvents:
    destination = TikTokEvents("C4ABC", "token", transport=TRANSPORT, **settings)
    destination.only = only
    return destination


def handling(decorator: Decorator) -> Any:
    @decorator
    async def bought(message: Message) -> None: ...

    return bought


async def start(
    decorator: Decorator,
    *destinations: Destination,
    stars: Stars | None = Stars(),  # noqa: B008 - immutable
) -> None:
    """Start and stop a bot that has one handler, in a router."""
    tracker = Tracker(destinations or [tiktok()], store=MemoryStore(), stars=stars)
    dp, router = Dispatcher(), Router()
    tracker.setup(dp)
    router.message.register(handling(decorator))
    dp.include_router(router)
    try:
        await dp.emit_startup()
    finally:
        await dp.emit_shutdown()


async def refusal(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        await start(*args, **kwargs)
    return str(caught.value)


async def test_a_refusal_names_the_handler_the_destination_and_the_remedy() -> None:
    said = await refusal(track("Purchase", value=5, currency=LARI), grampixel(), tiktok())
    assert "@track('Purchase', currency='GEL') on test_checks.handling.<locals>.bought" in said
    assert "tiktok does not take GEL" in said
    assert "rates={'GEL': ('USD', Decimal(...))}" in said
    assert "to=" in said


@pytest.mark.parametrize(
    ("decorator", "destination"),
    [
        (track("Purchase", value=5, currency=" gel "), tiktok()),
        (track("REG", currency=LARI), tiktok()),
        (track.deposit(value=F.text, currency=LARI), tiktok()),
        (track.deposit(value=5, currency=LARI), tiktok(only={"FTD"})),
        (track.deposit(value=5, currency=LARI), tiktok(only={"DEP"})),
        (track("FTD", value=5, currency=LARI, to="tiktok"), tiktok()),
        (track("FTD", value=5, currency=LARI, to=["tiktok"]), tiktok()),
        # Named, it gets the event whether it wants such or not.
        (track("FTD", value=5, currency=LARI, to={"tiktok"}), tiktok(only={"REG"})),
        (track("FTD", value=5, currency=LARI, when=lambda: False), tiktok()),
        (track("FTD", value=5, currency=LARI), LeadSail("key", "pixel", "tiktok")),
        (track("Refund", value=5, currency=LARI), tiktok(event_names={"Refund": "CustomEvent"})),
    ],
)
async def test_a_currency_that_a_destination_does_not_take_is_refused(
    decorator: Decorator, destination: Destination
) -> None:
    said = await refusal(decorator, destination)
    assert f"{destination.name} does not take " in said


@pytest.mark.parametrize(
    ("decorator", "destinations"),
    [
        (track("FTD", value=5, currency="EUR"), [tiktok()]),
        (track("FTD", value=5, currency=LARI), [grampixel()]),
        (track("FTD", value=5, currency=LARI), [tiktok(rates={LARI: ("USD", Decimal("0.37"))})]),
        (track("FTD", value=5, currency=LARI, to="grampixel"), [tiktok(), grampixel()]),
        (track("FTD", value=5, currency=LARI, to=["grampixel"]), [tiktok(), grampixel()]),
        # One name is a part of the other.
        (
            track("FTD", value=5, currency=LARI, to="tiktok-eu"),
            [tiktok(), tiktok(name="tiktok-eu", rates={LARI: ("USD", Decimal("0.37"))})],
        ),
        # Such events do not go there.
        (track("FTD", value=5, currency=LARI), [tiktok(only={"REG"})]),
        (track.deposit(value=5, currency=LARI), [tiktok(only={"REG"})]),
        (track("Refund", value=5, currency=LARI), [tiktok()]),
        # Known only when it happens.
        (track("FTD", value=5, currency=F.text), [tiktok()]),
        (track("FTD", value=5, currency=lambda: LARI), [tiktok()]),
        (track("FTD", value=5, currency=LARI, to=F.text), [tiktok()]),
        (track("FTD", value=5, currency=LARI, to=lambda: "grampixel"), [tiktok(), grampixel()]),
        (track("FTD", value=5), [tiktok()]),
        (track("REG"), [tiktok()]),
        (track("FTD", value=5, currency="XTR"), [tiktok()]),
        (track("FTD", value=5, currency="xtr"), [tiktok(), grampixel()]),
    ],
)
async def test_all_else_may_start(
    decorator: Decorator, destinations: Sequence[Destination], caplog: pytest.LogCaptureFixture
) -> None:
    await start(decorator, *destinations)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize("currency", ["XYZ", "EURO", "", "$", "XXX"])
async def test_a_currency_that_does_not_exist_is_refused(currency: str) -> None:
    said = await refusal(track("FTD", value=5, currency=currency), grampixel())
    assert said.startswith(f"@track('FTD', currency={currency!r}) on test_checks.handling")


async def test_stars_are_refused_where_they_are_not_converted() -> None:
    said = await refusal(track("FTD", value=5, currency="XTR"), grampixel(), stars=None)
    assert "@track('FTD', currency='XTR') on test_checks.handling" in said


def test_stars_are_not_converted_to_what_a_destination_does_not_take() -> None:
    stars = Stars(rate=Decimal("0.035"), currency=LARI)
    with pytest.raises(ConfigurationError, match="tiktok does not take GEL, which stars are"):
        Tracker([grampixel(), tiktok()], store=MemoryStore(), stars=stars)
    Tracker([grampixel()], store=MemoryStore(), stars=stars)
    rated = tiktok(rates={LARI: ("USD", Decimal("0.37"))})
    Tracker([rated], store=MemoryStore(), stars=stars)


class Picky(Destination):
    """A destination of a user's own, which takes dollars and decides itself what it wants."""

    name = "picky"

    def accepts(self, event: Event) -> bool:
        return event.name.startswith("Club")

    def knows_currency(self, currency: str) -> bool:
        return currency == "USD"

    async def send(self, events: Sequence[Event]) -> None: ...


async def test_destinations_of_ones_own_are_asked() -> None:
    said = await refusal(track("Club joined", value=5, currency="EUR"), Picky())
    assert "picky does not take EUR" in said
    await start(track("Club joined", value=5, currency="USD"), Picky())
    await start(track("Other", value=5, currency="EUR"), Picky())


class Undecided(Picky):
    """Fails to say what it wants; such a destination gets every event."""

    def accepts(self, event: Event) -> bool:
        raise ZeroDivisionError(event.name)


async def test_a_destination_that_fails_to_answer_is_taken_to_get_the_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = await refusal(track("Club joined", value=5, currency="EUR"), Undecided())
    assert "picky does not take EUR" in said
    assert "picky: accepts() failed for Club joined" in caplog.text
    await start(track("Club joined", value=5, currency="USD"), Undecided())


async def test_every_decorator_of_every_router_is_looked_at() -> None:
    tracker, dp = Tracker([tiktok()], store=MemoryStore()), Dispatcher()
    tracker.setup(dp)
    outer, inner = Router(), Router()
    dp.include_router(outer)
    outer.include_router(inner)
    fine, wrong = track("REG"), track("FTD", value=5, currency=LARI)
    inner.callback_query.register(handling(lambda handler: fine(wrong(fine(handler)))))
    with pytest.raises(ConfigurationError, match="tiktok does not take GEL"):
        await dp.emit_startup()


async def test_a_decorator_in_the_wrong_place_is_still_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker, dp = Tracker([tiktok()], store=MemoryStore()), Dispatcher()
    tracker.setup(dp)

    @track("FTD", value=5, currency=LARI)
    @dp.message()
    async def too_high(message: Message) -> None: ...

    await dp.emit_startup()
    await dp.emit_shutdown()
    assert "@track('FTD') on" in caplog.text
    assert "too_high does nothing: put it below the router's decorator" in caplog.text
