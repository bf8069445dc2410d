"""Personal data: what looks like it, what is named like it, and what is left of a value."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gp_aiogram.identity import FIELDS
from gp_aiogram.model.pii import (
    is_personal_key,
    looks_like_number,
    looks_personal,
    without_personal,
)


def full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


@pytest.mark.parametrize(
    "text",
    [
        *("ada@example.org", "Ada <ADA@EXAMPLE.ORG>", "ada@example.org.", "a+b@example.co.uk"),
        *("qq@163.com", "1@126.com", "ada@xn--e1afmkfd.xn--p1ai", "\u0430\u0434\u0430@почта.рф"),
        *("mailto:ada@example.org?subject=1", "ada%40example.org", "ada%2540example.org"),
        *("q%3Dada%40example.org", "to=ada@example.org&x=1", "ada@2x.io", "ada@1.2.com"),
        *(full_width("ada@example.org"), f"ada{full_width('@')}example\u3002org"),
        *("ada\ufe6bexample.org", "ada@exam\u00adple.org", "a\u200bda@example.org"),
        *("+79161234567", "call +7 (916) 123-45-67!", "phone=+79161234567", "+1.213.373.4253"),
        *("tel:+44 20 7946 0958", "+49 30/12345678", "+ 7 916 1234567", "+(7)9161234567"),
        *("%2B79161234567", "%2b7%20916%20123-45-67", full_width("+7(916)123-45-67")),
        *(
            "\u202a+7 916 123\u201145\u201167\u202c",
            "+7\u00a0916\u00a01234567",
            "wa.me/+79161234567",
        ),
        "+" + "".join(chr(0x06F0 + int(digit)) for digit in "989123456789"),
    ],
)
def test_an_address_or_number_is_found_however_it_is_written(text: str) -> None:
    assert looks_personal(text)
    assert looks_personal(f"({text})")


@pytest.mark.parametrize(
    "value",
    [
        *("A+1234567890", "INV_+1234567890", "x@1.2.3", "lodash@4.17.21", "x@1.2.3-beta.one"),
        *("@scope/pkg@v2.0.1-rc.next", "icon@2x.png", "@shop", "a+b", "1 + 1 = 2", "+100", "+"),
        *("2026-01-01T12:00:00+0300", "12:00+03:00", "100%", "50%40", "%", "79161234567", "C++"),
        *("привет", "5 + 5, это 10", "\ud800", "", "+1234567", "+1234567890123456"),
        *(79161234567, 1.5, None, True, ["ada@example.org"], {"a": "ada@example.org"}),
    ],
)
def test_what_only_resembles_one_is_not(value: object) -> None:
    assert not looks_personal(value)


@pytest.mark.parametrize(
    "value",
    [
        *("79161234567", "8 (916) 123-45-67", "WhatsApp: 447911123456", "(916) 123-45-67"),
        *(79161234567, 79161234567.0, "+79161234567", full_width("79161234567")),
    ],
)
def test_a_number_without_its_plus_looks_like_one(value: object) -> None:
    assert looks_like_number(value)


@pytest.mark.parametrize(
    "value",
    [
        *("12345678", "A79161234567", "79161234567x", "2026-01-01 12:00", "1.5", "iPhone 15", ""),
        *("1" * 16, 5, -79161234567, 10**16, 79161234567.5, float("nan"), float("inf"), True),
        *(None, [79161234567], "ada@example.org"),
    ],
)
def test_other_numbers_do_not(value: object) -> None:
    assert not looks_like_number(value)


@pytest.mark.parametrize("field", FIELDS)
def test_the_fields_that_identify_a_user_are_personal(field: str) -> None:
    assert is_personal_key(field)
    assert is_personal_key(field.upper())


@pytest.mark.parametrize(
    "key",
    [
        *("email", "E-Mail", "EMail", "eMAIL", "user email", "customer_email", "emailAddress"),
        *("useremail", "Email2", "email%5Faddress", "PHONE_NUMBER", "phoneNumber", "PHONENumber"),
        *("phonenumber", "userphone", "mobilePhone", "Phone #2", "msisdn", "WhatsApp", "tel."),
        *(
            "customerMobileNumber",
            "Телефон",
            "телефон_клиента",
            "моб_номер",
            "почта",
            "tel\u00e9fono",
        ),
        *(full_width("phone"), full_width("E-Mail"), "IPAddress", "externalId", "user_name"),
        "ada@example.org",
    ],
)
def test_a_key_is_personal_however_it_is_spelt(key: str) -> None:
    assert is_personal_key(key)


@pytest.mark.parametrize(
    "key",
    [
        *("order_id", "plan", "em_dash", "country_code", "stage", "zipper", "phonetic", "hotel"),
        *("xylophone", "gmail", "ct2", "номер", "emoji", "remailer", "stele"),
    ],
)
def test_a_key_that_only_resembles_a_field_is_not(key: str) -> None:
    assert not is_personal_key(key)


@given(st.text(st.characters()) | st.from_regex(r"[%@+0-9a-f. ]{0,30}"))
def test_any_text_is_looked_through(text: str) -> None:
    assert looks_personal(text) in {True, False}
    assert looks_like_number(text) in {True, False}
    assert is_personal_key(text) in {True, False}


def test_a_very_long_text_takes_no_time() -> None:
    started = time.monotonic()
    for part in ("@", "a@b", "+1 ", "%25", "@1.1", "@11.", "+", "1 ", "user", "\uff20", "a.", "("):
        for text in (part * 30_000, f"a@{part * 30_000}", f"{part * 30_000}\u0430"):
            looks_personal(text)
            looks_like_number(text)
            is_personal_key(text)
    assert time.monotonic() - started < 10


DATA: dict[str, Any] = {
    "plan": "gold",
    "note": "write to a@b.example",
    "+79161234567": 1,
    "email": True,
    "list": ["a", "+7 916 123 45 67", {"deep": "a@b.example", "n": None}],
    "map": {"a@b.example": 1, "level": 5},
    "all": {"deep": [["a@b.example"], {"a@b.example": 1}]},
    "none": [{}],
}


def test_what_looks_personal_is_left_out_at_any_depth() -> None:
    assert without_personal(DATA, lambda key, _: looks_personal(key)) == {
        "plan": "gold",
        "email": True,
        "list": ["a", {"n": None}],
        "map": {"level": 5},
        "none": [{}],
    }


def test_keys_may_be_left_out_too_and_the_value_has_a_say() -> None:
    def named(key: str, value: object) -> bool:
        return key in {"plan", "n"} and value is not None

    left = without_personal(DATA, named)
    assert "plan" not in left
    assert left["list"] == ["a", {"n": None}]
