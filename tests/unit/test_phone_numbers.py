"""Phone numbers as people type them: whole, national, with extensions, in other digits."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gp_aiogram import ConfigurationError
from gp_aiogram.identity import PLATFORMS, hashed, normalize
from gp_aiogram.identity.phones import completed, validate_phone_region
from gp_aiogram.identity.traits import prepared


def in_digits_of(zero: str, text: str) -> str:
    """Write a text with the digits of another script, given its zero."""
    return "".join(chr(ord(zero) + int(char)) if char.isdigit() else char for char in text)


PERSIAN = in_digits_of("\u06f0", "989123456789")
ARABIC = in_digits_of("\u0660", "966501234567")

#: As a Chinese or Japanese keyboard writes ``+7(916)123-45-67``.
FULL_WIDTH = "".join(chr(ord(char) + 0xFEE0) for char in "+7(916)123-45-67")


def phone(text: object, region: str | None = None) -> tuple[str | None, str | None]:
    meta, tiktok = (normalize("ph", text, platform=name, region=region) for name in PLATFORMS)
    return meta, tiktok


def whole(number: str) -> tuple[str, str]:
    return number, f"+{number}"


NOT_USABLE = (None, None)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+44 (0)20 7946 0958", "442079460958"),
        ("+44(0)2079460958", "442079460958"),
        ("0044 ( 0 ) 20 7946 0958", "442079460958"),
        ("44 (0) 20 7946 0958", "442079460958"),
        ("00213 551 23 45 67", "213551234567"),
        ("+1 (213) 373-4253 ext. 5", "12133734253"),
        ("+1 213 373 4253x99", "12133734253"),
        ("tel:+1-213-373-4253;ext=5", "12133734253"),
        ("+7 916 123-45-67 доб. 123", "79161234567"),
        (f"+{PERSIAN}", "989123456789"),
        (ARABIC, "966501234567"),
        (FULL_WIDTH, "79161234567"),
        ("\u202a+7 916 123\u201145\u201167\u202c", "79161234567"),
        ("+49 30/12345678", "493012345678"),
        ("7 916 123 45 67", "79161234567"),
        ("84 912 345 678", "84912345678"),
        (79161234567, "79161234567"),
    ],
)
def test_what_belongs_to_a_number_counts_and_nothing_else(text, number):
    assert phone(text) == whole(number)


@pytest.mark.parametrize(
    "text",
    [
        "8 (916) 123-45-67",
        "89161234567",
        89161234567,
        "+89161234567",
        "тел. 8-916-123-45-67",
        "8 (495) 123-45-67",
        "8495 123-45-67",
        "8 701 123 45 67",
        "8-800-555-35-35",
        "80 29 123-45-67",
        "020 7946 0958",
        "(020) 7946 0958",
        "(0)20 7946 0958",
        "0151 12345678",
    ],
)
def test_a_number_that_surely_lacks_its_country_code_is_left_out(text):
    assert phone(text) == NOT_USABLE


def test_ten_digits_with_their_area_code_first_are_whole_to_metas_own_code_alone():
    assert phone("(555) 123-4567") == ("5551234567", None)
    assert phone("(+1) 213 373-4253") == whole("12133734253")
    assert phone("(380) 67 123-45-67") == whole("380671234567")


@pytest.mark.parametrize(
    "text",
    [
        "7 916 123 45 67; 7 495 123 45 67",
        "7 916 123 45 67, 7 495 123 45 67",
        "79161234567/74951234567",
        "79161234567 or 74951234567",
        "+7 916 123 45 67 +7 495 123 45 67",
        "7 916 123 45 67 7 495 123 45 67",
    ],
)
def test_several_numbers_are_none(text):
    assert phone(text) == NOT_USABLE


@pytest.mark.parametrize(
    ("region", "text", "number"),
    [
        ("RU", "8 (916) 123-45-67", "79161234567"),
        ("RU", "89161234567 доб. 5", "79161234567"),
        ("RU", "9161234567", "79161234567"),
        ("RU", "(495) 123-45-67", "74951234567"),
        ("RU", "4951234567", "74951234567"),
        ("RU", 89161234567, "79161234567"),
        ("KZ", "8 701 123 45 67", "77011234567"),
        ("BY", "80 29 123-45-67", "375291234567"),
        ("GB", "020 7946 0958", "442079460958"),
        ("DE", "0151 12345678", "4915112345678"),
        ("DE", "15112345678", "4915112345678"),
        ("US", "(213) 373-4253", "12133734253"),
        ("BR", "51987654321", "5551987654321"),
        ("IR", in_digits_of("\u06f0", "0912 345 6789"), "989123456789"),
        ("UA", "380671234567", "380671234567"),
    ],
)
def test_with_a_region_national_numbers_are_completed(region, text, number):
    assert phone(text, region) == whole(number)
    assert prepared({"phone": text}, phone_region=region) == prepared({"phone": f"+{number}"})


@pytest.mark.parametrize("region", ["RU", "DE", "US"])
@pytest.mark.parametrize(
    "text",
    [
        *("+44 (0)20 7946 0958", "0044 20 7946 0958", "447911123456", "16505551212"),
        *("380671234567", "79161234567", "37251234567"),
    ],
)
def test_with_a_region_whole_numbers_stay_what_they_are(region, text):
    assert phone(text, region) == phone(text) != NOT_USABLE


@pytest.mark.parametrize("text", ["12345", "8 (016) 123-45-67", "0 (0)", "7; 8", "no phone"])
def test_with_a_region_what_is_no_number_there_is_as_without(text):
    assert phone(text, "RU") == phone(text)


@given(st.text() | st.from_regex(r"\+?[0-9() ;/x-]{5,25}"), st.sampled_from(["RU", "DE", "US"]))
def test_with_a_region_no_text_raises_and_the_result_is_stable(text, region):
    for platform in PLATFORMS:
        number = normalize("ph", text, platform=platform, region=region)
        assert number is None or normalize("ph", number, platform=platform) == number


def test_a_region_is_for_phones_alone():
    digest = "0123456789" * 6 + "abcd"
    assert normalize("ph", digest, platform="meta", region="RU") == digest
    assert normalize("zp", "89161234567", platform="meta", region="RU") == "89161234567"
    assert hashed("em", "A@b.io", platform="meta", region="RU") == hashed(
        "em", "a@b.io", platform="meta"
    )


def test_a_region_is_checked_once():
    assert validate_phone_region(None) is None
    assert validate_phone_region(" ru ") == "RU"
    for wrong in ("", "Russia", "7", 7, "XX", True):
        with pytest.raises(ConfigurationError, match="code of a country such as 'DE'"):
            validate_phone_region(wrong)


def test_without_the_extra_a_region_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'gp-aiogram\[phone\]'"):
        validate_phone_region("RU")
    with pytest.raises(ConfigurationError, match="phonenumbers"):
        completed("8 916 123-45-67", "RU")
    assert phone("+7 916 123-45-67") == whole("79161234567")


@pytest.mark.parametrize("region", [None, "RU"])
def test_a_very_long_text_takes_no_time(region):
    for text in ("8" * 30_000, "8 " * 30_000, "(0)" * 10_000, "x1" * 15_000, "+1 " * 10_000):
        phone(text, region)
        phone(f"{text}{PERSIAN}", region)
