"""Checks destinations: whether they can be reached, and take their keys."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timezone

from gp_aiogram.cli.doctor.finding import Finding
from gp_aiogram.destinations.base import Destination
from gp_aiogram.destinations.http import HTTPDestination
from gp_aiogram.destinations.meta import MetaCAPI
from gp_aiogram.errors import (
    DeliveryError,
    DestinationMisconfigured,
    EventRejected,
    EventSkipped,
)
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.settings import Settings
from gp_aiogram.settings.groups import DestinationGroup

#: Where to find the code that shows events in a test view and nowhere else, by platform.
CODES = {
    "leadsail": "in the dashboard of the ad platform that the pixel is of",
    "meta": "under Events Manager > Test events",
    "tiktok": "under TikTok Events Manager > Test events",
}

#: Names whose address and browser stand for somebody; RFC 5737 keeps the address for examples.
_ADDRESS, _BROWSER = "203.0.113.7", "Mozilla/5.0 (compatible; gp-aiogram doctor)"

#: Of ten, from which Meta calls the quality good.
_GOOD_SCORE = 6.0


class Reached:
    """What the answer of a server told.

    :param date: its ``Date`` header; None without one.
    """

    def __init__(self, findings: list[Finding], date: str | None = None) -> None:
        self.findings = findings
        self.date = date


async def check_reach(destination: Destination) -> Reached:
    """Ask the destination's address for anything; what it answers does not matter."""
    if not isinstance(destination, HTTPDestination):
        return Reached([])
    name = destination.name
    try:
        answer = await destination.request("HEAD", "")
    except DeliveryError as error:
        text = f"{destination.base_url} cannot be reached: {error.reason}"
        remedy = "look at address, network, firewall and proxy"
        return Reached([Finding("problem", name, text, remedy)])
    text = f"{destination.base_url} answers"
    return Reached([Finding("ok", name, text)], answer.headers.get("date"))


async def check_key(
    destination: Destination, settings: Settings, codes: Mapping[str, str], user: int
) -> list[Finding]:
    """Send a test event, where the platform has a test mode and a code was given.

    :param codes: test codes, by the name of the destination.
    :param user: whose event it is.
    """
    name = destination.name
    group = getattr(settings, name, None)
    if not isinstance(group, DestinationGroup):
        return []
    if name == "snapchat":
        return await _try(group.destination(**group.arguments(), validate_only=True), user)
    if name not in CODES:
        text = "its API has no test mode: the first event shows whether the key is right"
        return [Finding("note", name, text, f"gp-aiogram send REG --user … --to {name}")]
    if name not in codes:
        remedy = f"--test-code {name}=CODE sends a test event; the code is {CODES[name]}"
        return [Finding("note", name, "its key was not tried", remedy)]
    arguments = {**group.arguments(), "test_event_code": codes[name]}
    return await _try(group.destination(**arguments), user)


def check_test_code(destination: Destination, settings: Settings) -> list[Finding]:
    """Look for a test code that was left in the settings."""
    group = getattr(settings, destination.name, None)
    if not getattr(group, "test_event_code", ""):
        return []
    variable = f"GP_{destination.name.upper()}__TEST_EVENT_CODE"
    text = "every event goes to the test view"
    return [Finding("warning", destination.name, text, f"remove {variable} when the test is over")]


async def check_quality(destination: Destination) -> list[Finding]:
    """Ask Meta how well events match people, where the token may read it."""
    if not isinstance(destination, MetaCAPI):
        return []
    name = destination.name
    try:
        told = await destination.dataset_quality()
    except DestinationMisconfigured:
        text = "this token may not read the match quality"
        remedy = "Events Manager shows it; ads_read and ads_management would let the token"
        return [Finding("note", name, text, remedy)]
    except DeliveryError as error:
        return [Finding("note", name, f"Meta does not tell the match quality: {error.reason}")]
    scores = [(each.event_name, each.score) for each in told if each.score is not None]
    if not scores:
        return [Finding("note", name, "Meta has not judged the match quality yet")]
    return [_judged(name, event, score) for event, score in scores]


def _judged(name: str, event: str, score: float) -> Finding:
    text = f"match quality of {event}: {score:g} of 10"
    if score >= _GOOD_SCORE:
        return Finding("ok", name, text)
    remedy = "use Landing for the click, and identify() for e-mail or phone"
    return Finding("warning", name, text, remedy)


async def _try(destination: Destination, user: int) -> list[Finding]:
    name = destination.name
    try:
        prepared = destination.prepare(_test_event(user))
        outcomes = await destination.send([prepared])
        for outcome in outcomes or ():
            if isinstance(outcome, DeliveryError):
                raise outcome
    except DestinationMisconfigured as error:
        remedy = "look at the key, its rights and the id of the pixel"
        return [Finding("problem", name, f"it refuses the key: {error.reason}", remedy)]
    except EventSkipped as error:
        return [Finding("note", name, f"its key was not tried: {error.reason}")]
    except EventRejected as error:
        return [Finding("problem", name, f"it refuses the test event: {error.reason}")]
    except DeliveryError as error:
        return [Finding("warning", name, f"no answer to the test event: {error.reason}")]
    finally:
        await destination.close()
    return [Finding("ok", name, "it takes the key: a test event was sent")]


def _test_event(user: int) -> Event:
    now = datetime.now(timezone.utc)
    return Event(
        f"gp-doctor-{secrets.token_hex(8)}",
        "REG",
        now,
        user,
        click=Click(at=now, ip=_ADDRESS, user_agent=_BROWSER),
    )
