"""Amounts of money: what is one, in which currency, and rounded how."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_aiogram.errors import EventError
from gp_aiogram.model.money import MAX_AMOUNT, CurrencyConverter, amount, currency_code

#: The same examples each time, however slow the machine is.
steady = settings(deadline=None, derandomize=True)

EXPONENTS = {"JPY": 0, "KRW": 0, "XOF": 0, "USD": 2, "EUR": 2, "KWD": 3, "BHD": 3, "TND": 3}

#: No text can be made of it: Python refuses to write more than 4300 digits.
HUGE = pytest.param(10**5000, id="10**5000")


# Currencies


@pytest.mark.parametrize("code", ["USD", "usd", "Usd", " usd ", "USD\n"])
def test_a_code_is_taken_in_any_case_and_given_back_in_upper_case(code):
    assert currency_code(code) == "USD"


@pytest.mark.parametrize("code", EXPONENTS)
def test_currencies_of_iso_4217_are_taken(code):
    assert currency_code(code.lower()) == code


@pytest.mark.parametrize(
    "code",
    [
        "",
        " ",
        "US",
        "USDT",
        "BTC",
        "TON",
        "ABC",
        "US Dollar",
        "840",
        "$",
        "ß",
        "\uff35\uff33\uff24",
        "\ud800",
    ],
)
def test_what_is_no_code_is_refused_with_an_example(code):
    with pytest.raises(EventError, match="three-letter ISO 4217 code such as 'USD'"):
        currency_code(code)


@pytest.mark.parametrize("code", [None, 840, b"USD", ["USD"], {}, True])
def test_what_is_no_text_is_no_code(code):
    with pytest.raises(EventError, match="three-letter ISO 4217 code such as 'USD'"):
        currency_code(code)


@pytest.mark.parametrize("code", ["XTR", "xtr", " Xtr "])
def test_telegram_stars_are_refused_by_name_and_with_advice(code):
    with pytest.raises(EventError, match=r"Telegram Stars.*convert"):
        currency_code(code)


@pytest.mark.parametrize("code", ["XAU", "XAG", "XPT", "XDR", "XTS", "XXX", "xxx"])
def test_metals_and_test_codes_are_refused(code):
    with pytest.raises(EventError, match="nobody can be charged in"):
        currency_code(code)


@steady
@given(st.text())
def test_any_text_is_a_code_or_an_event_error(text):
    try:
        code = currency_code(text)
    except EventError:
        return
    assert len(code) == 3
    assert code.isascii()
    assert code.isupper()


# Amounts


@pytest.mark.parametrize(
    ("value", "currency", "rounded"),
    [
        ("1234.5", "JPY", "1235"),
        ("1234.49", "JPY", "1234"),
        (0.1, "USD", "0.10"),
        (0.1 + 0.2, "USD", "0.30"),
        (2.675, "USD", "2.68"),
        ("0.005", "USD", "0.01"),
        ("0.0049", "USD", "0.00"),
        (19, "EUR", "19.00"),
        (Decimal("1E+3"), "EUR", "1000.00"),
        ("1.2345", "KWD", "1.235"),
        (Decimal("0.0005"), "BHD", "0.001"),
        ("1e2", "USD", "100.00"),
        (" 5 ", "USD", "5.00"),
        ("1e-999999", "USD", "0.00"),
        (0, "USD", "0.00"),
    ],
)
def test_an_amount_is_rounded_half_up_to_the_places_of_its_currency(value, currency, rounded):
    result = amount(value, currency)
    assert isinstance(result, Decimal)
    assert str(result) == rounded


def test_an_integer_of_any_kind_is_an_amount():
    class Price(IntEnum):
        GOLD = 99

    assert amount(Price.GOLD, "USD") == Decimal("99.00")


@pytest.mark.parametrize("value", [MAX_AMOUNT, int(MAX_AMOUNT), float(MAX_AMOUNT), "1e12"])
def test_a_trillion_is_still_an_amount(value):
    assert amount(value, "USD") == MAX_AMOUNT


@pytest.mark.parametrize("value", [None, {}, [], b"1", 1j, Fraction(1, 2), object()])
def test_what_is_no_number_is_refused_by_its_type(value):
    with pytest.raises(EventError, match=f"must be a number, not {type(value).__name__}"):
        amount(value, "USD")


@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_is_no_amount(value):
    with pytest.raises(EventError, match="must be a number, not bool"):
        amount(value, "USD")


@pytest.mark.parametrize(
    "value",
    ["", " ", "ten", "1,5", "$5", "1.2.3", "0x10", "\ud800", "1e99999999999999999999"],
)
def test_a_text_that_is_no_number_is_refused(value):
    with pytest.raises(EventError, match="must be a number, not the text"):
        amount(value, "USD")


@pytest.mark.parametrize(
    "value",
    [
        *(float("nan"), float("inf"), float("-inf")),
        *("nan", "-NaN", "sNaN", "inf", "-Infinity"),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")),
    ],
)
def test_only_finite_numbers_are_amounts(value):
    with pytest.raises(EventError, match="must be a finite number"):
        amount(value, "USD")


@pytest.mark.parametrize("value", [-1, -0.01, "-5", Decimal("-1e-300"), -(10**400), "-1e999999"])
def test_a_negative_amount_is_refused(value):
    with pytest.raises(EventError, match="must not be negative"):
        amount(value, "USD")


@pytest.mark.parametrize(
    "value",
    [
        *(pytest.param(10**400, id="10**400"), HUGE, 1e300, "1e999999", Decimal("1e999999")),
        *(pytest.param("9" * 10_000, id="10000 nines"), MAX_AMOUNT + 1, "1000000000000.01"),
    ],
)
def test_an_absurd_amount_is_refused_and_the_text_is_short(value):
    with pytest.raises(EventError, match="must be at most 1,000,000,000,000 USD") as caught:
        amount(value, "USD")
    assert len(str(caught.value)) < 200


def test_a_huge_text_that_is_no_number_is_cut_in_the_error():
    with pytest.raises(EventError) as caught:
        amount("9" * 1_000_000 + "x", "USD")
    assert len(str(caught.value)) < 200


@steady
@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.decimals(),
        st.text(),
        st.from_regex(r"[+-]?[0-9]{0,30}\.?[0-9]{0,30}([eE][+-]?[0-9]{1,9})?", fullmatch=True),
    ),
    st.sampled_from(sorted(EXPONENTS)),
)
def test_anything_is_an_amount_of_its_currency_or_an_event_error(value, currency):
    try:
        result = amount(value, currency)
    except EventError:
        return
    assert 0 <= result <= MAX_AMOUNT
    assert result.as_tuple().exponent == -EXPONENTS[currency]
    assert amount(result, currency) == result
    assert amount(str(result), currency) == result


@steady
@given(st.decimals(min_value=0, max_value=10**12, places=2))
def test_an_amount_in_whole_minor_units_is_not_changed(value):
    assert amount(value, "USD") == value
    assert amount(float(value), "USD") == value


# What an error shows


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *(("12,50", "'12,50'"), ("$5", "'$5'"), ("1 000", "'1 000'"), ("", "''")),
        *(("ada@example.org", "of 15 characters"), ("8 916 123-45-67", "of 15 characters")),
        ("Ada", "of 3 characters"),
    ],
)
def test_a_text_that_is_no_number_is_shown_only_when_it_is_miswritten_money(value, shown):
    with pytest.raises(EventError) as caught:
        amount(value, "USD")
    assert str(caught.value) == f"value must be a number, not the text {shown}"


@pytest.mark.parametrize("value", [["ada@example.org"], b"79161234567"])
def test_what_is_no_number_is_not_shown(value):
    with pytest.raises(EventError) as caught:
        amount(value, "USD")
    assert str(caught.value) == f"value must be a number, not {type(value).__name__}"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        *(("USDT", "'USDT'"), ("$", "'$'"), (840, "840"), ("a@b.io", "a text of 6 characters")),
        *(("ada@example.org", "a text of 15 characters"), (["Ada"], "<list>")),
    ],
)
def test_only_a_short_code_is_shown(code, shown):
    with pytest.raises(EventError, match="three-letter ISO 4217 code") as caught:
        currency_code(code)
    assert str(caught.value).endswith(f"not {shown}")


# What only a rate knows


@pytest.mark.parametrize("code", ["USDT", "usdt", " Ton ", "XTR", "XAU"])
def test_a_code_that_a_rate_converts_is_taken(code):
    convertible = {"USDT", "TON", "XTR", "XAU"}
    assert currency_code(code, convertible) == code.strip().upper()
    with pytest.raises(EventError):
        currency_code(code, {"BTC"})


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        *((25, "25"), ("25.10", "25.10"), ("0.000000000000000001", "1E-18"), (0.1, "0.1")),
        *(("999999999999.123456789012345678", "999999999999.123456789012345678"),),
        *(("0.0000000000000000015", "2E-18"), ("1e-999999", "0E-18"), ("1E+12", "1E+12")),
    ],
)
def test_an_amount_of_it_keeps_its_places_up_to_18(value, kept):
    assert str(amount(value, "USDT", {"USDT"})) == kept


def test_an_amount_of_it_is_held_to_the_other_rules():
    for wrong in (-1, "1e13", "NaN", "ten"):
        with pytest.raises(EventError):
            amount(wrong, "USDT", {"USDT"})
    assert amount("9.999", "USD", {"USD"}) == Decimal("10.00")


def test_a_converter_says_which_currencies_have_a_rate():
    rates = {"usdt": ("USD", 1), "GEL": ("USD", "0.37")}
    converter = CurrencyConverter("Own", rates)
    assert converter.convertible == {"USDT", "GEL"}
    assert CurrencyConverter("Own").convertible == frozenset()
    coins = amount("25.123456789", "USDT", converter.convertible)
    assert converter.convert(coins, "USDT") == (Decimal("25.12"), "USD")


# What a platform takes


def test_a_platform_supports_its_currencies_and_those_with_a_rate():
    rates = {"gel": ("usd", "0.37")}
    some = CurrencyConverter("Own", rates, supported=frozenset({"USD", "EUR"}))
    assert [code for code in ("USD", " eur ", "gel", "JPY", "XTR") if some.supports(code)] == [
        *("USD", " eur ", "gel"),
    ]
    every = CurrencyConverter("Own", rates)
    assert [code for code in ("JPY", "GEL", "XTR", "USDT", "XAU") if every.supports(code)] == [
        *("JPY", "GEL"),
    ]


def test_what_is_supported_is_converted_only_by_a_rate():
    some = CurrencyConverter("Own", {"GEL": ("USD", "0.37")}, supported=frozenset({"USD"}))
    assert some.convert("10.01", "gel") == (Decimal("3.70"), "USD")
    assert some.convert("10.01", None) == (Decimal("10.01"), "USD")
    with pytest.raises(EventError, match=r"Own\(rates=\{'EUR'"):
        some.convert(1, "EUR")


# The decimal context belongs to the bot


@pytest.fixture(
    params=[
        decimal.Context(prec=1, rounding=decimal.ROUND_DOWN),
        decimal.Context(prec=3, rounding=decimal.ROUND_UP, Emax=2, Emin=-2),
        decimal.Context(
            traps=[
                decimal.Inexact,
                decimal.Rounded,
                decimal.Subnormal,
                decimal.FloatOperation,
                decimal.InvalidOperation,
            ],
        ),
        decimal.Context(traps=[]),
    ],
    ids=["one digit", "narrow", "everything trapped", "nothing trapped"],
)
def bots_context(request: pytest.FixtureRequest) -> Iterator[None]:
    with decimal.localcontext(request.param):
        yield


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(12345.675, "12345.68"), ("2.675", "2.68"), (10**11, "100000000000.00"), (0.1, "0.10")],
)
def test_a_changed_decimal_context_changes_no_amount(bots_context, value, rounded):
    assert str(amount(value, "USD")) == rounded


@pytest.mark.parametrize(
    "value",
    ["ten", "NaN", "sNaN", float("nan"), "-1", "-123456.7", HUGE, "1e999999", "1" * 30],
)
def test_a_changed_decimal_context_lets_nothing_through(bots_context, value):
    with pytest.raises(EventError):
        amount(value, "USD")
