"""``gp-aiogram doctor``: each line says what is wrong and what to do."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from fixtures.sample_store import OFFLINE, SECRETS
from fixtures.terminal import Ran, in_terminal, piped
from gp_aiogram import MemoryStore, SQLiteStore, Tracker
from gp_aiogram.cli.doctor.clock_check import check_clock
from gp_aiogram.sandbox import (
    Fault,
    GramPixelSandbox,
    LeadSailSandbox,
    MetaSandbox,
    SnapchatSandbox,
    TelegramSandbox,
    TikTokSandbox,
)
from gp_aiogram.web import Landing, serve

Finding = tuple[str, str, str, str]


@pytest.fixture
async def meta() -> AsyncIterator[MetaSandbox]:
    async with MetaSandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramSandbox]:
    async with TelegramSandbox() as sandbox:
        yield sandbox


def env_of(meta: MetaSandbox, **more: str) -> dict[str, str]:
    return {
        "GP_META__PIXEL_ID": meta.pixel_id,
        "GP_META__ACCESS_TOKEN": meta.access_token,
        "GP_META__BASE_URL": meta.url,
        **more,
    }


async def examine(folder: Path, env: dict[str, str], *options: str) -> tuple[int, list[Finding]]:
    """Run the doctor while stand-ins in this process answer."""
    ran = await asyncio.to_thread(piped, "doctor", *options, folder=folder, env=env)
    assert ran.err == "", ran.err
    return ran.code, read(ran)


def read(ran: Ran) -> list[Finding]:
    found: list[Any] = [tuple(line.split("\t")) for line in ran.out.splitlines()]
    assert all(len(each) == 4 for each in found)
    return found


def of(findings: list[Finding], subject: str) -> list[Finding]:
    return [finding for finding in findings if finding[1] == subject]


async def test_nothing_is_wrong(
    tmp_path: Path, meta: MetaSandbox, telegram: TelegramSandbox
) -> None:
    store = SQLiteStore(tmp_path / "gp.sqlite3")
    await store.open()
    await store.close()
    env = env_of(meta, BOT_TOKEN=telegram.token)
    code, found = await examine(
        tmp_path, env, "--telegram-url", telegram.url, "--test-code", "meta=TEST12345"
    )
    assert code == 0
    assert {verdict for verdict, *_ in found} <= {"ok", "note"}
    assert of(found, "meta")[:2] == [
        ("ok", "meta", f"{meta.url} answers", "-"),
        ("ok", "meta", "it takes the key: a test event was sent", "-"),
    ]
    assert of(found, "clock") == [("ok", "clock", "it agrees with that of the servers", "-")]
    assert of(found, "updates") == [("ok", "updates", "Telegram sends message", "-")]
    (event,) = meta.events
    assert (event.test_event_code, event.body["event_name"]) == (
        "TEST12345",
        "CompleteRegistration",
    )


async def test_a_terminal_shows_verdicts_and_a_summary(tmp_path: Path) -> None:
    shown = await asyncio.to_thread(in_terminal, "doctor", folder=tmp_path, env=OFFLINE)
    assert shown.code == 1
    assert "problem  meta: http://127.0.0.1:9 cannot be reached" in shown.plain
    assert "2 problems, 0 warnings" in shown.plain
    assert "\x1b[" in shown.out
    assert [secret for secret in SECRETS if secret in shown.out] == []


async def test_json_holds_every_finding(tmp_path: Path) -> None:
    ran = await asyncio.to_thread(piped, "doctor", "--json", folder=tmp_path, env=OFFLINE)
    assert ran.code == 1
    told = json.loads(ran.out)
    assert {frozenset(each) for each in told} == {
        frozenset({"verdict", "subject", "text", "remedy"})
    }


async def test_misspelt_and_missing_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GP_META__PIXEL_ID=123\nGP_ATRIBUTION__TOUCH=first\n")
    (tmp_path / ".env").chmod(0o644)
    code, found = await examine(tmp_path, {"GP_STARS__RATE": "much"})
    assert code == 1
    settings = of(found, "settings")
    assert settings[0][:3] == ("warning", "settings", "there is no setting GP_ATRIBUTION__TOUCH")
    assert settings[0][3] == "did you mean GP_ATTRIBUTION__TOUCH?"
    if os.name == "posix":
        assert settings[1][0] == "warning"
        assert settings[1][3] == "chmod 600 .env"
    texts = [text for verdict, _, text, _ in settings if verdict == "problem"]
    assert [text.split(":")[0] for text in texts] == ["GP_STARS__RATE", "GP_META__ACCESS_TOKEN"]


async def test_no_destination(tmp_path: Path) -> None:
    code, found = await examine(tmp_path, {})
    assert code == 1
    ((verdict, _, text, remedy),) = of(found, "destinations")
    assert verdict == "problem"
    assert text.startswith("no destination is configured: set GP_GRAMPIXEL__API_KEY")
    assert "if its code makes the destinations" in remedy


async def test_what_waits_in_the_store(folder: Path, meta: MetaSandbox) -> None:
    (folder / "gp.journal").write_text("{}\n")
    code, found = await examine(folder, env_of(meta))
    assert code == 0
    dead, late = of(found, "meta")[:2]
    assert dead[:3] == ("warning", "meta", "1 dead letter")
    assert "gp-aiogram outbox dead -d meta" in dead[3]
    assert late[2].startswith("events wait for ")
    assert of(found, "journal")[0][0] == "warning"


async def test_events_for_a_destination_that_is_gone(folder: Path) -> None:
    async with GramPixelSandbox() as grampixel:
        env = {
            "GP_GRAMPIXEL__API_KEY": grampixel.api_key,
            "GP_GRAMPIXEL__WORKSPACE_ID": grampixel.workspace_id,
            "GP_GRAMPIXEL__BASE_URL": grampixel.url,
        }
        code, found = await examine(folder, env)
    assert code == 1
    (gone,) = [finding for finding in of(found, "meta") if finding[0] == "problem"]
    assert gone[2] == "1 event waits for it, and no destination has this name"
    assert "outbox purge -d meta --state pending" in gone[3]
    (note,) = [finding for finding in of(found, "grampixel") if finding[0] == "note"]
    assert "has no test mode" in note[2]


@pytest.mark.parametrize(
    ("store", "verdict", "told"),
    [
        ("memory://", "warning", "forgets sessions and events"),
        ("sqlite:///new.sqlite3", "note", "the bot makes it when it first starts"),
        ("sqlite:///notes.txt", "problem", "cannot use"),
    ],
)
async def test_the_store(
    tmp_path: Path, meta: MetaSandbox, store: str, verdict: str, told: str
) -> None:
    (tmp_path / "notes.txt").write_text("no database at all, but long enough for a header")
    _, found = await examine(tmp_path, env_of(meta, GP_STORE=store))
    (finding,) = of(found, "store")
    assert finding[0] == verdict
    assert told in finding[2]


async def test_a_key_that_is_refused(tmp_path: Path, meta: MetaSandbox) -> None:
    env = env_of(meta, GP_META__ACCESS_TOKEN="EAAwrong-token")
    code, found = await examine(tmp_path, env, "--test-code", "meta=TEST12345")
    assert code == 1
    (refused,) = [finding for finding in of(found, "meta") if finding[0] == "problem"]
    assert refused[2].startswith("it refuses the key: ")
    assert "EAAwrong-token" not in str(found)
    assert refused[3] == "look at the key, its rights and the id of the pixel"


async def test_no_test_event_without_a_code(tmp_path: Path, meta: MetaSandbox) -> None:
    code, found = await examine(tmp_path, env_of(meta))
    assert code == 0
    assert ("note", "meta", "its key was not tried") in [finding[:3] for finding in found]
    assert meta.events == []


async def test_a_test_code_that_was_left_in_the_settings(
    tmp_path: Path, meta: MetaSandbox
) -> None:
    _, found = await examine(tmp_path, env_of(meta, GP_META__TEST_EVENT_CODE="TEST12345"))
    (warning,) = [finding for finding in of(found, "meta") if finding[0] == "warning"]
    assert warning[3] == "remove GP_META__TEST_EVENT_CODE when the test is over"
    assert meta.events == []


async def test_platforms_with_a_test_mode(tmp_path: Path) -> None:
    async with TikTokSandbox() as tiktok, LeadSailSandbox() as leadsail, SnapchatSandbox() as snap:
        env = {
            "GP_TIKTOK__PIXEL_CODE": tiktok.pixel_code,
            "GP_TIKTOK__ACCESS_TOKEN": tiktok.access_token,
            "GP_TIKTOK__BASE_URL": tiktok.url,
            "GP_LEADSAIL__API_KEY": leadsail.api_key,
            "GP_LEADSAIL__PIXEL_ID": "1234567890",
            "GP_LEADSAIL__PLATFORM": "facebook",
            "GP_LEADSAIL__BASE_URL": leadsail.url,
            "GP_SNAPCHAT__PIXEL_ID": snap.pixel_id,
            "GP_SNAPCHAT__ACCESS_TOKEN": snap.access_token,
            "GP_SNAPCHAT__BASE_URL": snap.url,
        }
        codes = ("--test-code", "tiktok=TEST1", "--test-code", "leadsail=TEST2")
        code, found = await examine(tmp_path, env, *codes)
        assert code == 0, found
        for name in ("tiktok", "snapchat"):
            assert ("ok", name, "it takes the key: a test event was sent", "-") in found
        (note,) = [finding for finding in of(found, "leadsail") if finding[0] == "note"]
        assert "the user is no lead" in note[2]
        assert [event.test_event_code for event in tiktok.events] == ["TEST1"]
        assert snap.events == []


async def test_the_bots_token_and_updates(
    tmp_path: Path, meta: MetaSandbox, telegram: TelegramSandbox
) -> None:
    webhook = {"url": "http://127.0.0.1:1/webhook", "allowed_updates": ["message"]}
    async with ClientSession() as http:
        address = f"{telegram.url}/bot{telegram.token}/setWebhook"
        async with http.post(address, json=webhook) as answer:
            assert answer.status == 200
    (tmp_path / ".env").write_text(f"BOT_TOKEN={telegram.token}\n")
    (tmp_path / ".env").chmod(0o600)
    env = env_of(meta, GP_AUTO="Subscribe,Blocked")
    code, found = await examine(tmp_path, env, "--telegram-url", telegram.url)
    assert code == 1
    assert of(found, "telegram")[0][0] == "ok"
    ((verdict, _, text, remedy),) = of(found, "updates")
    assert (verdict, text) == ("problem", "Telegram does not send chat_member, my_chat_member")
    assert "allowed_updates=dp.resolve_used_update_types()" in remedy
    assert telegram.token not in str(found)


@pytest.mark.parametrize(
    ("token", "told"),
    [("nonsense", "does not look like one"), ("42:TEST", "cannot be reached")],
)
async def test_a_token_that_is_none(
    tmp_path: Path, meta: MetaSandbox, token: str, told: str
) -> None:
    env = env_of(meta, MY_TOKEN=token)
    options = ("--token-variable", "MY_TOKEN", "--telegram-url", "http://127.0.0.1:9")
    code, found = await examine(tmp_path, env, *options)
    assert code == 1
    ((verdict, _, text, _),) = of(found, "telegram")
    assert verdict == "problem"
    assert told in text
    assert token not in str(found)


@pytest.mark.parametrize("same", [True, False])
async def test_where_the_landing_leads(
    tmp_path: Path, meta: MetaSandbox, telegram: TelegramSandbox, same: bool
) -> None:
    address = f"{telegram.url}/bot{telegram.token}/getMe"
    async with ClientSession() as http, http.get(address) as answer:
        username = (await answer.json())["result"]["username"]
    bot = username if same else "another_bot"
    store = MemoryStore()
    app = web.Application()
    Landing(Tracker([], store=store), bot).setup(app)
    async with serve(app) as url:
        code, found = await examine(
            tmp_path,
            env_of(meta, BOT_TOKEN=telegram.token),
            "--telegram-url",
            telegram.url,
            "--landing",
            url,
        )
    ((verdict, _, text, remedy),) = of(found, "landing")
    assert (code, verdict) == ((0, "ok") if same else (1, "problem"))
    if not same:
        assert text == f"it leads to @another_bot, and the token is that of @{username}"
        assert remedy == f"Landing(tracker, '{username}')"


async def test_a_landing_that_is_none(tmp_path: Path, meta: MetaSandbox) -> None:
    code, found = await examine(tmp_path, env_of(meta), "--landing", meta.url)
    assert code == 1
    assert "leads to no bot" in of(found, "landing")[0][2]
    _, found = await examine(tmp_path, env_of(meta), "--landing", "http://127.0.0.1:9/go")
    assert "cannot be reached" in of(found, "landing")[0][2]


async def test_metas_match_quality_where_the_token_may_not_read_it(
    tmp_path: Path, meta: MetaSandbox
) -> None:
    meta.fail(Fault.status(403), when=lambda parameters: "dataset_id" in parameters)
    code, found = await examine(tmp_path, env_of(meta))
    assert code == 0
    assert any("match quality" in text for _, _, text, _ in of(found, "meta"))


@pytest.mark.parametrize(("score", "verdict"), [(7.2, "ok"), (3.5, "warning"), (None, "note")])
async def test_metas_match_quality(
    tmp_path: Path, meta: MetaSandbox, score: float | None, verdict: str
) -> None:
    told = {"event_name": "Purchase", "event_match_quality": {"composite_score": score}}
    meta.fail(
        Fault.status(200, body={"web": [told]}), when=lambda parameters: "dataset_id" in parameters
    )
    code, found = await examine(tmp_path, env_of(meta))
    assert code == 0
    (finding,) = [finding for finding in of(found, "meta") if "match quality" in finding[2]]
    assert finding[0] == verdict
    if score is not None:
        assert finding[2] == f"match quality of Purchase: {score} of 10"


NOW = datetime(2026, 9, 21, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("off", "verdict", "told"),
    [
        (0, "ok", "agrees"),
        (-20, "ok", "agrees"),
        (60, "warning", "60 s ahead"),
        (-3600, "problem", "3600 s behind"),
    ],
)
def test_the_clock(off: int, verdict: str, told: str) -> None:
    dates = [format_datetime(NOW), None, "nonsense"]
    (finding,) = check_clock(dates, NOW + timedelta(seconds=off))
    assert finding.verdict == verdict
    assert told in finding.text


def test_a_clock_that_nobody_can_judge() -> None:
    (finding,) = check_clock([None, "nonsense"])
    assert finding.verdict == "note"
