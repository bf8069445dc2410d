"""``gp-aiogram init``: asks in a terminal, and writes ``.env``."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from fixtures.terminal import in_terminal, piped
from gp_aiogram.cli.console import CommandError
from gp_aiogram.cli.dotenv_file import known_variables, write_variables

TOKEN = "42:SECRET-token"
KEY = "very-secret-key"
WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"

ANSWERS = [
    ("BOT_TOKEN", TOKEN),
    ("Which ones", "grampixel"),
    ("GP_GRAMPIXEL__API_KEY", KEY),
    ("GP_GRAMPIXEL__WORKSPACE_ID", WORKSPACE),
    ("[sqlite:///gp.sqlite3]", ""),
]


def test_it_writes_what_it_was_told_and_shows_no_secret(tmp_path: Path) -> None:
    ran = in_terminal("init", folder=tmp_path, answers=ANSWERS)
    assert ran.code == 0
    assert ".env has BOT_TOKEN, GP_GRAMPIXEL__API_KEY" in ran.plain
    assert "Next: gp-aiogram doctor" in ran.plain
    assert [secret for secret in (TOKEN, KEY) if secret in ran.out] == []
    assert dict(dotenv_values(tmp_path / ".env")) == {
        "BOT_TOKEN": TOKEN,
        "GP_GRAMPIXEL__API_KEY": KEY,
        "GP_GRAMPIXEL__WORKSPACE_ID": WORKSPACE,
        "GP_STORE": "sqlite:///gp.sqlite3",
    }
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    checked = piped(
        "doctor", folder=tmp_path, env={"GP_GRAMPIXEL__BASE_URL": "http://127.0.0.1:9"}
    )
    assert "ok\tsettings" in checked.out


def test_what_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        f"# mine\nexport BOT_TOKEN='41:OLD'\nDEBUG=1\nGP_GRAMPIXEL__API_KEY=old # key\n"
        f"GP_GRAMPIXEL__WORKSPACE_ID={WORKSPACE}\n"
    )
    answers = [
        ("BOT_TOKEN is set already. Replace it? [y/N]", "n"),
        ("Which ones", "grampixel"),
        ("GP_GRAMPIXEL__API_KEY is set already. Replace it? [y/N]", "y"),
        ("GP_GRAMPIXEL__API_KEY, ", KEY),
        ("GP_GRAMPIXEL__WORKSPACE_ID is set already. Replace it? [y/N]", ""),
        ("[sqlite:///gp.sqlite3]", "sqlite:////var/lib/bot/gp.sqlite3"),
    ]
    ran = in_terminal("init", folder=tmp_path, answers=answers)
    assert ran.code == 0
    assert [old for old in ("41:OLD", "old #", KEY) if old in ran.out] == []
    assert (tmp_path / ".env").read_text() == (
        f"# mine\nexport BOT_TOKEN='41:OLD'\nDEBUG=1\nGP_GRAMPIXEL__API_KEY={KEY}\n"
        f"GP_GRAMPIXEL__WORKSPACE_ID={WORKSPACE}\nGP_STORE=sqlite:////var/lib/bot/gp.sqlite3\n"
    )


def test_it_asks_again_until_an_answer_makes_sense(tmp_path: Path) -> None:
    answers = [
        ("BOT_TOKEN", ""),
        ("Which ones", "grampixle"),
        ("there is no grampixle", "grampixel"),
        ("GP_GRAMPIXEL__API_KEY, ", "with space"),
        ("GP_GRAMPIXEL__API_KEY, ", KEY),
        ("GP_GRAMPIXEL__WORKSPACE_ID, ", "mine"),
        ("expected a UUID", WORKSPACE),
        ("GP_STORE, ", "mysql://x"),
        ("a store's URL starts with", ""),
    ]
    ran = in_terminal("init", "--file", "deploy.env", folder=tmp_path, answers=answers)
    assert ran.code == 0
    assert "with space" not in ran.out
    assert [*known_variables(tmp_path / "deploy.env")] == [
        "GP_GRAMPIXEL__API_KEY",
        "GP_GRAMPIXEL__WORKSPACE_ID",
        "GP_STORE",
    ]


def test_several_destinations_and_a_choice(tmp_path: Path) -> None:
    answers = [
        ("BOT_TOKEN", ""),
        ("Which ones", "meta, leadsail"),
        ("GP_META__PIXEL_ID", "123"),
        ("GP_META__ACCESS_TOKEN", "EAAtoken"),
        ("GP_LEADSAIL__API_KEY", KEY),
        ("GP_LEADSAIL__PIXEL_ID", "123"),
        ("GP_LEADSAIL__PLATFORM", "myspace"),
        ("GP_LEADSAIL__PLATFORM, ", "tiktok"),
        ("[sqlite:///gp.sqlite3]", ""),
    ]
    assert in_terminal("init", folder=tmp_path, answers=answers).code == 0
    assert known_variables(tmp_path / ".env")["GP_LEADSAIL__PLATFORM"] == "tiktok"


def test_nothing_is_written_when_it_is_interrupted(tmp_path: Path) -> None:
    answers = [("BOT_TOKEN", TOKEN), ("Which ones", "\x03")]
    ran = in_terminal("init", folder=tmp_path, answers=answers)
    assert ran.code != 0
    assert "Traceback" not in ran.out
    assert [*tmp_path.iterdir()] == []


def test_it_needs_a_terminal(tmp_path: Path) -> None:
    ran = piped("init", folder=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert "run it in a terminal" in ran.err


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "with space",
        "it's",
        'say "hi"',
        "a#b",
        "a\\b",
        "",
        "ключ",
        "a=b",
        "$x",
    ],
)
def test_any_value_is_read_back_as_it_is(tmp_path: Path, value: str) -> None:
    path = tmp_path / ".env"
    write_variables(path, {"GP_X": value})
    write_variables(path, {"GP_Y": value, "GP_X": value})
    assert known_variables(path) == {"GP_X": value, "GP_Y": value}


@pytest.mark.parametrize("value", ["${HOME}", "a ${UNSET} b"])
def test_a_value_that_a_file_cannot_hold_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / ".env"
    path.write_text("GP_X=old\n")
    with pytest.raises(CommandError, match="set it in the environment") as caught:
        write_variables(path, {"GP_X": value})
    assert value not in str(caught.value)
    assert path.read_text() == "GP_X=old\n"
    assert [*tmp_path.iterdir()] == [path]


def test_a_value_of_several_lines_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("GP_X='two\nlines'\n")
    write_variables(path, {"GP_Y": "1"})
    assert known_variables(path) == {"GP_X": "two\nlines", "GP_Y": "1"}
    with pytest.raises(CommandError, match="edit the file yourself"):
        write_variables(path, {"GP_X": "one"})
    assert known_variables(path) == {"GP_X": "two\nlines", "GP_Y": "1"}
