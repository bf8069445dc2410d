"""What makes an event valid, how it is told from others, and that nothing of it gets lost."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gp_aiogram import Event, EventError
from gp_aiogram.model.clock import from_ms, to_ms
from gp_aiogram.model.event import (
    MAX_ID_LENGTH,
    MAX_NAME_LENGTH,
    STANDARD_NAMES,
    VALUED_NAMES,
    new_event,
    time_ordered_id,
    update_event_id,
    utc_from_timestamp,
)

#: The same examples each time, however slow the machine is.
steady = settings(deadline=None, derandomize=True)

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
INDIA = timezone(timedelta(hours=5, minutes=30))

TEXTS = st.text(st.characters(), min_size=1)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.builds(
        timezone,
        st.timedeltas(min_value=timedelta(hours=-23), max_value=timedelta(hours=23)),
    ),
)


def make(name: str = "REG", **fields: Any) -> Event:
    return new_event(name, **{"telegram_id": 42, "event_time": NOON} | fields)


# Names and amounts


def test_the_catalogue_holds_the_names_of_the_document():
    assert {
        *("FTD", "DEP", "REG", "Subscribe", "JoinRequest", "Purchase", "INSTALL", "TRIAL"),
    } == STANDARD_NAMES
    assert VALUED_NAMES < STANDARD_NAMES


@pytest.mark.parametrize("name", [*sorted(STANDARD_NAMES - VALUED_NAMES), "Lead", "Покупка 🎉"])
def test_an_event_needs_no_more_than_name_user_and_time(name):
    event = make(name)
    assert (event.name, event.telegram_id, event.event_time) == (name, 42, NOON)
    assert (event.bot_id, event.session_id, event.value, event.currency) == (None,) * 4
    assert event.user_data == {}


@pytest.mark.parametrize("name", sorted(VALUED_NAMES))
def test_a_deposit_or_purchase_needs_a_value(name):
    with pytest.raises(EventError, match=f"{name} needs a value"):
        make(name)
    with pytest.raises(EventError, match=f"{name} needs a value"):
        make(name, currency="USD")
    assert make(name, value=0).value == 0


@pytest.mark.parametrize("name", ["", " ", "\n", "x" * (MAX_NAME_LENGTH + 1), None, 5, b"REG"])
def test_a_name_is_a_text_of_1_to_100_characters(name):
    with pytest.raises(EventError, match="name must be a text of 1 to 100 characters"):
        make(name)


def test_a_value_without_a_currency_is_in_dollars():
    event = make("FTD", value="49.9")
    assert (event.value, event.currency) == (Decimal("49.90"), "USD")


def test_a_value_is_rounded_to_its_currency():
    event = make("FTD", value=0.5, currency="jpy")
    assert (event.value, event.currency) == (Decimal(1), "JPY")


def test_a_currency_without_a_value_is_checked_and_kept():
    assert make(currency="eur").currency == "EUR"
    with pytest.raises(EventError, match="Telegram Stars"):
        make(currency="XTR")


@pytest.mark.parametrize("currency", ["", 840, False])
def test_a_currency_that_is_none_does_not_become_the_default(currency):
    with pytest.raises(EventError, match="currency must be"):
        make("FTD", value=1, currency=currency)


# Users, ids, times


@pytest.mark.parametrize("telegram_id", [1, 2**31, 2**52 - 1, 2**63 - 1])
def test_a_telegram_id_is_a_positive_integer(telegram_id):
    assert make(telegram_id=telegram_id).telegram_id == telegram_id


@pytest.mark.parametrize("telegram_id", [0, -1, 2**63, True, 1.0, "42", None])
def test_what_is_no_user_is_refused(telegram_id):
    with pytest.raises(EventError, match="telegram_id must be a user's positive integer id"):
        make(telegram_id=telegram_id)


@pytest.mark.parametrize("what", ["event_id", "session_id"])
@pytest.mark.parametrize("text", ["", "  ", "x" * (MAX_ID_LENGTH + 1), 5, b"x"])
def test_ids_are_texts_of_1_to_128_characters(what, text):
    with pytest.raises(EventError, match=f"{what} must be a text of 1 to 128 characters"):
        make(**{what: text})
    assert getattr(make(**{what: "é" * MAX_ID_LENGTH}), what) == "é" * MAX_ID_LENGTH


def test_an_event_without_an_id_gets_one_of_its_own():
    ids = {make().event_id for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(drawn) <= MAX_ID_LENGTH for drawn in ids)


def test_an_event_time_is_kept_in_utc():
    event = make(event_time=NOON.astimezone(INDIA))
    assert event.event_time == NOON
    assert event.event_time.tzinfo is timezone.utc


class NowhereTime(tzinfo):
    def utcoffset(self, dt: datetime | None) -> None:
        return None


@pytest.mark.parametrize(
    "moment",
    [NOON.replace(tzinfo=None), NOON.replace(tzinfo=NowhereTime()), NOON.date(), 1.0, "now", None],
)
def test_an_event_time_without_a_time_zone_is_refused(moment):
    with pytest.raises(EventError, match="event_time must be a datetime with a time zone"):
        make(event_time=moment)


@pytest.mark.parametrize(
    "moment",
    [
        datetime.min.replace(tzinfo=INDIA),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))),
    ],
)
def test_an_event_time_beyond_the_calendar_is_refused(moment):
    with pytest.raises(EventError, match="event_time is no moment in UTC"):
        make(event_time=moment)


@pytest.mark.parametrize("error", [{"telegram_id": "x" * 10_000}, {"event_id": "x" * 10_000}])
def test_an_error_shows_a_wrong_value_only_in_part(error):
    with pytest.raises(EventError) as caught:
        make(**error)
    assert len(str(caught.value)) < 200


def test_an_error_survives_a_value_that_cannot_be_shown():
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(EventError, match="not <Broken>"):
        make(telegram_id=Broken())


@pytest.mark.parametrize("what", ["name", "event_id", "session_id", "telegram_id", "event_time"])
@pytest.mark.parametrize(
    "value",
    ["ada@example.org" + " " * 128, "+7 916 123-45-67" * 20, ["ada@example.org"], b"79161234567"],
)
def test_an_error_shows_nothing_personal(what, value):
    with pytest.raises(EventError, match=f"{what} must be") as caught:
        make(**{"name": "REG", what: value})
    assert not re.search("ada|example|916", str(caught.value))


def test_an_error_says_what_it_got_instead():
    with pytest.raises(EventError, match="not a text of 129 characters"):
        make(event_id="x" * 129)
    with pytest.raises(EventError, match="not a blank text"):
        make(session_id=" ")
    with pytest.raises(EventError, match="not <bytes>"):
        make(event_id=b"x")
    with pytest.raises(EventError, match="not -5"):
        make(telegram_id=-5)
    with pytest.raises(EventError, match="not <int>"):
        make(event_id=79161234567)
    with pytest.raises(EventError, match=r"not datetime\.datetime\(2026"):
        make(event_time=NOON.replace(tzinfo=None))


# Currencies that only a rate knows


def test_a_currency_that_a_destination_converts_is_taken():
    event = make("FTD", value="25.123456789", currency=" usdt ", convertible={"USDT"})
    assert (event.value, event.currency) == (Decimal("25.123456789"), "USDT")
    assert Event.from_json(event.to_json()) == event
    with pytest.raises(EventError, match="not 'TON'"):
        make("FTD", value=25, currency="TON", convertible={"USDT"})


# An event is a value


def test_an_event_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        make().name = "FTD"


@steady
@given(
    name=TEXTS.filter(str.strip).map(lambda text: text[:MAX_NAME_LENGTH]).filter(str.strip),
    telegram_id=st.integers(min_value=1, max_value=2**63 - 1),
    event_time=MOMENTS,
    event_id=st.none() | TEXTS.filter(lambda text: 0 < len(text.strip()) <= len(text) <= 128),
    bot_id=st.none() | st.integers(min_value=1, max_value=2**63 - 1),
    session_id=st.none() | st.from_regex(r"gp_[A-Za-z0-9_-]{1,61}", fullmatch=True),
    value=st.none() | st.decimals(min_value=0, max_value=10**12) | st.floats(0, 1e12),
    currency=st.none() | st.sampled_from(["USD", "JPY", "KWD", "eur"]),
    user_data=st.none() | st.dictionaries(st.text(st.characters()), JSON, max_size=5),
)
def test_every_event_comes_back_from_json_as_it_was(name, **fields):
    if name in VALUED_NAMES and fields["value"] is None:
        fields["value"] = 1
    event = new_event(name, **fields)
    text = event.to_json()
    assert text.encode("utf-8"), "half an emoji must not break a store"
    for form in (text, text.encode()):
        twin = Event.from_json(form)
        assert twin == event
        assert str(twin.value) == str(event.value)
        assert twin.event_time.utcoffset() == timedelta(0)
        assert twin.to_json() == text


def test_json_is_compact_and_holds_the_amount_as_a_text():
    event = make("FTD", event_id="e1", value="10", currency="KWD")
    assert json.loads(event.to_json())["value"] == "10.000"
    assert ": " not in event.to_json()


# Ids of updates


def test_the_same_update_makes_the_same_id_in_every_process():
    assert update_event_id(42, 100, "start", "REG") == "00000000006490e90ea1306c871f55bc"


@pytest.mark.parametrize(
    "other",
    [
        *((43, 100, "start", "REG"), (42, 101, "start", "REG"), (42, 100, "x", "REG")),
        *((42, 100, "start", "FTD"), (42, 100, "startR", "EG"), (4, 2100, "start", "REG")),
    ],
)
def test_another_bot_update_rule_or_name_makes_another_id(other):
    assert update_event_id(*other) != update_event_id(42, 100, "start", "REG")


@steady
@given(
    st.integers(min_value=1, max_value=2**40),
    st.lists(st.integers(min_value=0, max_value=2**31 - 1), min_size=2, unique=True),
    TEXTS,
    TEXTS,
)
def test_ids_sort_by_the_number_of_the_update(bot_id, update_ids, rule, name):
    ids = {number: update_event_id(bot_id, number, rule, name) for number in update_ids}
    assert sorted(ids.values()) == [ids[number] for number in sorted(update_ids)]
    assert all(len(event_id) == 32 and event_id.isascii() for event_id in ids.values())
    assert ids == {number: update_event_id(bot_id, number, rule, name) for number in update_ids}


# Ids by time


@steady
@given(MOMENTS, MOMENTS)
def test_drawn_ids_sort_by_time_to_the_millisecond(one, other):
    first, second = sorted((one, other))
    if second - first >= timedelta(milliseconds=1):
        assert time_ordered_id(first) < time_ordered_id(second)


def test_ids_drawn_for_the_same_moment_differ():
    assert len({time_ordered_id(NOON) for _ in range(1000)}) == 1000


def test_a_drawn_id_begins_with_the_time_of_its_event():
    early, late = make(event_time=NOON), make(event_time=NOON + timedelta(days=1))
    assert early.event_id < late.event_id
    assert int(early.event_id[:12], 16) == to_ms(NOON)


# Milliseconds


@steady
@given(MOMENTS)
def test_whole_milliseconds_come_back_as_they_were(moment):
    milliseconds = to_ms(moment)
    assert to_ms(from_ms(milliseconds)) == milliseconds
    assert abs(from_ms(milliseconds) - moment) <= timedelta(milliseconds=1)
    assert from_ms(milliseconds).tzinfo is timezone.utc


def test_a_timestamp_becomes_a_moment_in_utc_to_the_millisecond():
    moment = utc_from_timestamp(NOON.timestamp() + 0.9876543)
    assert moment == NOON + timedelta(milliseconds=987)
