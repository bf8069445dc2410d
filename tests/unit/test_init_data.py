"""What a Mini App says of its opening: what is taken, and what is refused."""

from __future__ import annotations

import hashlib
import hmac
import json
import string
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from aiogram.utils.web_app import check_webapp_signature, safe_parse_webapp_init_data
from hypothesis import example, given
from hypothesis import strategies as st

from fixtures import updates
from fixtures.recorder import Recorder
from gp_aiogram import Attribution, EventError, MemoryStore, Session, Tracker
from gp_aiogram.identity.init_data import CLOCK_SKEW, validate_init_data
from gp_aiogram.model.session import SessionQuery
from gp_aiogram.sandbox import TelegramSandbox
from gp_aiogram.testing import ManualClock

TOKEN = "42:TEST"
OPENED = datetime.fromtimestamp(updates.DATE, timezone.utc)
DAY = timedelta(days=1)

#: Complete, as a Mini App gets it that was opened by a direct link.
FIELDS = {
    "user": json.dumps({**updates.person(), "allows_write_to_pm": True}),
    "chat_instance": "-3788475317572404878",
    "chat_type": "private",
    "start_param": "gp_a1b2c3",
    "auth_date": str(updates.DATE),
    "signature": "zL-ucjNyREiHDE8aihFwpfR9aggP2xiAo3NSpfe-p7IbCisNlDKlo7Kb6G4D0Ao2",
}


def signed(token: str = TOKEN, /, **changes: str | None) -> str:
    """Sign as Telegram does; a field that is None is left out."""
    fields = {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}
    return signed_query(list(fields.items()), token)


def signed_query(pairs: list[tuple[str, str]], token: str = TOKEN) -> str:
    text = "\n".join(f"{name}={value}" for name, value in sorted(pairs))
    key = hmac.new(b"WebAppData", token.encode(), hashlib.sha256).digest()
    mac = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return urlencode([*pairs, ("hash", mac)], quote_via=quote)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(updates.DATE)


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
async def tracker(
    recorder: Recorder,
    store: MemoryStore,
    clock: ManualClock,
) -> AsyncIterator[Tracker]:
    tracker = Tracker([recorder], store=store, clock=clock)
    yield tracker
    await tracker.close(grace=0)


def refused(init_data: Any, token: Any = TOKEN, **changes: Any) -> str:
    """Why data is refused; what must stay secret never is in it."""
    with pytest.raises(EventError) as caught:
        validate_init_data(token, init_data, **{"now": OPENED, "max_age": DAY, **changes})
    text = str(caught.value)
    assert not any(secret in text for secret in ("TEST", "Ada", "gp_a", str(updates.DATE), "-378"))
    if isinstance(init_data, str):
        assert not any(value in text for _, value in parse_qsl(init_data) if len(value) > 7)
    return text


# What is taken


async def test_opening_a_mini_app_by_a_link_is_a_touch(
    tracker: Tracker,
    store: MemoryStore,
) -> None:
    session = await tracker.capture_init_data(TOKEN, signed())
    assert session == Session(42, 7, "gp_a1b2c3", "startapp", OPENED, "gp_a1b2c3")
    assert await store.find_session(SessionQuery(7, 42)) == session
    event = await tracker.track("REG", telegram_id=7)
    assert event is not None
    assert (event.session_id, event.bot_id) == ("gp_a1b2c3", 42)


async def test_the_same_data_again_is_the_same_touch(
    tracker: Tracker,
    clock: ManualClock,
) -> None:
    await tracker.capture_init_data(TOKEN, signed())
    clock.advance(10)
    await tracker.capture(7, "gp_later", bot_id=42)
    clock.advance(10)
    await tracker.capture_init_data(TOKEN, signed())
    session = await tracker.session(7)
    assert session is not None
    assert session.session_id == "gp_later"


@pytest.mark.parametrize(
    "start_param",
    [None, "", "ref_42", "{x}", "[x]", '{"a": 1}', "gp_a b", "gp_ü", "gp_" + "a" * 510],
)
async def test_without_a_session_in_the_link_nothing_is_kept(
    tracker: Tracker,
    store: MemoryStore,
    start_param: str | None,
) -> None:
    assert await tracker.capture_init_data(TOKEN, signed(start_param=start_param)) is None
    assert await store.find_session(SessionQuery(7)) is None


async def test_the_bots_own_grammar_decides(store: MemoryStore, clock: ManualClock) -> None:
    attribution = Attribution(pattern=r"lead_\d+")
    tracker = Tracker([], store=store, attribution=attribution, clock=clock)
    session = await tracker.capture_init_data(TOKEN, signed(start_param="lead_15"))
    assert session is not None
    assert session.session_id == "lead_15"
    assert await tracker.capture_init_data(TOKEN, signed()) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": None},
        {"query_id": "AAHdF6IQAAAAAN0XohDhrOrc", "chat_instance": None, "chat_type": None},
        {"start_param": ""},
        {"a_field_of_2030": "{new}"},
        {"user": '{"id":7,"first_name":"\\u0410 + &=?% \\/","photo_url":"https:\\/\\/t.me\\/i"}'},
        {"user": '{"id":7,"first_name":"Åsa 🦉"}'},
    ],
    ids=str,
)
def test_all_that_telegram_signs_is_taken(changes: dict[str, str | None]) -> None:
    opening = validate_init_data(TOKEN, signed(**changes), now=OPENED, max_age=DAY)
    assert (opening.bot_id, opening.telegram_id, opening.auth_date) == (42, 7, OPENED)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"))
fields = st.dictionaries(st.text(string.ascii_lowercase + "_", min_size=1, max_size=12), texts)
people = st.fixed_dictionaries({"id": st.integers(1, 2**52), "first_name": texts})


@given(
    st.text(string.ascii_letters + string.digits + "_-", min_size=1),
    st.integers(1, 10**10),
    people,
    texts,
    fields,
)
@example("TEST", 42, {"id": 7, "first_name": "Ada"}, "{x}", {})
def test_what_aiogram_takes_is_taken(
    secret: str,
    bot_id: int,
    user: dict[str, Any],
    start_param: str,
    more: dict[str, str],
) -> None:
    token = f"{bot_id}:{secret}"
    # aiogram leaves out of the signature what is empty; Telegram sends nothing empty.
    more = {name: value or "x" for name, value in more.items() if name not in {*FIELDS, "hash"}}
    # ``hash`` covers Telegram's second signature like any other field.
    signature = FIELDS["signature"]
    own = {"user": json.dumps(user), "start_param": start_param or "x", "signature": signature}
    pairs = list({**more, **own, "auth_date": FIELDS["auth_date"]}.items())
    init_data = signed_query(pairs, token)
    assert check_webapp_signature(token, init_data)
    opening = validate_init_data(token, init_data, now=OPENED, max_age=DAY)
    assert (opening.bot_id, opening.telegram_id) == (bot_id, user["id"])
    assert opening.start_param == own["start_param"]


async def test_a_user_of_the_stand_in_is_captured(tracker: Tracker) -> None:
    telegram = TelegramSandbox()
    init_data = telegram.init_data(
        telegram.user(7), start_param="gp_a1b2c3", auth_date=updates.DATE
    )
    session = await tracker.capture_init_data(telegram.token, init_data)
    assert session is not None
    assert (session.telegram_id, session.session_id) == (7, "gp_a1b2c3")


def test_both_read_the_same() -> None:
    theirs = safe_parse_webapp_init_data(TOKEN, signed())
    ours = validate_init_data(TOKEN, signed(), now=OPENED, max_age=DAY)
    assert theirs.user is not None
    assert (theirs.user.id, theirs.start_param) == (ours.telegram_id, ours.start_param)
    assert theirs.auth_date == ours.auth_date


# What is refused


@given(st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    init_data = signed()
    place = data.draw(st.integers(0, len(init_data) - 1))
    other = data.draw(st.sampled_from([*string.printable, "", "\0", "é", "%0A", "&&", "%3D"]))
    changed = init_data[:place] + other + init_data[place + 1 :]
    if sorted(parse_qsl(changed)) != sorted(parse_qsl(init_data)):
        refused(changed)


@pytest.mark.parametrize("name", [*FIELDS, "hash"])
def test_no_field_can_be_taken_away_or_hidden_in_its_neighbour(name: str) -> None:
    pairs = dict(sorted(parse_qsl(signed())))
    left = {key: value for key, value in pairs.items() if key != name}
    refused(urlencode(left))
    for neighbour, value in left.items():
        for line in (f"{value}\n{name}={pairs[name]}", f"{pairs[name]}\n{neighbour}={value}"):
            refused(urlencode({**left, neighbour: line}))


def test_a_field_cannot_be_cut_anew_at_another_equals_sign() -> None:
    init_data = signed(start_param="gp_a=b")
    assert validate_init_data(TOKEN, init_data, now=OPENED, max_age=DAY).start_param == "gp_a=b"
    assert "malformed" in refused(init_data.replace("start_param=gp_a%3D", "start_param%3Dgp_a="))


def test_a_field_named_twice_is_refused() -> None:
    assert "twice" in refused(signed() + "&start_param=gp_evil")
    assert "twice" in refused(signed_query([*FIELDS.items(), ("start_param", "gp_evil")]))


@pytest.mark.parametrize("token", ["42:OTHER", "43:TEST", "42:TES", "42:TESTT"])
def test_the_token_of_another_bot_is_refused(token: str) -> None:
    assert "another bot's" in refused(signed(), token)


@pytest.mark.parametrize(
    "token",
    ["", "TEST", "42", "42:", ":TEST", "x:TEST", "٤٢:TEST", "42:TEST\n", " 42:TEST", None, 42],
)
def test_a_token_that_is_none_is_refused(token: Any) -> None:
    assert "BotFather" in refused(signed(), token)


@pytest.mark.parametrize(
    "init_data",
    [
        *("x", "&", "user", "a=b&&c=d", "a=%FF", "a=\ud83d", "a=%0A", "a%3Db=c"),
        *(None, 5, b"", b"a=b", {}, {"user": {"id": 7}}),
    ],
)
def test_what_is_no_query_string_is_refused(init_data: Any) -> None:
    text = refused(init_data)
    assert "malformed: pass Telegram.WebApp.initData as it is" in text


def test_no_data_at_all_is_explained() -> None:
    assert "keyboard button" in refused("")


@pytest.mark.parametrize(
    "user",
    [
        None,
        *("", "7", "null", "[]", "{}", "{", '{"id":"7"}', '{"id":0}', '{"id":-7}', '{"id":true}'),
        *('{"id":7.0}', '{"id":null}', '{"id":9223372036854775808}', "[" * 100_000),
    ],
    ids=lambda user: str(user)[:20],
)
def test_data_without_a_user_is_refused(user: str | None) -> None:
    assert "names no user" in refused(signed(user=user))


@pytest.mark.parametrize("auth_date", [None, "", "x", "-1", "1.5", "1e9", "٤٢", "9" * 11, " 1"])
def test_data_without_a_time_is_refused(auth_date: str | None) -> None:
    assert "auth_date" in refused(signed(auth_date=auth_date))


@pytest.mark.parametrize("max_age", [DAY, 86_400, 86_400.0])
def test_an_age_is_a_timedelta_or_a_number_of_seconds(max_age: Any) -> None:
    late = OPENED + DAY
    assert validate_init_data(TOKEN, signed(), now=late, max_age=max_age).telegram_id == 7
    later = late + timedelta(seconds=1)
    assert "older than 1 day" in refused(signed(), now=later, max_age=max_age)


@pytest.mark.parametrize(
    "max_age", [timedelta(0), -DAY, 0, -1.5, True, 1e300, float("nan"), "1 day", None]
)
def test_an_age_that_makes_no_sense_is_refused(max_age: Any) -> None:
    assert "max_age must be a positive timedelta or number of seconds" in refused(
        signed(), max_age=max_age
    )


async def test_data_older_than_a_day_is_refused(tracker: Tracker, clock: ManualClock) -> None:
    clock.advance(DAY.total_seconds())
    assert await tracker.capture_init_data(TOKEN, signed()) is not None
    clock.advance(1)
    with pytest.raises(EventError, match=r"older than 1 day, 0:00:00: .* max_age=timedelta"):
        await tracker.capture_init_data(TOKEN, signed())
    week = timedelta(days=7)
    assert await tracker.capture_init_data(TOKEN, signed(), max_age=week) is not None


def test_data_from_the_future_is_refused_beyond_a_skew_of_the_clocks() -> None:
    assert (
        validate_init_data(TOKEN, signed(), now=OPENED - CLOCK_SKEW, max_age=DAY).auth_date
        == OPENED
    )
    early = OPENED - CLOCK_SKEW - timedelta(seconds=1)
    assert "set this machine's clock" in refused(signed(), now=early)


async def test_refused_data_leaves_no_trace(tracker: Tracker, store: MemoryStore) -> None:
    forged = signed().replace("gp_a1b2c3", "gp_forged")
    with pytest.raises(EventError):
        await tracker.capture_init_data(TOKEN, forged)
    assert await store.find_session(SessionQuery(7)) is None
    assert tracker.counts["captured"] == 0


async def test_a_mini_apps_link_carries_up_to_512_characters(tracker: Tracker) -> None:
    longest = "gp_" + "a" * 509
    session = await tracker.capture_init_data(TOKEN, signed(start_param=longest))
    assert session is not None
    assert session.session_id == longest
    assert await tracker.capture_init_data(TOKEN, signed(start_param=longest + "a")) is None
    assert await tracker.capture(7, longest, bot_id=42, source="start") is None
