"""Addresses of pages: what is personal in them goes, all the rest stays to the letter."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gp_aiogram.model.page_url import without_personal_data

SHOP = "https://shop.example/lp"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        SHOP,
        f"{SHOP}?fbclid=IwAR0a&utm_source=fb&utm_medium=email&x=%20a+b;c#top",
        f"{SHOP}?a=1&amp;b=2?c=3&&d#/x?e=5",
        f"{SHOP}?utm_campaign=Sale+20240501&order=A%2B1234567890&next=%2Fa%3Fb%3D1",
        f"{SHOP}?utm_content=@shop.bot#contact",
        "https://www.tiktok.com/@ada.lovelace/video/7?x=1",
        "android-app://com.facebook.katana/",
        "http://[::1",
        f"{SHOP}?%",
        f"{SHOP}?ttclid=E.C.P.+1234567890123",
    ],
)
def test_what_is_not_personal_stays_to_the_letter(url: str) -> None:
    assert without_personal_data(url) == url


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("?email=x&b=1", "?b=1"),
        ("?a=1&email=x&b=2", "?a=1&b=2"),
        ("?a=1&Phone=79161234567", "?a=1"),
        ("?user%5Bemail%5D=x&customerPhone=7&b", "?b"),
        ("?%65mail=x&b", "?b"),
        ("?%2565mail=x&b", "?b"),
        ("?q=ada@example.com&b", "?b"),
        ("?q=ada%40example.com&b", "?b"),
        ("?q=ada%2540example.com&b", "?b"),
        ("?q=+79161234567&b", "?b"),
        ("?q=%2B79161234567&b", "?b"),
        ("?q=%252B79161234567&b", "?b"),
        ("?q=%2B7+916+123+45+67&b", "?b"),
        ("?q=+7+(916)+123-45-67&b", "?b"),
        ("?q=call+%2B79161234567&b", "?b"),
        ("?ada@example.com&b", "?b"),
        ("?a=1&amp;email=x&amp;b=2", "?a=1&amp;b=2"),
        ("?a=1;email=x;b=2", "?a=1;b=2"),
        ("?a=1?email=x&b=2", "?a=1&b=2"),
        ("?email=x#top", "#top"),
        ("?email=x", ""),
        ("?a#email=x&b=1", "?a#b=1"),
        ("#/lp?email=x&b=1", "#/lp?b=1"),
        ("?next=https%3A%2F%2Fa.example%2F%3Fphone%3D79161234567&b", "?b"),
        ("?data=%7B%22email%22%3A%22ada%22%7D&b", "?b"),
        ("?fbclid=ada@example.com&b", "?b"),
        ("?fbclid=IwAR0a&email=x&ttclid=E.C.P.x", "?fbclid=IwAR0a&ttclid=E.C.P.x"),
    ],
)
def test_what_is_personal_goes(given: str, left: str) -> None:
    assert without_personal_data(SHOP + given) == SHOP + left


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("https://ada@shop.example/x", "https://shop.example/x"),
        ("https://ada:secret@shop.example:8443?a=1", "https://shop.example:8443?a=1"),
        ("//ada@shop.example/x", "//shop.example/x"),
        ("https://shop.example/user/ada@example.com/x?a=1", "https://shop.example/user/x?a=1"),
        ("https://shop.example/%2B79161234567/", "https://shop.example/"),
        ("mailto:ada@example.com?subject=x", "?subject=x"),
    ],
)
def test_what_is_personal_before_the_query_goes(given: str, left: str) -> None:
    assert without_personal_data(given) == left


@given(st.one_of(st.text(), st.text("?&;#=@+%4025/:a.").map(f"{SHOP}?".__add__)))
def test_what_is_left_is_left_again(url: str) -> None:
    left = without_personal_data(url)
    assert len(left) <= len(url)
    assert without_personal_data(left) == left


@pytest.mark.parametrize("text", ["a", "a=", "&", "?a=1&", "@", "%40", "+1 ", "a@b", '"a"'])
def test_a_long_address_is_looked_through_at_once(text: str) -> None:
    started = time.monotonic()
    without_personal_data(f"{SHOP}?{text * 4000}"[:8190])
    assert time.monotonic() - started < 0.5
