"""Schemas of JSON bodies, and the flaws that a check against one finds."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

_HEX_64 = re.compile(r"[0-9a-f]{64}")

# ISO 4217, list one of January 2026.
CURRENCIES = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN
    BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR
    FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY
    KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU
    MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
    RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP
    TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB
    XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905 - a table to read
)


class Flaw(NamedTuple):
    """One mistake in a body.

    :param kind: whether the field is missing, unknown to the schema, or has a wrong value.
    :param path: the keys and indices that lead to the field.
    :param wanted: what the value should be, to be read after "a valid".
    """

    kind: Literal["missing", "unknown", "wrong"]
    path: tuple[str | int, ...] = ()
    wanted: str = "value"

    def within(self, *keys: str | int) -> Flaw:
        """Prefix the path, to locate the flaw in an enclosing body.

        :param keys: the path from there to this body.
        """
        return self._replace(path=(*keys, *self.path))


#: Finds the flaws of one value; a valid value has none.
Check = Callable[[Any], Iterable[Flaw]]


def leaf(wanted: str, test: Callable[[Any], object]) -> Check:
    """Check a value as a whole.

    :param wanted: what it should be, to be read after "a valid".
    :param test: whether the value is valid.
    """
    flaws = (Flaw("wrong", wanted=wanted),)
    return lambda value: () if test(value) else flaws


def choice(*names: str) -> Check:
    """Check for one of several strings.

    :param names: the strings.
    """
    return leaf(f"value ({', '.join(names)})", lambda value: value in names)


def text(wanted: str, pattern: str) -> Check:
    """Check for a string of a given format.

    :param wanted: the format, to be read after "a valid".
    :param pattern: a regular expression for the whole string.
    """
    compiled = re.compile(pattern)
    return leaf(wanted, lambda value: isinstance(value, str) and compiled.fullmatch(value))


def array(item: Check) -> Check:
    """Check for an array.

    :param item: the check of each element.
    """

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, list):
            yield Flaw("wrong", wanted="array")
            return
        for index, element in enumerate(value):
            for flaw in item(element):
                yield flaw.within(index)

    return check


def one_or_many(item: Check) -> Check:
    """Check for a value or a non-empty array of such values.

    :param item: the check of the value and of each element.
    """
    many = array(item)
    return lambda value: many(value) if isinstance(value, list) and value else item(value)


def record(
    fields: Mapping[str, Check], *, required: Collection[str] = (), others: bool = False
) -> Check:
    """Check for an object: first for missing fields, then field by field in the order sent.

    :param fields: the checks of the fields, by name.
    :param required: the fields that must be there.
    :param others: whether other fields are allowed.
    """

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, dict):
            yield Flaw("wrong", wanted="object")
            return
        for name in required:
            if name not in value:
                yield Flaw("missing", (name,))
        for name, content in value.items():
            if name in fields:
                for flaw in fields[name](content):
                    yield flaw.within(name)
            elif not others:
                yield Flaw("unknown", (name,))

    return check


def describe(flaw: Flaw, body: Mapping[str, Any]) -> str:
    """Describe a flaw of a flat body in words.

    :param flaw: the flaw.
    :param body: the body it was found in.
    """
    name = str(flaw.path[0])
    if flaw.kind == "missing":
        return f"{name} is required"
    if flaw.kind == "unknown":
        return f"there is no field {name}"
    return f"{name} must be a valid {flaw.wanted}, got {json.dumps(body[name])}"


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


INTEGER = leaf("integer", _is_integer)
NUMBER = leaf("number", _is_number)
BOOLEAN = leaf("boolean", lambda value: isinstance(value, bool))
#: An empty string is not valid: a client should leave the field out instead.
STRING = leaf("string", lambda value: isinstance(value, str) and value.strip())
#: Milliseconds, the usual mistake, are not valid: as seconds they lie beyond the year 5000.
SECONDS = leaf("integer", lambda value: _is_integer(value) and 0 < value < 10**11)

CURRENCY = leaf("ISO 4217 code", lambda value: isinstance(value, str) and value in CURRENCIES)

DIGEST_WANTED = "SHA-256 digest in lower-case hex"
DIGEST = leaf(DIGEST_WANTED, lambda value: isinstance(value, str) and _HEX_64.fullmatch(value))
