"""Identity: the text that each platform compares, and its digest.

The tables in ``data`` are public: Meta's and TikTok's documents, and the test suites of their
own and of other libraries; each row names its origin.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
import sys
from datetime import date, datetime, timezone
from enum import Enum, IntEnum
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gp_aiogram.errors import ConfigurationError
from gp_aiogram.identity import FIELDS, PLATFORMS, TIKTOK_PLAIN, hashed, normalize
from gp_aiogram.identity.countries import _ISO_3166_1, COUNTRIES
from gp_aiogram.identity.genders import _FEMALE, _MALE, GENDERS
from gp_aiogram.identity.states import _CANADA, _UNITED_STATES, STATES
from gp_aiogram.identity.text import SPACES

DATA = Path(__file__).parents[1] / "data"


def load(name):
    rows = json.loads((DATA / name).read_text(encoding="utf-8"))
    return rows["cases"] if isinstance(rows, dict) else rows


def name_of(row):
    return f"{row['field']}-{row['input'][:40]!a}"


def table(rows):
    return pytest.mark.parametrize("row", [pytest.param(row, id=name_of(row)) for row in rows])


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def meta(field, value):
    return normalize(field, value, platform="meta")


def tiktok(field, value):
    return normalize(field, value, platform="tiktok")


# Meta


@table(load("meta_pii_normalise_docs.json"))
def test_meta_documents(row):
    assert meta(row["field"], row["input"]) == row["expected"]
    assert hashed(row["field"], row["input"], platform="meta") == row["expected_sha256"]


@table(load("meta_pii_normalise_param_builder.json"))
def test_meta_parameter_builder(row):
    # Names, phones and ids without any content are an empty text there and no value here:
    # the digest of nothing would say that all these users are one.
    assert meta(row["field"], row["input"]) == (row["expected"] or None)


OTHER_SDKS = load("meta_pii_normalise_other_sdks.json")

#: Rows on what another library does that we do not, and what we do.
CONTRADICTED = {
    # Segment hashes any text. The documents ask for a code of ISO 3166-1, and this is none.
    ("country", "Ontario"): None,
    # Segment hashes the name. The documents show a name that becomes its code.
    ("country", "United States of America"): "us",
}


def agreed(row):
    return row["field"] in FIELDS and (row["field"], row["input"]) not in CONTRADICTED


@table([row for row in OTHER_SDKS if agreed(row)])
def test_meta_other_sdks(row):
    expected = None if row["expected"] == "error" else row["expected"]
    assert meta(row["field"], row["input"]) == expected
    assert hashed(row["field"], row["input"], platform="meta") == row.get("expected_sha256")


@pytest.mark.parametrize(("field", "value"), CONTRADICTED)
def test_what_the_documents_contradict_is_not_followed(field, value):
    row = next(row for row in OTHER_SDKS if (row["field"], row["input"]) == (field, value))
    assert meta(field, value) == CONTRADICTED[field, value] != row["expected"]


@table([row for row in OTHER_SDKS if row["field"] not in FIELDS])
def test_keys_that_the_documents_no_longer_have_are_no_fields(row):
    with pytest.raises(ConfigurationError):
        meta(row["field"], row["input"])


@pytest.mark.parametrize(
    ("field", "value", "builder", "ours"),
    [
        # "No spaces": the parameter builder keeps those within.
        ("zp", "SW1A 1AA", "sw1a 1aa", "sw1a1aa"),
        ("zp", "M5V 3A8", "m5v 3a8", "m5v3a8"),
        # "Must be encoded in UTF-8": the parameter builder drops what is not a to z.
        ("ct", "São Paulo", "sopaulo", "sãopaulo"),
        ("ct", "Санкт-Петербург", None, "санктпетербург"),
        ("ct", "मुंबई", None, "मुंबई"),
        # "Normalize states outside the U.S. in lowercase": the builder takes two letters.
        ("st", "Bavaria", "ba", "bavaria"),
        ("st", "Baja California", "ca", "bajacalifornia"),
        ("st", "Nordrhein-Westfalen", "no", "nordrheinwestfalen"),
        ("st", "Québec", "qu", "qc"),
        # "2-letter country codes in ISO 3166-1": the builder guesses from the letters.
        ("country", "Atlantis", "at", None),
        ("country", "InvalidCountry", "in", None),
        ("country", "UKR", "uk", "ua"),
        ("country", "UAE", "ua", "ae"),
        ("country", "Côte d'Ivoire", "ct", "ci"),
        ("country", "x", "x", None),
        # "MM 01 to 12, DD 01 to 31": the builder takes any eight digits.
        ("db", "19901301", "19901301", None),
        ("db", "31121990", "31121990", None),
    ],
)
def test_the_documents_overrule_the_parameter_builder(field, value, builder, ours):
    assert meta(field, value) == ours != builder


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("em", "user@mail.example.com.", None),
        ("em", "two@at@example.com", None),
        ("em", "spaced out@example.com", None),
        ("em", ".dot@example.com", None),
        ("em", "user@-example.com", None),
        ("em", "USER@EXAMPLE.COM\ufeff", "user@example.com"),
        ("ph", "+7 (999) 123-45-67", "79991234567"),
        ("ph", "0049 30 1234567", "49301234567"),
        ("fn", "Anna-Юлия", "annaюлия"),
        ("ln", " de la Cruz ", "delacruz"),
        ("ge", "MA'AM", "f"),
        ("ge", "Gentleman", "m"),
        ("ct", "10th of Ramadan", None),
        ("st", "west virginia", "wv"),
        ("st", "Washington, D.C.", "dc"),
        ("st", "Newfoundland & Labrador", "nl"),
        ("st", "PuertoRico", "pr"),
        ("zp", "a", None),
        ("zp", "1010 - 1", "1010"),
        ("country", "The Netherlands", "nl"),
        ("country", "Bosnia & Herzegovina", "ba"),
        ("country", "BosniaAndHerzegovina", "ba"),
        ("country", "Korea, Republic of", "kr"),
        ("country", "DEU", "de"),
        ("country", "AND", "ad"),
        ("country", "and", "ad"),
        ("country", "Türkiye", "tr"),
        ("country", "of the", None),
        # Two letters are not checked: ISO 3166-1 changes, and Kosovo's XK is not in it.
        ("country", "XK", "xk"),
        ("country", "U.K.", "uk"),
        ("external_id", " Tg 42 ", "tg42"),
    ],
)
def test_meta_rules(field, value, expected):
    assert meta(field, value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "19900705",
        "7/5/1990",
        "07-05-1990",
        "1990-07-05",
        "1990.7.5",
        "born: 1990, 07, 05",
        "1990-07-05T23:59:59Z",
        "5 1990 7",  # the month last: the numbers are read as a circle from the year
        19900705,
        date(1990, 7, 5),
        datetime(1990, 7, 5, 23, tzinfo=timezone.utc),
    ],
)
def test_a_date_of_birth_in_every_order_with_the_month_first(value):
    assert meta("db", value) == "19900705"


@pytest.mark.parametrize("value", ["25/7/1990", "7/25/1990", "1990/25/7", "1990/7/25"])
def test_a_number_above_twelve_is_the_day(value):
    assert meta("db", value) == "19900725"


@pytest.mark.parametrize(
    "value",
    ["7/1990", "7/5/90", "5 July 1990", "00/05/1990", "7/5/11990", "7/5/1799", "1990" * 2000],
)
def test_what_is_no_date_of_birth(value):
    assert meta("db", value) is None


def test_nobody_is_born_after_next_year():
    next_year = datetime.now(timezone.utc).year + 1
    assert meta("db", f"{next_year}0101") == f"{next_year}0101"
    assert meta("db", f"{next_year + 1}0101") is None
    assert meta("db", date(next_year + 1, 1, 1)) is None


# TikTok

TIKTOK_FIELDS = {
    "user.email": "em",
    "context.user.email": "em",
    "user.phone": "ph",
    "user.external_id": "external_id",
}

#: Advertising ids of apps are no traits of a bot's user.
TIKTOK_OTHERS = {"user.idfa", "user.gaid"}

TIKTOK_HASHES = load("tiktok_hash.json")


@table([row for row in TIKTOK_HASHES if row["field"] not in TIKTOK_OTHERS])
def test_tiktok_hashes(row):
    assert hashed(TIKTOK_FIELDS[row["field"]], row["input"], platform="tiktok") == row["expected"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("(+1)2133734253", "+12133734253"),
        ("+7 (999) 123-45-67", "+79991234567"),
        ("79991234567", "+79991234567"),
        (79991234567, "+79991234567"),
        ("+0044 20 7946 0958", "+442079460958"),
        ("0044 20 7946 0958", "+442079460958"),
        ("020 7946 0958", None),
        ("+1234567", None),
        ("12345678", "+12345678"),
        ("123456789012345", "+123456789012345"),
        ("1234567890123456", None),
        ("1-800-FLOWERS", None),
        ("+", None),
        ("no phone", None),
        ("", None),
    ],
)
def test_tiktok_takes_phones_in_e164_with_their_plus(value, expected):
    assert tiktok("ph", value) == expected


def test_tiktok_takes_an_external_id_as_it_is():
    assert tiktok("external_id", " User 123\n") == "User 123"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("em", "ALICE_abc@gmail.com", "alice_abc@gmail.com"),
        ("fn", "Anne-Marie", "annemarie"),
        ("ln", "O'Neil", "oneil"),
        ("zp", "SW1A 1AA", "sw1a1aa"),
        ("ct", "New York", "newyork"),
        ("st", "California", "ca"),
        ("country", "Germany", "de"),
    ],
)
def test_tiktok_takes_the_rest_as_meta_does(field, value, expected):
    assert tiktok(field, value) == meta(field, value) == expected


def test_places_are_plain_text_for_tiktok_but_hashed_all_the_same_when_asked():
    assert {"ct", "st", "country"} == TIKTOK_PLAIN
    assert tiktok("ct", "New York") == "newyork"
    assert hashed("ct", "New York", platform="tiktok") == sha256("newyork")


# Both

DIGEST = "A665A45920422F9D417E4867EFDC4FB8A04A1F3FFF1FA07E998E86F7F7A27AE3"

#: One usable value for each field.
USABLE = {
    "em": "John_Smith@gmail.com",
    "ph": "+1 (650) 555-1212",
    "fn": "Мария",
    "ln": "Smith",
    "ge": "female",
    "db": "2/16/1997",
    "ct": "Menlo Park",
    "st": "California",
    "zp": "94035",
    "country": "United States",
    "external_id": "42",
}

fields = st.sampled_from(FIELDS)
platforms = st.sampled_from(PLATFORMS)
shaped = st.one_of(
    st.emails(),
    st.dates(),
    st.datetimes(),
    st.dates().map(lambda day: f"{day:%d.%m.%Y}"),
    st.from_regex(r"\+?[0-9() -]{5,20}"),
    st.sampled_from([*COUNTRIES, *STATES, *GENDERS, *USABLE.values()]),
)
anything = st.one_of(
    shaped,
    st.text(st.characters()),
    st.binary(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.lists(st.text(), max_size=2),
)


def test_the_fields_and_platforms_are_those_of_the_contract():
    assert " ".join(FIELDS) == "em ph fn ln ge db ct st zp country external_id"
    assert PLATFORMS == ("meta", "tiktok")
    assert tuple(USABLE) == FIELDS


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("field", FIELDS)
def test_a_usable_value_is_normalised_and_hashed(field, platform):
    text = normalize(field, USABLE[field], platform=platform)
    assert text
    assert hashed(field, USABLE[field], platform=platform) == sha256(text)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("digest", [DIGEST, DIGEST.lower(), f" {DIGEST}\n"])
def test_a_digest_passes_through(digest, field, platform):
    assert normalize(field, digest, platform=platform) == digest.strip()
    assert hashed(field, digest, platform=platform) == DIGEST.lower()


def test_a_digest_that_is_not_sha256_is_a_text_like_any_other():
    # Meta's code lets MD5 through. The API takes SHA-256 alone, and 32 digits may be a UUID.
    md5 = "5d41402abc4b2a76b9719d911017c592"
    assert hashed("external_id", md5, platform="meta") == sha256(md5)
    assert hashed("em", md5, platform="meta") is None


class Unspeakable:
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " \n\ufeff",
        "\ud800",
        "79991234567\udcff",
        b"79991234567",
        bytearray(b"42"),
        True,
        False,
        4.2,
        float("nan"),
        pytest.param(10**5000, id="10**5000"),
        [],
        {"em": "a@b.io"},
        ("79991234567",),
        object(),
        date,
        UUID(int=42),
        Unspeakable(),
    ],
)
def test_what_is_no_text_is_not_usable(value, field, platform):
    assert normalize(field, value, platform=platform) is None
    assert hashed(field, value, platform=platform) is None


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "db"])
def test_a_date_is_usable_as_a_date_of_birth_only(field):
    assert meta(field, date(1990, 7, 5)) is None


class Label(str, Enum):
    EMAIL = "Jane@Example.com"


class Number(IntEnum):
    ID = 42


def test_members_of_an_enum_are_their_values():
    assert meta("em", Label.EMAIL) == "jane@example.com"
    assert meta("external_id", Number.ID) == "42"


def test_numbers_are_their_digits():
    assert meta("ph", 79991234567) == "79991234567"
    assert meta("zp", 94035) == "94035"
    assert meta("external_id", -100123) == "-100123"


@pytest.mark.parametrize("function", [normalize, hashed])
@pytest.mark.parametrize("value", ["a@b.io", None])
def test_an_unknown_field_or_platform_is_a_mistake_and_says_what_there_is(function, value):
    with pytest.raises(ConfigurationError, match=r"em, ph, fn, .*external_id, not 'email'"):
        function("email", value, platform="meta")
    with pytest.raises(ConfigurationError, match="meta, tiktok, not 'google'"):
        function("em", value, platform="google")
    with pytest.raises(ConfigurationError):
        function(["em"], value, platform="meta")
    with pytest.raises(ConfigurationError):
        function("em", value, platform=None)


@given(fields, platforms, anything)
def test_a_value_never_raises_and_is_hashed_if_usable(field, platform, value):
    text = normalize(field, value, platform=platform)
    digest = hashed(field, value, platform=platform)
    assert (digest is None) == (text is None)
    if digest is not None:
        assert text
        assert re.fullmatch("[0-9a-f]{64}", digest)
        assert digest == hashed(field, digest, platform=platform)


@given(fields, platforms, anything)
def test_normalising_is_stable(field, platform, value):
    text = normalize(field, value, platform=platform)
    assume(text is not None)
    assert normalize(field, text, platform=platform) == text
    assert hashed(field, text, platform=platform) == hashed(field, value, platform=platform)


@given(fields, platforms, st.one_of(shaped, st.text(min_size=8)))
def test_the_digest_shows_nothing_of_the_value(field, platform, value):
    text = normalize(field, value, platform=platform)
    assume(text is not None and len(text) >= 8)
    digest = hashed(field, value, platform=platform)
    assert text not in digest
    assert str(value) not in digest


@given(st.emails(), st.sampled_from([str.upper, str.lower, str.title]), platforms)
def test_case_and_white_space_around_do_not_matter(email, cased, platform):
    plain = hashed("em", email, platform=platform)
    assert hashed("em", f"\t {cased(email)}\n", platform=platform) == plain


@given(st.from_regex(r"\A(?!89)[1-9][0-9]{7,14}\Z"), platforms)
def test_a_phone_is_the_same_however_it_is_written(number, platform):
    written = f"+{number[:1]} ({number[1:4]}) {number[4:6]}-{number[6:]}"
    plain = hashed("ph", number, platform=platform)
    assert plain is not None
    assert plain == hashed("ph", written, platform=platform)
    assert plain == hashed("ph", int(number), platform=platform)


# Plain values, which take a shorter way to the same text


#: Texts in which plain letters and digits, and everything else, are each likely to be alone.
written = st.text(
    st.one_of(
        st.sampled_from(string.ascii_letters),
        st.sampled_from(string.digits),
        st.sampled_from(SPACES + string.punctuation),
        st.sampled_from("éßİıſǅΣѝ中あ٠²½Ⅷﬁ\u0301\u0345\u200d\x1c\x1f\x85\u180e"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=12,
) | st.text(string.ascii_letters, max_size=12)


def spelt_out(text, unwanted):
    return "".join(char for char in text.strip(SPACES) if char not in unwanted).lower()


@given(written)
def test_what_is_removed_is_removed_sign_by_sign(text):
    assert meta("fn", text) == (spelt_out(text, SPACES + string.punctuation) or None)
    assert meta("external_id", text) == (spelt_out(text, SPACES) or None)
    code = spelt_out(text.strip(SPACES).partition("-")[0], SPACES)
    assert meta("zp", text) == (code if len(code) >= 2 else None)


@given(st.sampled_from(["fn", "ct", "st", "country"]), written)
def test_a_name_is_the_same_with_a_full_stop(field, text):
    assume(not re.fullmatch("[0-9A-Fa-f]{64}", text.strip(SPACES)))
    for platform in PLATFORMS:
        plain = normalize(field, text, platform=platform)
        assert plain == normalize(field, f"{text}.", platform=platform)


@given(fields, platforms, anything)
def test_a_digest_is_the_same_each_time(field, platform, value):
    text = normalize(field, value, platform=platform)
    expected = None if text is None else sha256(text)
    if text is not None and re.fullmatch("[0-9A-Fa-f]{64}", text):
        expected = text.lower()
    for _ in range(2):
        assert hashed(field, value, platform=platform) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("em", "not-kept@example.com"),
        ("ph", "+79990001122"),
        ("fn", "notkept"),
        ("ln", "unkept"),
        ("db", "19011231"),
        ("zp", "90001"),
        ("external_id", "not-kept"),
    ],
)
def test_what_tells_one_user_from_another_is_not_kept_in_memory(field, value):
    own = "".join(value)
    before = sys.getrefcount(own)
    for platform in PLATFORMS:
        assert hashed(field, own, platform=platform)
    assert sys.getrefcount(own) == before


#: So many that anything quadratic would be noticed.
MANY = 30_000


def test_a_very_long_text_takes_no_time():
    for text in ("a" * MANY, "a." * MANY, "a@" + "a-" * MANY, "1" * MANY, "é " * MANY):
        for field in FIELDS:
            for platform in PLATFORMS:
                normalize(field, text, platform=platform)


# The words


@pytest.mark.parametrize(
    ("lines", "codes", "count"),
    [(_ISO_3166_1, COUNTRIES, 249), (_UNITED_STATES, STATES, 56), (_CANADA, STATES, 13)],
    ids=["countries", "united_states", "canada"],
)
def test_every_name_of_a_place_finds_its_code(lines, codes, count):
    rows = [line.split(maxsplit=1) for line in lines.strip().splitlines()]
    assert len({code for code, _ in rows}) == len(rows) == count
    field = "country" if codes is COUNTRIES else "st"
    for code, names in rows:
        assert meta(field, code) == code.lower()
        for name in names.split(" / "):
            assert meta(field, name) == meta(field, name.upper()) == code.lower()


def test_a_word_says_one_gender():
    assert not set(_MALE.split()) & set(_FEMALE.split())
    assert set(GENDERS.values()) == {"f", "m"}
