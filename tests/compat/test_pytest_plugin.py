"""The pytest plugin in projects of users: with either event loop plugin, in any mode, or none."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import _gp_aiogram_pytest

AUTO = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
STRICT = AUTO.replace("auto", "strict")
ANYIO = "[pytest]\n"

#: What works everywhere: a bot on the stand-ins, what it recorded, and time.
BOT = """
import pytest
from aiogram import Dispatcher
from aiogram.filters import CommandStart
from gp_aiogram import MemoryStore, Tracker, track
from gp_aiogram.testing import tracked

{mark}
async def test_bot(gp_sandbox, gp_events, gp_clock):
    tracker = Tracker(
        gp_sandbox.destinations("grampixel", "meta"),
        store=MemoryStore(clock=gp_clock), clock=gp_clock,
    )
    dp = Dispatcher()
    tracker.setup(dp)

    @dp.message(CommandStart())
    @track("REG", once="user")
    async def start(message):
        await message.answer("Hello!")

    async with gp_sandbox.polling(dp) as bot:
        reply = await gp_sandbox.telegram.user(7, "Ada").start("gp_a1b2c3")
        (event,) = await gp_sandbox.grampixel.wait_for(1)
        await gp_sandbox.meta.wait_for(1)
    assert (bot.id, reply.text, event.body["session_id"]) == (42, "Hello!", "gp_a1b2c3")
    assert gp_events == [tracked("REG", session_id="gp_a1b2c3", to=["grampixel", "meta"])]
    began = gp_clock.time()
    gp_clock.advance(3600)
    assert gp_clock.time() == began + 3600
"""

Project = Callable[..., str]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Run pytest in a project of these files, and return what it says."""

    def run(*arguments: str, passes: bool = True, **files: str) -> str:
        for name, text in files.items():
            suffix = "ini" if name == "pytest" else "py"
            (tmp_path / f"{name}.{suffix}").write_text(text, encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = ran.stdout + ran.stderr
        assert (ran.returncode == 0) == passes, said
        return said

    return run


def test_pytest_finds_the_plugin_by_itself():
    found = {each.name: each.value for each in entry_points(group="pytest11")}
    assert found.get("gp_aiogram") == _gp_aiogram_pytest.__name__, "pip install -e . once more"


@pytest.mark.parametrize(
    ("settings", "mark"),
    [(AUTO, ""), (STRICT, "@pytest.mark.asyncio"), (ANYIO, "@pytest.mark.anyio")],
    ids=["auto", "strict", "anyio"],
)
def test_the_fixtures_serve_a_bot_s_test(project: Project, settings: str, mark: str):
    conftest = "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    arguments = ["-p", "no:asyncio"] if settings == ANYIO else []
    said = project(*arguments, pytest=settings, conftest=conftest, test_bot=BOT.format(mark=mark))
    assert "1 passed" in said


def test_anyio_beside_pytest_asyncio(project: Project):
    conftest = "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    bot = BOT.format(mark="@pytest.mark.anyio")
    said = project(pytest=STRICT, conftest=conftest, test_bot=bot)
    assert "1 passed" in said


def test_without_an_event_loop_plugin_the_stand_ins_say_what_to_install(project: Project):
    test = "def test_it(gp_sandbox): ...\n"
    said = project("-p", "no:asyncio", "-p", "no:anyio", passes=False, pytest=ANYIO, test_it=test)
    assert 'install pytest-asyncio (pip install "gp-aiogram[testing]")' in said
    assert "1 error" in said


def test_without_an_event_loop_plugin_the_rest_works(project: Project):
    test = """
import asyncio
from gp_aiogram import MemoryStore, Tracker
from gp_aiogram.testing import assert_tracked

def test_it(gp_events, gp_clock):
    tracker = Tracker([], store=MemoryStore(clock=gp_clock), clock=gp_clock)
    asyncio.run(tracker.track("REG", telegram_id=7))
    assert_tracked("REG")
"""
    said = project("-p", "no:asyncio", "-p", "no:anyio", pytest=ANYIO, test_it=test)
    assert "1 passed" in said


def test_a_project_that_does_not_use_it_pays_nothing(project: Project):
    test = """
import sys

def test_it():
    assert not {"gp_aiogram", "aiogram", "aiohttp", "httpx", "pydantic"} & {*sys.modules}
"""
    said = project("--disable-plugin-autoload", "-p", "gp_aiogram", pytest=ANYIO, test_it=test)
    assert "1 passed" in said


def test_fixtures_of_the_same_names_in_a_project_win(project: Project):
    conftest = "import pytest\n@pytest.fixture\ndef gp_events():\n    return ['mine']\n"
    test = "def test_it(gp_events):\n    assert gp_events == ['mine']\n"
    assert "1 passed" in project(pytest=AUTO, conftest=conftest, test_it=test)


def test_it_can_be_switched_off(project: Project):
    test = "def test_it(gp_events): ...\n"
    said = project("-p", "no:gp_aiogram", passes=False, pytest=AUTO, test_it=test)
    assert "fixture 'gp_events' not found" in said


FAILING = """
import asyncio
from gp_aiogram import MemoryStore, Tracker
from gp_aiogram.testing import tracked

def record(gp_events):
    tracker = Tracker([], store=MemoryStore())
    asyncio.run(tracker.track("FTD", telegram_id=7, value="49.90", currency="EUR"))

def test_compared(gp_events):
    record(gp_events)
    assert gp_events == [tracked("REG"), tracked("FTD", value=50)]

def test_asserted(gp_events):
    record(gp_events)
    gp_events.assert_tracked("FTD", value=50)

def test_else(gp_events):
    record(gp_events)
    assert 1 == 2
"""


def test_a_failure_is_readable(project: Project):
    said = project(passes=False, pytest=AUTO, test_it=FAILING)
    for line in (
        "what was recorded is not what was expected:",
        "- REG",
        "- FTD with value=50",
        "+ FTD 49.90 EUR, user 7, no session, to nobody",
        "value: 49.90, not 50",
        "FTD with value=50 was not tracked. Instead, nearest first:",
    ):
        assert re.search(rf"^E +.*{re.escape(line)}$", said, re.MULTILINE), said
    sections = said.split("recorded by gp_aiogram")[1:]
    assert len(sections) == 3
    assert all("FTD 49.90 EUR, user 7" in section for section in sections)
