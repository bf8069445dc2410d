"""Amounts of money as the ad platforms want them: a Decimal in a currency of ISO 4217."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import lru_cache

from iso4217 import Currency

from gp_aiogram.errors import ConfigurationError, EventError, short_repr
from gp_aiogram.model.wording import describe

DEFAULT_CURRENCY = "USD"

#: More than any sale: an amount above it is a mistake (units, not minor units).
MAX_AMOUNT = Decimal(10) ** 12

TELEGRAM_STARS = "XTR"

#: Currencies that Telegram still lists and ISO 4217 has withdrawn: their exponent, and how many
#: of them one euro replaced (Council Regulation (EC) 2866/98, as amended for Croatia and
#: Bulgaria).
_REPLACED_BY_EURO = {
    "BGN": (2, Decimal("1.95583")),
    "HRK": (2, Decimal("7.53450")),
}

#: What TikTok takes (Events API 2.0, "Report App, Web, Offline, or CRM Events": ``currency``).
_TIKTOK = """
AED ARS AUD BDT BHD BIF BOB BRL CAD CHF CLP CNY COP CRC CZK DKK DZD EGP EUR GBP GTQ HKD HNL HUF
IDR ILS INR ISK JPY KES KHR KRW KWD KZT MAD MOP MXN MYR NGN NIO NOK NZD OMR PEN PHP PKR PLN PYG
QAR RON RUB SAR SEK SGD THB TRY TWD UAH USD VES VND ZAR
"""

TIKTOK_CURRENCIES = frozenset(_TIKTOK.split())

#: What one unit of a currency is worth in another: ``{"GEL": ("USD", Decimal("0.37"))}``.
Rates = Mapping[str, tuple[str, Decimal]]

#: Our own, so that a bot that changes the global decimal context changes no amount. Its precision
#: holds the largest amount with the most places.
_CONTEXT = Context(prec=31, rounding=ROUND_HALF_UP)

#: What is no currency of ISO 4217 keeps the places that it has; no coin has more than 18.
_COIN_PLACES = 18
_SMALLEST_COIN = Decimal((0, (1,), -_COIN_PLACES))

#: Texts that an error may show: short codes, and numbers such as ``12,50`` or ``$5``, of too few
#: digits to be a phone number.
_LONGEST_CODE = 8
_MISWRITTEN = re.compile(r"[-+$€£₽%]?\s?(?:\d[\s.,'_]{0,2}){1,6}[$€£₽%]?")


def currency_code(code: object, convertible: Collection[str] = ()) -> str:
    """Return the ISO 4217 code in upper case.

    :param code: three letters, in any case.
    :param convertible: other codes that are taken, in upper case, since a rate converts them.
    :raises EventError: when the code is not one that money can be counted in.
    """
    if not isinstance(code, str):
        raise EventError(_no_code(code))
    upper = code.strip().upper()
    if upper not in convertible:
        _exponent(upper)
    return upper


def amount(value: object, currency: str, convertible: Collection[str] = ()) -> Decimal:
    """Return the value as a Decimal, rounded half up to the currency's own exponent.

    :param value: units of the currency (not minor units): int, float, Decimal or a numeric string.
    :param currency: a code that :func:`currency_code` returned.
    :param convertible: as :func:`currency_code` got it. An amount of a currency that only a rate
        knows keeps its places, 18 at most.
    :raises EventError: when the value is no amount: not a number, negative, infinite or absurd.
    """
    number = _number(value, currency)
    if currency in convertible and not _is_iso(currency):
        places = -int(number.as_tuple().exponent)
        return number if places <= _COIN_PLACES else _CONTEXT.quantize(number, _SMALLEST_COIN)
    return _rounded(number, currency)


def _number(value: object, currency: str) -> Decimal:
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
    return number


def _rounded(number: Decimal, currency: str) -> Decimal:
    return _CONTEXT.quantize(number, _smallest(currency))


def json_number(value: Decimal) -> int | float:
    """Return an amount as JSON writes numbers, the only place where it becomes a float."""
    return float(value) if "." in f"{value:f}" else int(value)


def is_iso(code: str) -> bool:
    """Return whether this is a currency of ISO 4217 that somebody can be charged in."""
    try:
        currency_code(code)
    except EventError:
        return False
    return True


def is_stars(currency: object) -> bool:
    """Return whether this is the code of Telegram Stars."""
    return isinstance(currency, str) and currency.strip().upper() == TELEGRAM_STARS


def from_minor_units(total: int, currency: str) -> tuple[Decimal, str]:
    """Return an amount and its currency from Telegram's count of smallest units.

    Source: Bot API, ``SuccessfulPayment.total_amount``, whose exponents (``currencies.json``) are
    those of ISO 4217. A star has no smaller unit. What the euro has replaced becomes euros.

    :param total: such as 145 for 1.45 USD, and 145 for 145 JPY.
    :param currency: ISO 4217 code, or ``XTR`` for Telegram Stars.
    :raises EventError: when there is no such currency.
    """
    code = currency.strip().upper()
    if code == TELEGRAM_STARS:
        return Decimal(total), code
    if code in _REPLACED_BY_EURO:
        exponent, per_euro = _REPLACED_BY_EURO[code]
        value = _CONTEXT.divide(Decimal(total).scaleb(-exponent, _CONTEXT), per_euro)
        return _rounded(value, "EUR"), "EUR"
    return Decimal(total).scaleb(-_exponent(code), _CONTEXT), code


@dataclass(frozen=True)
class Stars:
    """What a Telegram Star is worth. No ad platform accepts Stars as a currency.

    :param rate: units of the currency per Star; by default what Telegram pays developers.
    :param currency: ISO 4217 code.
    :raises ConfigurationError: when the rate or the currency is invalid.
    """

    rate: Decimal = Decimal("0.013")
    currency: str = DEFAULT_CURRENCY

    def __post_init__(self) -> None:
        try:
            rate, currency = _decimal(self.rate), currency_code(self.currency)
        except EventError as error:
            msg = f"Stars(rate=..., currency=...): {error}"
            raise ConfigurationError(msg) from None
        if not rate.is_finite() or not 0 < rate <= MAX_AMOUNT:
            msg = (
                "Stars(rate=...) must be what one star is worth, such as Decimal('0.013'), "
                f"not {short_repr(self.rate)}"
            )
            raise ConfigurationError(msg)
        object.__setattr__(self, "rate", rate)
        object.__setattr__(self, "currency", currency)

    @staticmethod
    def count(stars: object) -> int | float:
        """Return an amount of Stars as a JSON number.

        :raises EventError: when it is not a valid amount.
        """
        return json_number(_number(stars, TELEGRAM_STARS))

    def worth(self, stars: object) -> Decimal:
        """Return what an amount of Stars is worth, in ``currency``.

        :raises EventError: when it is not a valid amount.
        """
        number = _number(stars, TELEGRAM_STARS)
        return amount(_CONTEXT.multiply(number, self.rate), self.currency)


class CurrencyConverter:
    """Knows which currencies an ad platform takes, and converts others by fixed rates.

    :param owner: the destination, for messages, e.g. ``TikTokEvents``.
    :param rates: what to convert, to which currency, and at which rate. A currency with a rate is
        always converted; one that the platform does not take needs a rate.
    :param supported: ISO 4217 codes; None for all of them.
    :raises ConfigurationError: when a rate cannot work.
    """

    def __init__(
        self,
        owner: str,
        rates: Rates | None = None,
        supported: frozenset[str] | None = None,
    ) -> None:
        self._owner = owner
        self._supported = supported
        self._rates = dict(self._validate(rate) for rate in _items(owner, rates))
        #: Codes that have a rate, in upper case.
        self.convertible = frozenset(self._rates)

    def convert(self, value: object, currency: str | None) -> tuple[Decimal, str]:
        """Return the amount as the platform takes it, with no more places than the currency has.

        :param value: units of the currency.
        :param currency: None means :data:`DEFAULT_CURRENCY`, as everywhere.
        :raises EventError: when the currency is neither supported nor convertible, or the value
            is no amount.
        """
        code = str(currency or DEFAULT_CURRENCY).strip().upper()
        if code in self._rates:
            target, rate = self._rates[code]
            return amount(_CONTEXT.multiply(_number(value, code), rate), target), target
        if not self._takes(code):
            msg = (
                f"{code} is no currency that the platform takes: set what one unit is worth, "
                f"{self._owner}(rates={{'{code}': ('{self._example()}', Decimal(...))}})"
            )
            raise EventError(msg)
        return amount(value, code), code

    def supports(self, currency: str) -> bool:
        """Return whether the platform takes a currency, or a rate converts it."""
        code = currency.strip().upper()
        return code in self._rates or self._takes(code)

    def _example(self) -> str:
        """Return a currency that the platform takes."""
        return DEFAULT_CURRENCY if self._takes(DEFAULT_CURRENCY) else min(self._supported or ())

    def _takes(self, code: str) -> bool:
        return _is_iso(code) if self._supported is None else code in self._supported

    def _validate(self, item: tuple[object, object]) -> tuple[str, tuple[str, Decimal]]:
        code, pair = item
        target, number = _target_and_rate(pair)
        named = isinstance(code, str) and code.strip()
        sane = number.is_finite() and 0 < number <= MAX_AMOUNT
        if not named or not sane or not self._takes(target):
            msg = (
                f"{self._owner}(rates=...) must say what one unit of a currency is worth in one "
                f"that the platform takes, such as {{'GEL': ('USD', Decimal('0.37'))}}, "
                f"not {short_repr(code)}: {short_repr(pair)}"
            )
            raise ConfigurationError(msg)
        return str(code).strip().upper(), (target, number)


def _target_and_rate(pair: object) -> tuple[str, Decimal]:
    """Return a pair's currency and rate, or no currency when the pair is invalid."""
    if not isinstance(pair, (tuple, list)) or len(pair) != len(("currency", "rate")):
        return "", Decimal(0)
    try:
        return str(pair[0]).strip().upper(), _decimal(pair[1])
    except EventError:
        return "", Decimal(0)


def _items(owner: str, rates: object) -> list[tuple[object, object]]:
    if rates is None:
        return []
    if not isinstance(rates, Mapping):
        msg = f"{owner}(rates=...) must be a mapping such as {{'GEL': ('USD', Decimal('0.37'))}}"
        raise ConfigurationError(msg)
    return list(rates.items())


def _decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        msg = f"value must be a number, not {type(value).__name__}"
        raise EventError(msg)
    try:
        # A float goes through its shortest text, so that 0.1 stays 0.1.
        return Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    except (InvalidOperation, ValueError):
        msg = f"value must be a number, not the text {_shown(str(value).strip())}"
        raise EventError(msg) from None


def _shown(text: str) -> str:
    is_number = not text or _MISWRITTEN.fullmatch(text)
    return repr(text) if is_number else f"of {len(text)} characters"


@lru_cache(maxsize=256)
def _smallest(code: str) -> Decimal:
    return Decimal((0, (1,), -_exponent(code)))


@lru_cache(maxsize=1)
def iso_codes() -> tuple[str, ...]:
    """Return every code of ISO 4217 that somebody can be charged in, sorted."""
    return tuple(sorted(one.code for one in Currency if _is_iso(one.code)))


@lru_cache(maxsize=256)
def _exponent(code: str) -> int:
    """Return how many decimal places the currency has (ISO 4217, list one)."""
    if code == TELEGRAM_STARS:
        msg = (
            "XTR (Telegram Stars) is not a currency of ISO 4217 and no platform takes it: "
            "say what a star is worth, Tracker(stars=Stars(rate=Decimal('0.013'))), or convert"
        )
        raise EventError(msg)
    try:
        exponent: int | None = Currency(code).exponent
    except ValueError:
        raise EventError(_no_code(code)) from None
    if exponent is None:
        msg = f"{code} is a code of ISO 4217 that nobody can be charged in (metal, fund or test)"
        raise EventError(msg)
    return exponent


def _is_iso(code: str) -> bool:
    try:
        _exponent(code)
    except EventError:
        return False
    return True


def _no_code(code: object) -> str:
    is_short = isinstance(code, str) and len(code) <= _LONGEST_CODE and "@" not in code
    shown = short_repr(code) if is_short else describe(code)
    return (
        "currency must be a three-letter ISO 4217 code such as 'USD', or one that a destination "
        f"has a rate for, not {shown}"
    )
