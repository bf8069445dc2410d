"""What a tracker tells an operator, and what it says of mistakes in its own arguments."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fixtures.recorder import Recorder
from gp_aiogram import ConfigurationError, GramPixel, MemoryStore, Tracker

WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"


def told(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and record.name == "gp_aiogram"
    ]


async def test_what_works_is_told_at_info(
    caplog: pytest.LogCaptureFixture, recorder: Recorder
) -> None:
    caplog.set_level(logging.INFO)
    async with Tracker([recorder], store=MemoryStore(), auto={"Purchase"}) as tracker:
        await tracker.start()
        await tracker.capture(7, "gp_a", bot_id=42)
        data = {"email": "ada@example.org"}
        await tracker.track("FTD", telegram_id=7, value=5, currency="EUR", user_data=data)
    assert told(caplog, logging.INFO) == [
        (
            "started: destinations recorder; store MemoryStore(MemoryOutbox, MemoryProfiles, "
            "MemorySessions); window 30 days, 0:00:00, last touch; auto Purchase"
        ),
        "captured session gp_a of user 7 (manual)",
        "recorded FTD 5.00 EUR of user 7, session gp_a, for recorder",
    ]
    assert "ada" not in caplog.text


async def test_a_payload_that_is_no_session_is_told_at_debug(
    caplog: pytest.LogCaptureFixture, tracker: Tracker
) -> None:
    caplog.set_level(logging.DEBUG)
    assert await tracker.capture(7, "ref_42") is None
    assert told(caplog, logging.DEBUG) == [
        "the payload of user 7 holds no session: it is not ours"
    ]


async def test_who_ignores_traits_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tracker = Tracker([GramPixel("key", WORKSPACE)], store=MemoryStore())
    for _ in range(2):
        usable = await tracker.identify(7, email="ada@example.org", birthday="never")
        assert usable == {"email"}
    assert told(caplog, logging.INFO) == [
        "user 7: no platform can use birthday",
        "identify() does nothing for grampixel: it knows people by itself",
        "user 7: no platform can use birthday",
    ]


async def test_a_tracker_without_destinations_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async with Tracker([], store=MemoryStore()):
        pass
    assert "there is no destination: events are stored, and go nowhere" in told(
        caplog, logging.WARNING
    )


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"destinations": GramPixel("key", WORKSPACE)}, r"write Tracker\(\[GramPixel\(...\)\]\)"),
        ({"destinations": "grampixel"}, "takes a list of destinations, not 'grampixel'"),
        (
            {"destinations": ["grampixel"]},
            r"destinations such as GramPixel\(...\), not 'grampixel'",
        ),
        ({"destinations": [], "before_send": "x"}, "before_send=... must be a function"),
    ],
)
def test_a_mistake_says_what_to_write(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        Tracker(**arguments, store=MemoryStore())


async def test_a_deposit_that_is_worth_nothing_is_told_once(
    caplog: pytest.LogCaptureFixture, tracker: Tracker
) -> None:
    for _ in range(2):
        assert await tracker.track("FTD", telegram_id=7, value=0) is not None
    assert [line for line in told(caplog, logging.WARNING) if "the value 0" in line] == [
        "FTD is recorded with the value 0: platforms optimise for it"
    ]


def test_a_key_that_is_no_text_is_named_by_its_type() -> None:
    with pytest.raises(ConfigurationError, match="not a plain ASCII text, but of the type int"):
        GramPixel(api_key=42, workspace_id=WORKSPACE)
