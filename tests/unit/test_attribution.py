"""Which payloads hold a session, and what an attribution policy may be."""

from __future__ import annotations

import copy
import pickle
import re
import string
from dataclasses import FrozenInstanceError, replace
from datetime import datetime, timedelta, timezone
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gp_aiogram import Attribution, ConfigurationError, EventError, Session
from gp_aiogram.model.session import SESSION_PATTERN, SOURCES, Parsed, Source

#: The same examples each time, however slow the machine is.
steady = settings(deadline=None, derandomize=True)

#: What stands where nobody has put a session.
NOTHING = "__[A-Z][A-Z0-9_]*__|(?i:null|undefined|none|nan)"
MACRO = re.compile(rf"gp_({NOTHING})([_-]+({NOTHING}))*")

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)

ALPHABET = string.ascii_letters + string.digits + "_-"


# The grammar of payloads


@pytest.mark.parametrize(
    "payload",
    ["gp_a1b2c3", "gp_A", "gp_-", "gp__", "gp_gp_gp", "gp_0-9_Z", "gp_" + "x" * 61],
)
def test_the_session_id_is_the_whole_payload_with_its_prefix(payload):
    assert Attribution().session_id(payload) == payload


@pytest.mark.parametrize(
    "payload",
    [
        *("", "gp_", "gp", "GP_a1b2c3", "Gp_a", "gp-a1b2c3", "xgp_a", "ref_42", "42"),
        *(" gp_a", "gp_a ", "gp_a\n", "\ngp_a", "gp_a b", "gp_a\0", "gp_a.b", "gp_a%20", "gp_a="),
        *("gp_é", "gp_\u0430", "gp_\u0661", "gp_\uff41", "gp_\ud83d", "\u0261p_a", "gp\u203f_a"),
        *("gp_" + "x" * 62, "gp_" + "x" * 10_000),
    ],
)
def test_a_payload_of_another_form_holds_no_session(payload):
    assert Attribution().session_id(payload) is None


@steady
@given(st.text())
@example("gp_a\n")
@example("gp_" + "a" * 61)
@example("gp_" + "a" * 62)
def test_any_text_is_a_session_exactly_when_it_matches_the_grammar(text):
    matches = re.fullmatch(r"gp_[A-Za-z0-9_-]+", text, re.ASCII) and len(text) <= 64
    matches = matches and not MACRO.fullmatch(text)
    assert Attribution().session_id(text) == (text if matches else None)


@steady
@given(st.text(alphabet=ALPHABET, max_size=70))
def test_any_text_of_the_right_letters_is_a_session_within_64_characters(rest):
    payload = "gp_" + rest
    is_session = rest and len(payload) <= 64 and not MACRO.fullmatch(payload)
    expected = payload if is_session else None
    assert Attribution().session_id(payload) == expected


@steady
@given(
    st.text(alphabet=ALPHABET, min_size=1, max_size=30),
    st.characters(exclude_characters=ALPHABET),
    st.integers(min_value=0, max_value=33),
)
def test_one_wrong_character_anywhere_spoils_a_payload(rest, wrong, position):
    payload = "gp_" + rest
    spoilt = payload[:position] + wrong + payload[position:]
    assert Attribution().session_id(spoilt) is None


# Patterns and parsers of the user's own


@pytest.mark.parametrize("pattern", [r"ref_\d+", re.compile(r"REF_\d+", re.IGNORECASE)])
def test_a_pattern_of_ones_own_takes_the_place_of_the_prefix(pattern):
    attribution = Attribution(pattern=pattern)
    assert attribution.session_id("ref_42") == "ref_42"
    assert attribution.session_id("ref_42x") is None
    assert attribution.session_id("gp_a1b2c3") is None


def test_no_pattern_lets_through_what_telegram_does_not():
    attribution = Attribution(pattern=r"(?s).*")
    assert attribution.session_id("anything-at_all") == "anything-at_all"
    for payload in ("", "two words", "x\n", "é", "x" * 65):
        assert attribution.session_id(payload) is None


def test_a_parser_takes_the_session_id_out_of_a_composite_payload():
    attribution = Attribution(parse=lambda payload: payload.partition("__")[0])
    assert attribution.session_id("gp_a1b2c3__ref42") == "gp_a1b2c3"
    assert attribution.session_id("gp_a1b2c3") == "gp_a1b2c3"


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_parser_may_say_that_a_payload_holds_no_session(nothing):
    assert Attribution(parse=lambda _: nothing).session_id("gp_a1b2c3") is None


def test_a_parser_sees_only_payloads_that_match():
    seen: list[str] = []
    attribution = Attribution(parse=seen.append)
    for payload in ("gp_a", "ref_42", "gp_b c", "gp_" + "x" * 62):
        attribution.session_id(payload)
    assert seen == ["gp_a"]


def test_an_error_in_a_parser_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        Attribution(parse=lambda _: str(1 / 0)).session_id("gp_a")


# Payloads that carry ids, and payloads that carry nothing


def by_subid(payload):
    return payload, {"subid": payload[3:]}


def test_a_payload_may_carry_ids_of_the_click():
    attribution = Attribution(pattern=r"kt-.+", parse=by_subid)
    assert attribution.read("kt-7f3a") == Parsed("kt-7f3a", {"subid": "7f3a"})
    assert attribution.session_id("kt-7f3a") == "kt-7f3a"
    assert attribution.read("gp_a") is None
    assert Attribution().read("gp_a") == Parsed("gp_a", {})


@pytest.mark.parametrize(
    "payload",
    ["kt-null", "kt-undefined", "kt-None", "kt-NaN", "kt-__SUBID__", "kt-__SUBID__-__CID__"],
)
def test_a_macro_that_nobody_replaced_is_no_session(payload):
    assert Attribution(pattern=r"kt-.+").read(payload) is None
    assert Attribution(pattern=r"kt-.+", parse=by_subid).read(payload) is None
    assert Attribution().read(payload.replace("kt-", "gp_")) is None


@pytest.mark.parametrize("payload", ["gp_nullify", "gp_a_null", "gp_x__ref42", "gp_none1"])
def test_what_only_looks_like_a_macro_is_a_session(payload):
    assert Attribution().session_id(payload) == payload


def test_an_id_that_is_a_macro_is_left_out():
    def parse(payload):
        subid, creative = payload.split("__", 1)
        return subid, {"subid": subid, "creative": creative}

    attribution = Attribution(pattern=r".+", parse=parse)
    assert attribution.read("7f3a__42").ids == {"subid": "7f3a", "creative": "42"}
    assert attribution.read("7f3a__null").ids == {"subid": "7f3a"}
    only = Attribution(pattern=r".+", parse=lambda payload: (payload, {"subid": "undefined"}))
    assert only.read("campaign_7") is None


@pytest.mark.parametrize(
    "result",
    [5, b"gp_a", ["gp_a"], ("gp_a",), ("gp_a", "7f3a"), ("gp_a", {"subid": 5}), (5, {}), {}, True],
)
def test_a_parser_that_returns_something_else_is_told_what_to_return(result):
    with pytest.raises(EventError, match=r"parse=\.\.\.\) must return a session id, a tuple"):
        Attribution(parse=lambda _: result).read("gp_a")


# The bot's own links


def touch(session_id, source="start", payload=None):
    return Session(1, 7, session_id, source, NOON, payload or session_id)


@pytest.mark.parametrize(
    "own",
    [
        "gp_own.*",
        re.compile("GP_own.*", re.IGNORECASE),
        {"gp_own_channel"},
        ["gp_own_channel__x"],
        ("invite", "other"),
    ],
)
def test_own_names_patterns_payloads_session_ids_and_sources(own):
    attribution = Attribution(own=own)
    assert attribution.is_own(touch("gp_own_channel", "invite", "gp_own_channel__x"))
    assert not attribution.is_own(touch("gp_ad", "start"))
    assert not Attribution().is_own(touch("gp_own_channel", "invite"))


def test_own_names_invite_links_however_they_are_written():
    attribution = Attribution(own={"https://t.me/+abc"})
    assert attribution.payload_of_link("http://t.me/+abc") == "t.me/+abc"
    assert attribution.payload_of_link("https://t.me/+abd") is None
    assert attribution.is_own(touch("gp_a", "invite", "t.me/+abc"))


@pytest.mark.parametrize("own", ["(", b"gp_.*", 5, {5}, {""}, {"https://t.me/+abc…"}, {"a": 1}])
def test_own_that_makes_no_sense_is_refused(own):
    with pytest.raises(ConfigurationError, match=r"Attribution\(own="):
        Attribution(own=own)


def test_a_policy_with_links_of_its_own_compares_copies_and_has_a_hash():
    attribution = Attribution(own=["invite", "gp_own"])
    assert attribution == Attribution(own={"gp_own", "invite"})
    assert hash(attribution) == hash(copy.deepcopy(attribution))
    assert pickle.loads(pickle.dumps(attribution)).own_links == attribution.own_links
    assert Attribution(own=[]).own_links is None


# The policy


def test_the_last_touch_of_30_days_counts_unless_told_otherwise():
    attribution = Attribution()
    assert attribution.touch == "last"
    assert attribution.window == timedelta(days=30)
    assert attribution.pattern == SESSION_PATTERN
    assert attribution.parse is None


@pytest.mark.parametrize("touch", ["best", "", None, 1, "LAST", []])
def test_the_touch_is_the_first_or_the_last(touch):
    with pytest.raises(ConfigurationError, match=r"touch=.*must be 'first' or 'last'"):
        Attribution(touch=touch)


@pytest.mark.parametrize(
    "window",
    [
        *(timedelta(0), timedelta(days=-1), timedelta(days=36_501), timedelta.max),
        *(30, 30.0, None, "30 days"),
    ],
)
def test_the_window_is_a_positive_timedelta_of_a_hundred_years_at_most(window):
    with pytest.raises(ConfigurationError, match=r"window=.*must be a positive timedelta"):
        Attribution(window=window)


@pytest.mark.parametrize("window", [timedelta(microseconds=1), timedelta(days=36_500)])
def test_the_window_may_be_short_or_long(window):
    assert Attribution(window=window).window == window


@pytest.mark.parametrize("pattern", ["[", "(", "*", None, 42, b"gp_.+", re.compile(b"gp_.+")])
def test_the_pattern_is_a_regular_expression_for_text(pattern):
    with pytest.raises(ConfigurationError, match="is not a regular expression"):
        Attribution(pattern=pattern)


def test_a_policy_cannot_be_changed_but_another_made_of_it():
    attribution = Attribution(touch="first", pattern=r"ref_\d+")
    with pytest.raises(FrozenInstanceError):
        attribution.touch = "last"
    changed = replace(attribution, window=timedelta(days=7))
    assert (changed.touch, changed.window) == ("first", timedelta(days=7))
    assert changed.session_id("ref_42") == "ref_42"


def test_policies_are_compared_by_what_they_say_and_can_be_copied():
    attribution = Attribution(touch="first")
    assert attribution == Attribution(touch="first") != Attribution()
    assert len({attribution, Attribution(touch="first")}) == 1
    for twin in (copy.deepcopy(attribution), pickle.loads(pickle.dumps(attribution))):
        assert twin == attribution
        assert twin.session_id("gp_a") == "gp_a"


def test_a_session_is_a_value():
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
    session = Session(42, 7, "gp_a", "start", noon, "gp_a")
    assert session == Session(42, 7, "gp_a", "start", noon, "gp_a")
    with pytest.raises(FrozenInstanceError):
        session.session_id = "gp_b"


def test_the_sources_are_those_that_are_documented():
    documented = {"start", "startgroup", "startapp", "invite", "join_request", "manual"}
    assert documented == SOURCES == set(get_args(Source)) - {"history"}
