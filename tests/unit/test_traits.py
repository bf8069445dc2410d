"""Traits: which are usable, and what Telegram's own objects say of a person."""

from __future__ import annotations

import pytest
from aiogram.types import OrderInfo, ShippingAddress

from gp_aiogram import EventError
from gp_aiogram.identity import hashed
from gp_aiogram.identity.traits import (
    from_order_info,
    from_shipping_address,
    left_out,
    prepared,
    usable,
)

ADDRESS = ShippingAddress(
    country_code="GB",
    state="",
    city="London",
    street_line1="12 St James's Square",
    street_line2="",
    post_code="SW1Y 4JH",
)


def test_it_is_told_which_traits_are_usable_and_which_are_not():
    given = {
        "email": "nobody",
        "phone": "8 (916) 123-45-67",
        "first_name": "Ada",
        "last_name": None,
        "lead_id": "lead_1",
        "locale": "",
    }
    traits = prepared(given)
    assert usable(given, traits) == {"first_name", "lead_id"}
    assert left_out(given, traits) == {"email", "phone", "locale"}
    assert left_out(given, prepared(given, phone_region="RU")) == {"email", "locale"}


def test_what_one_platform_can_use_is_usable():
    given = {"phone": "(555) 123-4567"}
    traits = prepared(given)
    assert set(traits) == {"meta"}
    assert usable(given, traits) == {"phone"}


def test_nothing_given_is_nothing_left_out():
    assert usable({}, prepared({})) == left_out({}, prepared({})) == frozenset()


@pytest.mark.parametrize("name", ["ada@example.org", "+79161234567", "79161234567"])
def test_the_name_of_an_unknown_trait_is_not_shown_when_it_is_personal(name):
    with pytest.raises(EventError, match="there is no trait") as caught:
        prepared({name: 1})
    assert name not in str(caught.value)


def test_an_order_form_says_who_the_buyer_is():
    order = OrderInfo(
        name=" Ada King Byron ",
        phone_number="447911123456",
        email="ada@example.org",
        shipping_address=ADDRESS,
    )
    told = from_order_info(order)
    assert told == {
        "first_name": "Ada",
        "last_name": "King Byron",
        "phone": "+447911123456",
        "email": "ada@example.org",
        "country": "GB",
        "city": "London",
        "zip_code": "SW1Y 4JH",
    }
    traits = prepared(told)
    assert traits["meta"]["ph"] == hashed("ph", "+447911123456", platform="meta")
    assert traits["tiktok"]["country"] == "gb"
    assert left_out(told, traits) == frozenset()


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (None, {}),
        (OrderInfo(), {}),
        (OrderInfo(name=" ", email="", phone_number=""), {}),
        (OrderInfo(name="Ada"), {"first_name": "Ada"}),
        (OrderInfo(phone_number="+447911123456"), {"phone": "+447911123456"}),
    ],
)
def test_what_an_order_form_does_not_say_is_not_there(order, told):
    assert from_order_info(order) == told


def test_an_address_says_where_without_the_street():
    assert from_shipping_address(ADDRESS) == {
        "country": "GB",
        "city": "London",
        "zip_code": "SW1Y 4JH",
    }
    assert from_shipping_address(None) == {}
