"""Amounts of money as the ad platforms want them: a Decimal in a currency of ISO 4217."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import lru_cache

from iso4217 import Currency

from gp_aiogram.errors import EventError, shown

DEFAULT_CURRENCY = "USD"

#: More than any sale: an amount above it is a mistake (units, not minor units).
MAX_AMOUNT = Decimal(10) ** 12

TELEGRAM_STARS = "XTR"

#: Our own, so that a bot that changes the global decimal context changes no amount.
_CONTEXT = Context(prec=28, rounding=ROUND_HALF_UP)


def currency_code(code: object) -> str:
    """Return the ISO 4217 code in upper case.

    :param code: three letters, in any case.
    :raises EventError: when the code is not one that money can be counted in.
    """
    if not isinstance(code, str):
        msg = f"currency must be a three-letter ISO 4217 code such as 'USD', not {shown(code)}"
        raise EventError(msg)
    upper = code.strip().upper()
    _exponent(upper)
    return upper


def amount(value: object, currency: str) -> Decimal:
    """Return the value as a Decimal, rounded half up to the currency's own exponent.

    :param value: units of the currency (not minor units): int, float, Decimal or a numeric string.
    :param currency: a code that :func:`currency_code` returned.
    :raises EventError: when the value is no amount: not a number, negative, infinite or absurd.
    """
    number = _decimal(value)
    if not number.is_finite():
        msg = f"value must be a finite number, not {number}"
        raise EventError(msg)
    if number < 0:
        msg = f"value must not be negative, got {number:.6g}"
        raise EventError(msg)
    if number > MAX_AMOUNT:
        msg = f"value must be at most {MAX_AMOUNT:,} {currency}, got {number:.3e}"
        raise EventError(msg)
    return number.quantize(Decimal((0, (1,), -_exponent(currency))), context=_CONTEXT)


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        msg = f"value must be a number, not {type(value).__name__}: {shown(value)}"
        raise EventError(msg)
    try:
        # A float goes through its shortest text, so that 0.1 stays 0.1.
        return Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    except (InvalidOperation, ValueError):
        msg = f"value must be a number, not the text {shown(value)}"
        raise EventError(msg) from None


@lru_cache(maxsize=256)
def _exponent(code: str) -> int:
    """Return how many decimal places the currency has (ISO 4217, list one)."""
    if code == TELEGRAM_STARS:
        msg = (
            "XTR (Telegram Stars) is not a currency of ISO 4217 and no platform takes it: "
            "convert the amount and give the currency you converted to"
        )
        raise EventError(msg)
    try:
        exponent: int | None = Currency(code).exponent
    except ValueError:
        msg = f"currency must be a three-letter ISO 4217 code such as 'USD', not {shown(code)}"
        raise EventError(msg) from None
    if exponent is None:
        msg = f"{code} is a code of ISO 4217 that nobody can be charged in (metal, fund or test)"
        raise EventError(msg)
    return exponent
