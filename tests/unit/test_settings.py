"""Settings from ``GP_*`` variables and ``.env``, and what is said when they are wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from gp_aiogram import (
    Attribution,
    ClickHouse,
    ConfigurationError,
    GramPixel,
    MemoryStore,
    PostgresStore,
    Retention,
    Settings,
    SQLiteStore,
    Stars,
    Tracker,
    YandexMetrica,
)
from gp_aiogram.stores import from_url, sessions_from_url

KEY = "key-5d41402abc4b"
WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"
COMPLETE = {"GP_GRAMPIXEL__API_KEY": KEY, "GP_GRAMPIXEL__WORKSPACE_ID": WORKSPACE}

Environment = Callable[..., None]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables of whoever runs the tests, and a folder without ``.env``."""
    for name in list(os.environ):
        if name.upper().startswith("GP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    def environment(variables: dict[str, str] | None = None, **more: str) -> None:
        for name, value in {**(variables or {}), **more}.items():
            monkeypatch.setenv(name, value)

    return environment


def complaint() -> str:
    """Return what is said about the environment, which must be wrong."""
    with pytest.raises(ConfigurationError) as caught:
        Tracker.from_settings()
    assert caught.value.__cause__ is None
    return str(caught.value)


# What is read


def test_key_and_workspace_are_all_that_is_needed(environment):
    environment(COMPLETE)
    settings = Settings()
    (destination,) = settings.destinations()
    assert isinstance(destination, GramPixel)
    assert destination.workspace_id == WORKSPACE
    assert destination.base_url == "https://api.grampixel.com"
    assert destination.ambiguous == "retry"
    assert destination.name == "grampixel"
    assert settings.attribution.build() == Attribution()
    store = settings.build_store()
    assert isinstance(store, SQLiteStore)
    assert store.path == Path("gp.sqlite3")
    assert repr(Tracker.from_settings()) == "Tracker(grampixel)"


def test_reading_settings_and_building_a_tracker_touches_no_file(environment, tmp_path):
    environment(COMPLETE)
    Tracker.from_settings()
    assert list(tmp_path.iterdir()) == []


def test_every_setting_can_come_from_the_environment(environment):
    environment(
        COMPLETE,
        GP_STORE="memory://",
        GP_GRAMPIXEL__BASE_URL="http://127.0.0.1:8080/api/",
        GP_GRAMPIXEL__AMBIGUOUS="hold",
        GP_ATTRIBUTION__TOUCH="first",
        GP_ATTRIBUTION__WINDOW_DAYS="0.5",
        GP_ATTRIBUTION__PATTERN=r"ref_\d+",
    )
    settings = Settings()
    (destination,) = settings.destinations()
    assert isinstance(destination, GramPixel)
    assert destination.base_url == "http://127.0.0.1:8080/api"
    assert destination.ambiguous == "hold"
    assert isinstance(settings.build_store(), MemoryStore)
    assert settings.attribution.build() == Attribution(
        touch="first",
        window=timedelta(hours=12),
        pattern=r"ref_\d+",
    )
    assert Tracker.from_settings().attribution == settings.attribution.build()


def test_stars_retention_and_automatic_events_can_be_set(environment):
    environment(
        COMPLETE,
        GP_STARS__RATE="0.02",
        GP_STARS__CURRENCY="eur",
        GP_RETENTION__SESSIONS_DAYS="365",
        GP_RETENTION__EVENTS_DAYS="7",
        GP_RETENTION__DEAD_LETTERS_DAYS="0.5",
        GP_AUTO="Start, Purchase,Refund",
        GP_ATTRIBUTION__INVITES_FIRST="false",
        GP_ATTRIBUTION__OWN="invite, https://t.me/+abc",
    )
    tracker = Tracker.from_settings()
    assert tracker.stars == Stars(rate=Decimal("0.02"), currency="EUR")
    assert tracker.retention == Retention(
        sessions=timedelta(days=365),
        events=timedelta(days=7),
        dead_letters=timedelta(hours=12),
    )
    assert tracker.auto == {"Start", "Purchase", "Refund"}
    assert tracker.attribution.preferred == ()
    assert tracker.attribution.own == {"invite", "https://t.me/+abc"}


def test_what_counts_by_the_attribution_is_kept_at_least_so_long():
    attribution = Attribution(window=timedelta(days=365))
    tracker = Tracker([], store=MemoryStore(), attribution=attribution)
    assert tracker.retention == Retention(sessions=timedelta(days=365))
    kept_longer = Retention(sessions=timedelta(days=400))
    tracker = Tracker([], store=MemoryStore(), attribution=attribution, retention=kept_longer)
    assert tracker.retention == kept_longer


def test_without_settings_the_defaults_hold(environment):
    environment(COMPLETE)
    tracker = Tracker.from_settings()
    assert (tracker.stars, tracker.retention, tracker.auto) == (Stars(), Retention(), set())
    assert tracker.attribution.preferred == ("invite", "join_request")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("GP_STARS__RATE", "0", "what a star is worth, such as 0.013"),
        ("GP_STARS__RATE", "much", "what a star is worth, such as 0.013"),
        ("GP_STARS__CURRENCY", "XTR", "an ISO 4217 code"),
        ("GP_RETENTION__EVENTS_DAYS", "-1", "a positive number of days"),
        ("GP_RETENTION__SESSIONS_DAYS", "forever", "a positive number of days"),
        ("GP_AUTO", "Start,Sneeze", "JoinRequest, Leave, Purchase"),
        ("GP_ATTRIBUTION__INVITES_FIRST", "perhaps", "true or false"),
    ],
)
def test_what_makes_no_sense_is_named_with_what_would(environment, variable, value, expected):
    environment(COMPLETE, **{variable: value})
    text = complaint()
    assert variable in text
    assert expected in text


def test_names_of_variables_may_be_written_in_small_letters(environment):
    environment({name.lower(): value for name, value in COMPLETE.items()})
    assert len(Settings().destinations()) == 1


def test_a_group_of_settings_may_be_one_json_object(environment):
    environment(
        GP_GRAMPIXEL=f'{{"api_key": "{KEY}", "workspace_id": "{WORKSPACE}"}}',
        GP_ATTRIBUTION='{"touch": "first"}',
        GP_ATTRIBUTION__WINDOW_DAYS="7",
    )
    settings = Settings()
    assert len(settings.destinations()) == 1
    assert settings.attribution.build() == Attribution(touch="first", window=timedelta(days=7))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_settings_come_from_a_file_as_well(tmp_path, encoding):
    lines = [
        "GP_STORE=memory://",
        *(f"{name}={value}" for name, value in COMPLETE.items()),
        "# комментарий",
        "BOT_TOKEN=42:TEST",
        "UNRELATED='x'",
    ]
    (tmp_path / ".env").write_text("\n".join(lines), encoding=encoding)
    settings = Settings()
    assert len(settings.destinations()) == 1
    assert isinstance(settings.build_store(), MemoryStore)


def test_the_environment_wins_over_the_file_and_arguments_over_both(environment, tmp_path):
    (tmp_path / ".env").write_text("GP_STORE=sqlite:///file.db\nGP_ATTRIBUTION__TOUCH=first\n")
    assert Settings().store.get_secret_value() == "sqlite:///file.db"
    environment(GP_STORE="sqlite:///environment.db")
    assert Settings().store.get_secret_value() == "sqlite:///environment.db"
    settings = Settings(store="memory://")
    assert settings.store.get_secret_value() == "memory://"
    assert settings.attribution.touch == "first"


def test_settings_may_be_given_instead_of_read():
    settings = Settings(
        store="memory://",
        grampixel={"api_key": KEY, "workspace_id": UUID(WORKSPACE)},
        attribution={"touch": "first"},
    )
    tracker = Tracker.from_settings(settings)
    assert repr(tracker) == "Tracker(grampixel)"
    assert tracker.attribution.touch == "first"


async def test_what_code_decides_is_given_beside_the_settings(environment):
    environment(COMPLETE, GP_STORE="memory://", GP_AUTO="Start")
    attribution = Attribution(pattern="kt-.+", parse=lambda text: (text, {"subid": text[3:]}))
    tracker = Tracker.from_settings(
        attribution=attribution,
        before_send=lambda event: None if event.name == "DEP" else event,
        auto={"Refund"},
    )
    assert tracker.auto == {"Start", "Refund"}
    assert tracker.attribution is attribution
    assert await tracker.track("FTD", telegram_id=7, value=1) is not None
    assert await tracker.track("DEP", telegram_id=7, value=1) is None


def test_variables_with_the_prefix_that_are_not_ours_are_left_alone(environment):
    environment(COMPLETE, GP_EDITOR="vi", GP_FOO__BAR="1")
    assert len(Settings().destinations()) == 1


# What is wrong


def test_without_a_destination_it_is_said_what_to_set():
    said = complaint()
    assert "no destination is configured" in said
    assert "GP_GRAMPIXEL__API_KEY" in said
    assert "GP_GRAMPIXEL__WORKSPACE_ID" in said


def test_what_is_missing_is_named(environment):
    environment(GP_GRAMPIXEL__API_KEY=KEY)
    said = complaint()
    assert "GP_GRAMPIXEL__WORKSPACE_ID: missing; expected a UUID such as" in said
    assert "API_KEY" not in said


def test_everything_wrong_is_named_at_once(environment):
    environment(
        GP_STORE="sqlit:///wrong",
        GP_GRAMPIXEL__WORKSPACE_ID="wrong",
        GP_GRAMPIXEL__BASE_URL="wrong",
        GP_GRAMPIXEL__AMBIGUOUS="wrong",
        GP_GRAMPIXEL__WORKSPACE="wrong",
        GP_ATTRIBUTION__TOUCH="wrong",
        GP_ATTRIBUTION__WINDOW_DAYS="wrong",
        GP_ATTRIBUTION__PATTERN="wrong[",
    )
    said = complaint()
    assert said.splitlines() == [
        "these settings need attention:",
        (
            "  GP_STORE: malformed; expected a URL such as sqlite:///gp.sqlite3, memory://, or "
            "with gp-aiogram[postgres] installed "
            "postgresql://user:password@host:5432/database (of Redis: GP_SESSIONS)"
        ),
        "  GP_ATTRIBUTION__TOUCH: malformed; expected first or last",
        (
            "  GP_ATTRIBUTION__WINDOW_DAYS: malformed; "
            "expected a positive number of days, at most 36500"
        ),
        "  GP_ATTRIBUTION__PATTERN: malformed; expected a regular expression",
        (
            "  GP_GRAMPIXEL__API_KEY: missing; "
            "expected the API key of your GramPixel workspace, without white space"
        ),
        "  GP_GRAMPIXEL__WORKSPACE_ID: malformed; expected a UUID such as " + WORKSPACE,
        "  GP_GRAMPIXEL__BASE_URL: malformed; expected an http or https URL",
        "  GP_GRAMPIXEL__AMBIGUOUS: malformed; expected retry or hold",
        (
            "  GP_GRAMPIXEL__WORKSPACE: there is no such setting; "
            "did you mean GP_GRAMPIXEL__WORKSPACE_ID?"
        ),
    ]


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("GP_GRAMPIXEL__API_KEY", ["", " ", "two words", "line\n", "ключ", "\x7f"]),
        ("GP_GRAMPIXEL__WORKSPACE_ID", ["", "zzz", WORKSPACE[:-1], WORKSPACE + "0"]),
        ("GP_GRAMPIXEL__BASE_URL", ["", "zzz.example", "ftp://zzz", "https://", "https://zzz "]),
        ("GP_GRAMPIXEL__AMBIGUOUS", ["", "zzz", "HOLD"]),
        ("GP_ATTRIBUTION__TOUCH", ["", "zzz", "both"]),
        ("GP_ATTRIBUTION__WINDOW_DAYS", ["", "zzz", "0", "-1", "inf", "nan", "1e12", "1e-20"]),
        ("GP_ATTRIBUTION__PATTERN", ["zzz(", "*"]),
        ("GP_STORE", ["", "zzz", "zzz://", "sqlit:///zzz", "sqlite://zzz", "sqlite:///", "//["]),
        ("GP_JOURNAL", [""]),
        ("GP_PHONE_REGION", ["", "zzz", "XX"]),
        ("GP_PAYMENTS_IDENTIFY", ["", "zzz", "2"]),
        ("GP_GRAMPIXEL", ["zzz", "[]", "5"]),
        ("GP_ATTRIBUTION", ["[]", "5"]),
    ],
)
def test_a_malformed_variable_is_named_with_what_it_should_be(environment, variable, values):
    for value in values:
        environment(COMPLETE)
        environment({variable: value})
        said = complaint()
        assert f"  {variable}: malformed; expected " in said, repr(value)
        assert len(said.splitlines()) == 2
        assert "zzz" not in said


def test_a_group_that_is_no_json_is_named(environment):
    environment(COMPLETE, GP_ATTRIBUTION="touch=first, zzz")
    said = complaint()
    assert "attribution" in said
    assert "JSON object" in said
    assert "zzz" not in said


def test_a_misspelt_setting_of_a_group_is_named(environment):
    environment(COMPLETE, GP_GRAMPIXEL__APIKEY=KEY, GP_ATTRIBUTION__WINDOW="30")
    said = complaint()
    assert "  GP_GRAMPIXEL__APIKEY: there is no such setting" in said
    assert "  GP_ATTRIBUTION__WINDOW: there is no such setting" in said


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("GP_GRAMPIXEL__APIKEY", "GP_GRAMPIXEL__API_KEY"),
        ("GP_GRAMPIXEL__WORKSPACE", "GP_GRAMPIXEL__WORKSPACE_ID"),
        ("GP_ATTRIBUTION__WINDOW", "GP_ATTRIBUTION__WINDOW_DAYS"),
        ("GP_STARS__CURENCY", "GP_STARS__CURRENCY"),
    ],
)
def test_a_misspelt_setting_of_a_group_is_told_what_was_meant(environment, misspelt, meant):
    environment(COMPLETE, **{misspelt: "zzz"})
    said = complaint()
    assert f"  {misspelt}: there is no such setting; did you mean {meant}?" in said
    assert "zzz" not in said


MISSPELT = [
    ("GP_STOR", "GP_STORE"),
    ("GP_STORE_URL", "GP_STORE"),
    ("GP_STORE__URL", "GP_STORE"),
    ("GP_JOURNAL_PATH", "GP_JOURNAL"),
    ("GP_STARS_RATE", "GP_STARS__RATE"),
    ("GP_START__RATE", "GP_STARS__RATE"),
    ("GP_GRAMPIXL__API_KEY", "GP_GRAMPIXEL__API_KEY"),
    ("GP_GRAMPIXEL_API_KEY", "GP_GRAMPIXEL__API_KEY"),
    ("GP_META_TOKEN", "GP_META__ACCESS_TOKEN"),
    ("GP_TIK_TOK__PIXEL_CODE", "GP_TIKTOK__PIXEL_CODE"),
    ("GP_RETENTION_EVENT_DAYS", "GP_RETENTION__EVENTS_DAYS"),
    ("GP_AUTOS", "GP_AUTO"),
]


@pytest.mark.parametrize(("misspelt", "meant"), MISSPELT)
def test_a_variable_that_looks_like_a_misspelt_setting_is_warned_of(
    environment, caplog, misspelt, meant
):
    environment(COMPLETE, **{misspelt: "zzz"})
    Settings()
    assert caplog.messages == [f"there is no setting {misspelt}, did you mean {meant}?"]
    assert caplog.records[0].levelname == "WARNING"


def test_a_misspelt_setting_in_the_file_is_warned_of(environment, caplog, tmp_path):
    environment(COMPLETE)
    (tmp_path / ".env").write_text("gp_stor=memory://\nSTORE=zzz\n")
    Settings()
    assert caplog.messages == ["there is no setting GP_STOR, did you mean GP_STORE?"]


def test_variables_of_other_programs_are_passed_over(environment, caplog):
    environment(COMPLETE, GP_HOME="/opt/gp", GP_AUTH="zzz", GP_VERSION="1", GPG_STORE="zzz")
    environment(GP_ATTRIBUTION__TOUCH="first", GP_AUTO="Start", gp_journal="other.journal")
    settings = Settings()
    assert settings.journal == "other.journal"
    assert not caplog.messages


def test_a_region_of_phone_numbers_and_buyers_as_users_are_settings(environment):
    environment(COMPLETE)
    settings = Settings()
    assert settings.phone_region is None
    assert not settings.payments_identify
    environment(GP_PHONE_REGION="RU", GP_PAYMENTS_IDENTIFY="yes")
    settings = Settings()
    assert settings.phone_region == "RU"
    assert settings.payments_identify


def test_a_wrong_setting_in_the_file_is_named_as_well(tmp_path):
    (tmp_path / ".env").write_text(f"GP_GRAMPIXEL__API_KEY={KEY}\nGP_STORE=zzz\n")
    said = complaint()
    assert "GP_GRAMPIXEL__WORKSPACE_ID: missing" in said
    assert "GP_STORE: malformed" in said


def test_a_wrong_argument_is_named_like_its_variable():
    with pytest.raises(ConfigurationError, match="GP_ATTRIBUTION__TOUCH: malformed"):
        Settings(attribution={"touch": "best"})


@pytest.mark.parametrize(
    "variables",
    [
        {"GP_GRAMPIXEL__WORKSPACE_ID": KEY},  # in the wrong place
        {"GP_GRAMPIXEL__API_KEY": f"{KEY} {KEY}", "GP_GRAMPIXEL__WORKSPACE_ID": WORKSPACE},
        {**COMPLETE, "GP_GRAMPIXEL__BASE_URL": f"https://user:{KEY}@gp.example"},
        {**COMPLETE, "GP_STORE": f"postgresql://user:{KEY}@db/gp?schema=Not a name"},
        {**COMPLETE, "GP_GRAMPIXEL__KEY": KEY},
        {"GP_GRAMPIXEL": f'{{"api_key": "{KEY}"'},
        {"GP_GRAMPIXEL": f'{{"api_key": "{KEY}", "workspace_id": "{KEY}"}}'},
        {**COMPLETE, "GP_ATTRIBUTION": KEY},
    ],
)
def test_no_complaint_shows_a_secret(environment, variables):
    environment(variables)
    assert KEY not in complaint()


def test_settings_do_not_show_the_key(environment):
    environment({**COMPLETE, "GP_STORE": f"postgresql://user:{KEY}@db/gp"})
    settings = Settings()
    shown = f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert WORKSPACE in shown
    assert KEY not in shown


# Stores by URL


def test_a_store_in_memory_has_the_url_memory():
    assert isinstance(from_url("memory://"), MemoryStore)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///gp.sqlite3", "gp.sqlite3"),
        ("sqlite:///data/gp.sqlite3", "data/gp.sqlite3"),
        ("sqlite:////var/lib/bot/gp.sqlite3", "/var/lib/bot/gp.sqlite3"),
        ("sqlite:///two%20words.db", "two words.db"),
        ("SQLite:///gp.sqlite3", "gp.sqlite3"),
    ],
)
def test_a_sqlite_url_has_three_slashes_before_a_relative_path_and_four_before_an_absolute(
    url, path
):
    store = from_url(url)
    assert isinstance(store, SQLiteStore)
    assert store.path == Path(path)


@pytest.mark.parametrize("url", ["sqlite:", "sqlite://", "sqlite:///", "sqlite://gp.sqlite3"])
def test_a_sqlite_url_without_a_path_is_refused_with_an_example(url):
    with pytest.raises(ConfigurationError, match=r"looks like 'sqlite:///gp\.sqlite3'"):
        from_url(url)


@pytest.mark.parametrize("url", ["", "gp.sqlite3", "sqlit:///gp.db", "sqlite3:///gp.db", "//gp"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(url):
    with pytest.raises(ConfigurationError, match=r"starts with one of .*sqlite://"):
        from_url(url)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_a_postgresql_url_names_server_database_and_schema(scheme):
    store = from_url(f"{scheme}://bot:secret@db:5433/shop?schema=ads&sslmode=require")
    assert isinstance(store, PostgresStore)
    assert repr(store) == "PostgresStore('postgresql://bot@db:5433/shop', schema='ads')"


def test_a_store_without_its_extra_says_which_to_install(environment, monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'gp-aiogram\[postgres\]'"):
        from_url("postgresql://db/gp")
    environment({**COMPLETE, "GP_STORE": "postgresql://db/gp"})
    assert "GP_STORE: malformed" in complaint()
    assert "gp-aiogram[postgres]" in complaint()


def test_a_refused_url_does_not_show_its_password():
    with pytest.raises(ConfigurationError) as caught:
        from_url("mysql://user:secret@db/gp")
    assert "secret" not in str(caught.value)


def test_sessions_may_be_in_redis_beside_a_store(environment):
    url = "redis://bot:hunter2@localhost:6380/3?socket_timeout=2&prefix=shop"
    environment(COMPLETE, GP_SESSIONS=url, GP_STORE="sqlite:///events.sqlite3")
    settings = Settings()
    assert "hunter2" not in repr(settings)
    store = settings.build_store()
    assert repr(store) == "Store(SQLiteOutbox, RedisProfiles, RedisSessions)"
    redis = sessions_from_url(url)
    assert repr(redis) == "RedisStore('redis://localhost:6380/3', prefix='shop')"
    for url in ("rediss://localhost", "unix:///run/redis.sock"):
        assert repr(sessions_from_url(url)) == f"RedisStore({url!r}, prefix='gp')"


@pytest.mark.parametrize(
    "url", ["", "localhost", "http://:hunter2@localhost", "redis://:hunter2@localhost:port"]
)
def test_sessions_that_are_in_no_redis_are_named(environment, url):
    environment(COMPLETE, GP_SESSIONS=url)
    told = complaint()
    assert "GP_SESSIONS: malformed; expected a URL such as redis://user:password@" in told
    assert "gp_aiogram[redis]" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("url", ["redis://:hunter2@localhost", "rediss://localhost/0"])
def test_a_store_in_redis_alone_is_told_what_redis_keeps(environment, url):
    with pytest.raises(ConfigurationError, match=r"GP_SESSIONS=redis://.*GP_STORE=") as caught:
        from_url(url)
    assert "sessions and profiles only" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    environment(COMPLETE, GP_STORE=url)
    assert "of Redis: GP_SESSIONS" in complaint()


def test_every_destination_can_be_set_from_outside(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    variables = {
        "GP_GRAMPIXEL__API_KEY": "key",
        "GP_GRAMPIXEL__WORKSPACE_ID": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "GP_LEADSAIL__API_KEY": "key",
        "GP_LEADSAIL__PIXEL_ID": "123",
        "GP_LEADSAIL__PLATFORM": "tiktok",
        "GP_META__PIXEL_ID": "456",
        "GP_META__ACCESS_TOKEN": "token",
        "GP_META__API_VERSION": "v25.0",
        "GP_META__APP_SECRET": "secret",
        "GP_TIKTOK__PIXEL_CODE": "C789",
        "GP_TIKTOK__ACCESS_TOKEN": "token",
        "GP_TIKTOK__PAGE_URL": "https://example.com/?campaign=1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    built = {destination.name: destination for destination in Settings().destinations()}
    assert {name: type(one).__name__ for name, one in built.items()} == {
        "grampixel": "GramPixel",
        "leadsail": "LeadSail",
        "meta": "MetaCAPI",
        "tiktok": "TikTokEvents",
    }
    assert built["leadsail"].platform == "tiktok"
    assert built["meta"].pixel_id == "456"
    assert built["tiktok"].pixel_code == "C789"


def test_every_mistake_in_every_group_is_named_at_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "GP_LEADSAIL__PLATFORM": "vk",
        "GP_META__ACCESS_TOKEN": "to ken",
        "GP_META__API_VERSION": "26",
        "GP_TIKTOK__PIXEL_CODE": "C 789",
        "GP_TIKTOK__EVENT_SOURCE": "crm",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        Settings()
    text = str(caught.value)
    for expected in (
        "GP_LEADSAIL__API_KEY: missing",
        "GP_LEADSAIL__PIXEL_ID: missing",
        "GP_LEADSAIL__PLATFORM: malformed; expected facebook or tiktok",
        "GP_META__PIXEL_ID: missing",
        "GP_META__ACCESS_TOKEN: malformed; expected an access token",
        "GP_META__API_VERSION: malformed; expected a version such as v26.0",
        "GP_TIKTOK__PIXEL_CODE: malformed",
        "GP_TIKTOK__ACCESS_TOKEN: missing",
        "GP_TIKTOK__EVENT_SOURCE: malformed; expected web or app",
    ):
        assert expected in text
    assert "to ken" not in text
    assert "C 789" not in text


DESTINATIONS = {
    "GRAMPIXEL": COMPLETE,
    "LEADSAIL": {
        "GP_LEADSAIL__API_KEY": "key",
        "GP_LEADSAIL__PIXEL_ID": "123",
        "GP_LEADSAIL__PLATFORM": "tiktok",
    },
    "META": {"GP_META__PIXEL_ID": "456", "GP_META__ACCESS_TOKEN": "token"},
    "TIKTOK": {"GP_TIKTOK__PIXEL_CODE": "C789", "GP_TIKTOK__ACCESS_TOKEN": "token"},
    "SNAPCHAT": {"GP_SNAPCHAT__PIXEL_ID": "456", "GP_SNAPCHAT__ACCESS_TOKEN": "token"},
    "WEBHOOK": {
        "GP_WEBHOOK__URL": "https://n8n.example.com/webhook/1",
        "GP_WEBHOOK__SECRET": "whsec_c2FuZGJveC1kZW1vLXNlY3JldC1vZi0zMi1ieXRlcyE=",
    },
    "KEITARO": {"GP_KEITARO__HOST": "tracker.example.com", "GP_KEITARO__KEY": "abc"},
    "VOLUUM": {"GP_VOLUUM__HOST": "track.example.com"},
    "POSTBACK__OWN": {"GP_POSTBACK__OWN__URL": "https://tracker.example.com/?cid={clickid}"},
}

PROXY = "http://user:passW0RD@proxy.example.com:3128"

each = pytest.mark.parametrize("group", DESTINATIONS)


@each
def test_each_destination_may_have_a_proxy_and_only_some_events(environment, group):
    environment(DESTINATIONS[group])
    environment({f"GP_{group}__PROXY": PROXY, f"GP_{group}__ONLY": "FTD, DEP"})
    settings = Settings()
    (destination,) = settings.destinations()
    assert destination.only == {"FTD", "DEP"}
    assert destination.redact(f"by {PROXY}") == "by http://***@proxy.example.com:3128"
    shown = f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert "passW0RD" not in f"{shown} {destination!r}"


@each
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PROXY", "", "the URL of an HTTP proxy"),
        ("PROXY", "socks5://zzz@proxy.example.com", "the URL of an HTTP proxy"),
        ("PROXY", "zzz.example.com:3128", "the URL of an HTTP proxy"),
        ("ONLY", "", "names of events with commas between"),
        ("ONLY", " , ", "names of events with commas between"),
    ],
)
def test_a_proxy_or_names_that_cannot_be_meant_are_named(
    environment, group, name, value, expected
):
    environment(DESTINATIONS[group])
    environment({f"GP_{group}__{name}": value})
    said = complaint()
    assert f"GP_{group}__{name}: malformed; expected {expected}" in said
    assert "zzz" not in said


def test_the_names_in_a_group_of_json_are_a_list(environment):
    environment(GP_META='{"pixel_id": "456", "access_token": "token", "only": ["REG"]}')
    (destination,) = Settings().destinations()
    assert destination.only == {"REG"}


def test_metrica_and_clickhouse_are_set_from_outside(environment):
    environment(
        GP_METRICA__COUNTER_ID="12345678",
        GP_METRICA__TOKEN="y0_token",
        GP_METRICA__CURRENCY="KZT",
        GP_METRICA__GATHER_FOR="0",
        GP_METRICA__BATCH_SIZE="50",
        GP_METRICA__AMBIGUOUS="hold",
        GP_CLICKHOUSE__URL="https://clickhouse.example.com:8443",
        GP_CLICKHOUSE__TABLE="analytics.events",
        GP_CLICKHOUSE__USER="bot",
        GP_CLICKHOUSE__PASSWORD="pw1234",
        GP_CLICKHOUSE__CREATE="true",
    )
    metrica, clickhouse = Settings().destinations()
    assert isinstance(metrica, YandexMetrica)
    assert (metrica.counter_id, metrica.mode, metrica.currency) == ("12345678", "offline", "KZT")
    assert (metrica.batch_size, metrica.gather_for, metrica.ambiguous) == (50, 0, "hold")
    assert isinstance(clickhouse, ClickHouse)
    assert clickhouse.table.name == "analytics.events"
    assert clickhouse.batch_size == 1000
    environment(GP_METRICA__MODE="measurement")
    for name in ("GATHER_FOR", "BATCH_SIZE"):
        os.environ.pop(f"GP_METRICA__{name}")
    assert Settings().destinations()[0].mode == "measurement"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("GP_METRICA__COUNTER_ID", "y0_token", "the number of the counter"),
        ("GP_METRICA__CURRENCY", "rubles", "the ISO 4217 code of the counter's currency"),
        ("GP_METRICA__MODE", "online", "offline or measurement"),
        ("GP_METRICA__BATCH_SIZE", "0", "a number of rows, 1 to 100000"),
        ("GP_METRICA__GATHER_FOR", "-1", "seconds, 0 to 3600"),
        ("GP_CLICKHOUSE__URL", "clickhouse:9000", "the HTTP interface"),
        ("GP_CLICKHOUSE__TABLE", "a;b", "a table such as gp_events"),
        ("GP_CLICKHOUSE__USER", "a b", "a user of letters, digits and underscores"),
        ("GP_CLICKHOUSE__CREATE", "please", "true or false"),
    ],
)
def test_a_wrong_setting_of_metrica_or_clickhouse_is_named(environment, variable, value, expected):
    environment(
        {
            "GP_METRICA__COUNTER_ID": "1",
            "GP_METRICA__TOKEN": "y0_token",
            "GP_CLICKHOUSE__URL": "https://clickhouse.example.com:8443",
            variable: value,
        }
    )
    said = complaint()
    assert f"{variable}: malformed; expected {expected}" in said
    assert "y0_token" not in said


def test_the_gateway_can_be_set_from_outside(environment):
    environment(GP_GATEWAY__KEYS=f"a={WORKSPACE}, b=={WORKSPACE}", GP_GATEWAY__PORT="9000")
    gateway = Settings().gateway
    assert gateway is not None
    assert gateway.plain_keys == {"a": UUID(WORKSPACE), "b=": UUID(WORKSPACE)}
    assert (gateway.host, gateway.port) == ("127.0.0.1", 9000)
    environment(GP_GATEWAY__KEYS=f'{{"a": "{WORKSPACE}"}}')
    assert Settings().gateway.plain_keys == {"a": UUID(WORKSPACE)}


@pytest.mark.parametrize(
    "keys", ["hunter2", "hunter2=mine", f"hunter 2={WORKSPACE}", '{"hunter2": 5}', "", "{hunter2"]
)
def test_no_complaint_shows_a_key_of_the_gateway(environment, keys):
    environment({"GP_GATEWAY__KEYS": keys, **COMPLETE})
    said = complaint()
    assert "GP_GATEWAY__KEYS: malformed; expected API keys and their workspaces" in said
    assert "hunter" not in said.lower()
    environment(GP_GATEWAY__KEYS=f"hunter2={WORKSPACE}")
    assert "hunter2" not in repr(Settings())


def test_the_inspector_can_be_set_from_outside(environment):
    environment(
        GP_INSPECTOR__TOKEN="hunter2-and-more-of-it",
        GP_INSPECTOR__PATH="/ops",
        GP_INSPECTOR__TRUSTED_PROXIES="10.0.0.0/8, unix",
    )
    settings = Settings()
    inspector = settings.inspector
    assert inspector is not None
    assert (inspector.plain_token, inspector.path) == ("hunter2-and-more-of-it", "/ops")
    assert inspector.trusted_proxies == {"10.0.0.0/8", "unix"}
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TOKEN", "hunter2", "a secret of 16 characters or more"),
        ("PATH", "ops", "a path such as /inspector"),
        ("OPEN_ON_LOOPBACK", "hunter2", "true lets in whoever comes from this machine"),
    ],
)
def test_a_wrong_setting_of_the_inspector_is_named(environment, name, value, expected):
    environment({f"GP_INSPECTOR__{name}": value, **COMPLETE})
    said = complaint()
    assert f"GP_INSPECTOR__{name}: malformed; expected {expected}" in said
    assert "hunter2" not in said
