"""Contacts in ``user_data``: hashed traits under their names, and left out anywhere else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest

from gp_aiogram.identity.traits import split_off


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


EMAIL, PHONE = digest("ada@example.org"), digest("79161234567")


def meta_traits(user_data: Mapping[str, Any], region: str | None = None) -> Mapping[str, str]:
    _, traits = split_off(user_data, phone_region=region)
    return traits.get("meta", {})


def full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


@pytest.mark.parametrize(
    "key",
    [
        *("phone", "Phone", "PHONE_NUMBER", "phoneNumber", "phone-number", "ph", "PH", "msisdn"),
        *("customer_phone", "userPhone", "phonenumber", "phone2", "mobile", "Tel.", "WhatsApp"),
        *("contact", "телефон", "Номер телефона", "tel\u00e9fono", full_width("phone")),
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        *("79161234567", "+7 (916) 123-45-67", 79161234567, 79161234567.0),
        *("%2B79161234567", full_width("+79161234567")),
    ],
)
def test_a_number_under_any_spelling_of_its_name_becomes_a_trait(key: str, value: object) -> None:
    rest, traits = split_off({key: value, "plan": "gold"})
    assert rest == {"plan": "gold"}
    assert traits == {"meta": {"ph": PHONE}, "tiktok": {"ph": digest("+79161234567")}}


@pytest.mark.parametrize(
    "key",
    [
        *("email", "Email", "E-MAIL", "eMail", "EMail", "em", "customer_email", "userEmail"),
        *("mail", "contact", "почта", "phone", full_width("email")),
    ],
)
@pytest.mark.parametrize(
    "value", ["Ada@Example.org", "ada%40example.org", full_width("ada@example.org")]
)
def test_an_address_under_any_spelling_of_its_name_becomes_a_trait(key: str, value: str) -> None:
    rest, traits = split_off({key: value, "plan": "gold"})
    assert rest == {"plan": "gold"}
    assert traits == {"meta": {"em": EMAIL}, "tiktok": {"em": EMAIL}}


@pytest.mark.parametrize(
    "user_data",
    [
        {"customer": {"phone": "79161234567"}},
        {"order": {"buyer": {"Contact": [{"value": 79161234567}]}}},
        {"phones": ["79161234567"]},
        {"phone": {"number": "79161234567", "country": "RU"}},
        {"contacts": {"home": "7 916 123 45 67"}},
        {"answers": [{"PHONE_NUMBER": 79161234567}]},
    ],
)
def test_a_number_is_found_at_any_depth_and_nothing_empty_stays(user_data: dict[str, Any]) -> None:
    rest, traits = split_off(user_data)
    assert rest == {}
    assert traits["meta"] == {"ph": PHONE}


def test_what_was_empty_before_stays() -> None:
    data = {"tags": [], "more": {}, "list": [{}, None]}
    assert split_off(data) == (data, {})


def test_an_address_that_is_hashed_already_passes() -> None:
    assert meta_traits({"email": EMAIL.upper()}) == {"em": EMAIL}


def test_the_least_deep_and_first_usable_contact_counts() -> None:
    data = {
        "billing": {"email": "other@example.org"},
        "contact_email": "nobody@",
        "email": "ada@example.org",
        "work_email": "ada@work.example",
    }
    assert meta_traits(data) == {"em": EMAIL}


@pytest.mark.parametrize("words", ["friend", "manager", "referrer", "support", "shop"])
def test_somebody_elses_contact_is_left_out_and_no_trait(words: str) -> None:
    data = {f"{words}_phone": "79161234567", words: {"email": "ada@example.org"}, "plan": "gold"}
    assert split_off(data) == ({"plan": "gold"}, {})


@pytest.mark.parametrize("key", ["login", "username", "userName"])
def test_what_may_be_a_number_of_another_kind_is_left_out_and_no_trait(key: str) -> None:
    assert split_off({key: "79161234567"}) == ({}, {})
    assert split_off({key: "ada_1815"}) == ({key: "ada_1815"}, {})


@pytest.mark.parametrize(
    "user_data",
    [
        {"order_id": "A+1234567890"},
        {"order_id": "79161234567"},
        {"order": 79161234567},
        {"package": "x@1.2.3"},
        {"phone_id": 79161234567, "email_id": "79161234567", "contact": {"id": 79161234567}},
        {"phone_model": "iPhone 15", "mobile": "android", "mobile_verified": True, "tel": None},
        {"mail_campaign": 7, "mobile_app": "ios", "contact_time": 1767225600},
        {"sum": "+100", "plan": "a+b", "time": "2026-01-01T12:00:00+0300"},
    ],
)
def test_what_only_resembles_a_contact_stays(user_data: dict[str, Any]) -> None:
    assert split_off(user_data) == (user_data, {})


@pytest.mark.parametrize(
    "user_data",
    [
        {"note": "call +7 916 123-45-67"},
        {"note": "ada%40example.org"},
        {"note": ["ada@example.org", {"who": full_width("ada@example.org")}]},
        {"ada@example.org": 1, "%2B79161234567": 2},
        {"email": True, "phone": "none yet", "Phone-Number": ["x"]},
        {"contact": "after six: 8 916 123-45-67"},
    ],
)
def test_what_is_no_trait_is_left_out_all_the_same(user_data: dict[str, Any]) -> None:
    assert split_off(user_data) == ({}, {})


def test_national_numbers_are_completed_with_a_region_alone() -> None:
    data = {"contact": "8 (916) 123-45-67"}
    assert meta_traits(data) == {}
    assert meta_traits(data, "RU") == {"ph": PHONE}


def test_what_the_caller_gave_is_not_changed() -> None:
    data = {"customer": {"phone": "79161234567", "tags": ["a", "ada@example.org"]}}
    split_off(data)
    assert data == {"customer": {"phone": "79161234567", "tags": ["a", "ada@example.org"]}}


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    split_off({"phone": "8 916 123-45-67", "note": "ada@example.org"})
    assert not caplog.records
