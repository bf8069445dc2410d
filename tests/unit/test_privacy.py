"""What an ad platform gets of ``user_data``: nothing personal, and a charge id once at most."""

from __future__ import annotations

import pytest

from gp_aiogram.destinations.privacy import shareable, shareable_url

CHARGE = "stxAbC123"


def test_a_charge_id_is_shared_once_as_the_orders_id():
    payment = {
        "order_id": CHARGE,
        "telegram_payment_charge_id": CHARGE,
        "provider_payment_charge_id": "ch_3PzAda",
        "invoice_payload": "course:basic",
    }
    assert shareable(payment) == {"order_id": CHARGE, "invoice_payload": "course:basic"}


def test_an_order_id_of_the_bots_own_is_shared_and_no_charge_id():
    payment = {"order_id": "A-17", "telegram_payment_charge_id": CHARGE}
    assert shareable(payment) == {"order_id": "A-17"}


@pytest.mark.parametrize(
    "data",
    [
        {"customer": {"phone": 79161234567, "tags": ["ada@example.org"]}},
        {"Телефон": 79161234567, "EMail": "x", "userphone": "1"},
        {"note": "ada%40example.org", "more": ["%2B79161234567"]},
    ],
)
def test_what_is_personal_is_left_out_and_leaves_nothing_empty(data):
    assert shareable(data | {"level": 5}) == {"level": 5}


def test_ids_stay():
    data = {"order_id": "A+1234567890", "package": "x@1.2.3", "contents": [{"id": "79161234567"}]}
    assert shareable(data) == data


@pytest.mark.parametrize(
    "query",
    [
        *("email=x", "EMail=x", "u=ada%2540example.org", "t=%2B79161234567", "userphone=1"),
        "mobile=79161234567",
    ],
)
def test_a_page_keeps_its_click_id_alone(query):
    page = f"https://shop.example/p?{query}&fbclid=IwAR_AbC"
    assert shareable_url(page) == "https://shop.example/p?fbclid=IwAR_AbC"
