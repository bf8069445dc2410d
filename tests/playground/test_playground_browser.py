"""The playground in a real browser: what a newcomer does in the first minutes."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import TimeoutError as TooLateError

from fixtures.browsers import AXE, CHECK, SERIOUS
from fixtures.playground import Sandbox, sandbox

PLATFORMS = ("grampixel", "meta", "tiktok")


@pytest.fixture
def here(page: Page, running: Sandbox) -> Iterator[Page]:
    """The playground with somebody who is new there."""
    page.goto(running.url)
    expect(page.locator("#live")).to_have_text("Live")
    page.get_by_role("button", name="New person").click()
    expect(page.get_by_text("Nothing has happened yet.")).to_be_visible()
    yield page
    for platform in PLATFORMS:
        running.post(f"/api/platforms/{platform}/switch", position="works")
        running.post(f"/api/platforms/{platform}/retry")
    for title in ("GramPixel", "Meta", "TikTok"):
        expect(page.get_by_role("button", name=f"Try {title} now")).to_be_disabled()


def arrive(page: Page, ad: str = "Facebook ad") -> None:
    page.get_by_role("button", name=ad).click()
    expect(page.locator("#link")).to_contain_text("https://t.me/sandbox_42_bot?start=gp_")
    page.get_by_role("button", name="START").click()
    expect(page.get_by_role("log")).to_contain_text("Hello! You came from gp_")


def event(page: Page, name: str) -> Locator:
    return page.locator(".step.event", has=page.get_by_role("heading", name=name))


def delivery(step: Locator, platform: str, state: str = "delivered") -> Locator:
    return step.locator(f"[data-delivery={platform}][data-state={state}]")


def try_now(page: Page, title: str) -> None:
    """Press the button, unless what waits has been delivered by itself meanwhile."""
    with contextlib.suppress(TooLateError):
        page.get_by_role("button", name=f"Try {title} now").click(timeout=2000)


def request_of(delivery: Locator) -> dict[str, object]:
    """Open the request of the last try, as people do, and read it."""
    delivery.locator("summary").first.click()
    fold = delivery.locator("[data-fold$=':request']").last
    fold.locator("summary").click()
    return json.loads(fold.locator("pre").inner_text())


def test_a_click_on_an_ad_becomes_a_registration_at_each_platform(here: Page) -> None:
    arrive(here)
    click = here.locator(".step.click")
    expect(click).to_contain_text("spring_sale")
    click.get_by_text("What the landing page saw").click()
    names, texts = click.locator("dt").all_inner_texts(), click.locator("dd").all_inner_texts()
    fbclid = dict(zip(names, texts, strict=True))["fbclid"]
    assert fbclid.startswith("IwAR")
    expect(here.locator(".step.session")).to_contain_text("by /start")
    here.get_by_role("button", name="Register").click()
    expect(here.get_by_role("log")).to_contain_text("Welcome aboard!")
    reg = event(here, "REG")
    for platform in PLATFORMS:
        expect(delivery(reg, platform)).to_contain_text("200")
    sent = request_of(delivery(reg, "meta"))["data"][0]
    assert sent["event_name"] == "CompleteRegistration"
    assert sent["user_data"]["fbc"].endswith(f".{fbclid}")
    assert request_of(delivery(reg, "grampixel"))["event_name"] == "REG"
    assert request_of(delivery(reg, "tiktok"))["data"][0]["event"] == "CompleteRegistration"


def test_an_ad_of_tiktok_reaches_tiktok(here: Page) -> None:
    here.get_by_label("Campaign").fill("black friday")
    arrive(here, "TikTok ad")
    expect(here.locator(".step.click")).to_contain_text("black friday")
    here.get_by_role("button", name="Register").click()
    sent = request_of(delivery(event(here, "REG"), "tiktok"))["data"][0]
    assert sent["user"]["ttclid"].startswith("E.C.P.")


def test_stars_become_a_purchase_in_dollars(here: Page) -> None:
    arrive(here)
    here.get_by_role("button", name="Shop").click()
    here.get_by_role("button", name="Stickers: 250 Stars").click()
    here.get_by_role("button", name="Pay ★ 250 Stars").click()
    expect(here.get_by_role("log")).to_contain_text("Thank you!")
    expect(here.get_by_role("button", name="Paid")).to_be_disabled()
    purchase = event(here, "Purchase")
    expect(purchase).to_contain_text("3.25 USD")
    sent = request_of(delivery(purchase, "meta"))["data"][0]
    assert (sent["event_name"], sent["custom_data"]["value"]) == ("Purchase", 3.25)
    assert sent["custom_data"]["currency"] == "USD"


def test_a_broken_platform_is_tried_again_until_it_works(here: Page) -> None:
    arrive(here)
    here.get_by_label("Meta answers").select_option("503")
    here.get_by_role("button", name="Register").click()
    reg = event(here, "REG")
    expect(delivery(reg, "tiktok")).to_be_visible()
    waiting = delivery(reg, "meta", "pending")
    expect(waiting).to_contain_text(re.compile(r"next try in \d+ s"))
    expect(waiting.locator(".answer").nth(1)).to_have_text("503")  # it was tried again by itself
    waiting.locator("summary").first.click()
    expect(waiting).to_contain_text("HTTP 503: 503 Service Unavailable")
    here.get_by_label("Meta answers").select_option("works")
    try_now(here, "Meta")
    delivered = delivery(reg, "meta")
    expect(delivered).to_contain_text(re.compile(r"delivered by try \d"))
    expect(delivered.locator(".answer").last).to_have_text("200")
    expect(delivered.locator("details").first).to_have_attribute("open", "")  # it stays open


@pytest.mark.parametrize(
    ("position", "state"),
    [("401", "paused: the key is refused"), ("429", "asked to wait, called in")],
)
def test_a_platform_that_refuses_everybody_is_paused_until_it_is_called(
    here: Page, position: str, state: str
) -> None:
    arrive(here)
    here.get_by_label("TikTok answers").select_option(position)
    here.get_by_role("button", name="Register").click()
    expect(here.locator("[data-platform=tiktok]")).to_contain_text(state)
    waiting = delivery(event(here, "REG"), "tiktok", "pending")
    expect(waiting.locator(".answer")).to_have_text(position)
    expect(waiting).to_contain_text(re.compile(r"next try in \d+ s"))
    here.get_by_label("TikTok answers").select_option("works")
    try_now(here, "TikTok")
    expect(delivery(event(here, "REG"), "tiktok")).to_contain_text("200")
    expect(here.locator("[data-platform=tiktok]")).to_contain_text("healthy")


def test_a_platform_that_does_not_answer_is_waited_for(here: Page) -> None:
    arrive(here)
    here.get_by_label("GramPixel answers").select_option("timeout")
    here.get_by_role("button", name="Register").click()
    waiting = delivery(event(here, "REG"), "grampixel", "pending")
    expect(waiting).to_contain_text("no answer")
    expect(waiting).to_contain_text(re.compile(r"next try in \d+ s"), timeout=40_000)


def test_an_ad_for_a_channel_leads_into_the_channel(here: Page) -> None:
    here.get_by_role("button", name="Channel ad").click()
    here.get_by_role("button", name="JOIN THE CHANNEL").click()
    expect(here.get_by_role("log")).to_contain_text("Joined Echoes")
    expect(here.locator(".step.session")).to_contain_text("by an invite link")
    for platform in PLATFORMS:
        expect(delivery(event(here, "Subscribe"), platform)).to_be_visible()


def test_somebody_without_an_ad_is_organic(here: Page) -> None:
    here.get_by_role("button", name="START").click()
    expect(here.get_by_role("log")).to_contain_text("Hello! You came on your own.")
    here.get_by_role("button", name="Deposit 150 EUR").click()
    expect(event(here, "FTD")).to_contain_text("organic: no session")
    here.get_by_role("button", name="Deposit 150 EUR").click()
    expect(event(here, "DEP")).to_contain_text("150.00 EUR")


def test_it_is_played_with_the_keyboard_alone(here: Page) -> None:
    here.get_by_role("button", name="Facebook ad").focus()
    here.keyboard.press("Enter")
    expect(here.locator("#link")).to_be_visible()
    expect(here.get_by_role("button", name="START")).to_be_focused()
    here.keyboard.press("Enter")
    expect(here.get_by_role("textbox", name="Message")).to_be_focused()
    here.keyboard.type("Is <b>anybody</b> there?")
    here.keyboard.press("Enter")
    expect(here.locator("#chat .bot").last).to_contain_text("Is <b>anybody</b> there?")
    assert here.locator("#chat b").count() == 0


def test_what_the_bot_answers_to_a_press_is_shown(here: Page) -> None:
    arrive(here)
    here.get_by_role("button", name="Register").click()
    expect(here.locator("#toasts")).to_contain_text("Registered")


def test_people_have_a_chat_and_a_journey_each(here: Page) -> None:
    arrive(here)
    name = here.get_by_label("You are").locator("option:checked").inner_text()
    here.get_by_role("button", name="New person").click()
    expect(here.get_by_text("Nothing has happened yet.")).to_be_visible()
    expect(here.get_by_role("log")).not_to_contain_text("Hello!")
    here.get_by_label("You are").select_option(name)
    expect(here.get_by_role("log")).to_contain_text("Hello!")
    expect(here.locator(".step.session")).to_be_visible()


def barriers(page: Page) -> list[object]:
    """Return what axe finds that keeps people out."""
    page.wait_for_timeout(300)  # what fades in has faint colours
    page.evaluate(AXE.read_text(encoding="utf-8"))
    return [found for found in page.evaluate(CHECK) if found[0] in SERIOUS]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(here: Page, scheme: str) -> None:
    here.emulate_media(color_scheme=scheme)
    assert barriers(here) == []
    here.get_by_label("Meta answers").select_option("503")
    arrive(here)
    here.get_by_role("button", name="Shop").click()
    here.get_by_role("button", name="Stickers: 250 Stars").click()
    here.get_by_role("button", name="Pay ★ 250 Stars").click()
    purchase = event(here, "Purchase")
    expect(delivery(purchase, "meta", "pending")).to_contain_text("503")
    request_of(delivery(purchase, "meta", "pending"))
    here.get_by_text("What the landing page saw").click()
    assert barriers(here) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(here: Page, scheme: str) -> None:
    here.set_viewport_size({"width": 360, "height": 740})
    here.emulate_media(color_scheme=scheme)
    arrive(here)
    here.get_by_role("button", name="Register").click()
    reg = event(here, "REG")
    request_of(delivery(reg, "meta"))
    assert barriers(here) == []
    assert here.evaluate("document.documentElement.scrollWidth") == 360
    ground = here.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(13, 18, 24)") == (scheme == "dark")


def test_a_sandbox_that_ends_is_missed_and_one_that_comes_back_is_followed(
    browser: Browser, tmp_path: Path
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        with sandbox(cwd=tmp_path) as first:
            page.goto(first.url)
            expect(page.locator("#live")).to_have_text("Live")
            page.get_by_role("button", name="New person").click()  # whom the next one lacks
            expect(page.get_by_label("You are")).to_have_value("1002")
            expect(page.locator("#live")).to_have_text("Live")
        expect(page.locator("#live")).to_contain_text("is gp-aiogram sandbox still running?")
        page.get_by_role("button", name="Facebook ad").click()
        expect(page.locator("#toasts")).to_contain_text("the sandbox does not answer")
        with sandbox("--port", first.url.rpartition(":")[2], cwd=tmp_path):
            expect(page.locator("#live")).to_have_text("Live", timeout=20_000)
            arrive(page)
