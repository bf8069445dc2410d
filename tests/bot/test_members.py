"""What changes of membership count as: joins, departures, blocks, and everything that is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import ChatMemberUpdated

from fixtures import updates
from fixtures.recorder import Feed, Recorder
from gp_aiogram import Event, MemoryStore, Tracker, UserTracker, track
from gp_aiogram.model.event import utc_from_timestamp

Recorded = Callable[[], Awaitable[list[Event]]]

#: As in the files: the user whom it happens to, and an administrator of the chat.
ADA, CHARLES = 7, 11

CHANNEL, PUBLIC, GROUP = -1002233445566, -1002233445577, -1002233445588

LINK = {
    "invite_link": "https://t.me/+Kq3vT9xW1mYyZjQ0",
    "name": "gp_a1b2c3",
    "creator": {"id": 42, "is_bot": True, "first_name": "Sandbox"},
    "creates_join_request": False,
    "is_primary": False,
    "is_revoked": False,
}


@pytest.fixture
async def tracker(recorder: Recorder, store: MemoryStore) -> AsyncIterator[Tracker]:
    auto = {"Subscribe", "Leave", "Blocked"}
    async with Tracker([recorder], store=store, auto=auto) as tracker:
        yield tracker


def standing(status: str, user_id: int = ADA, *, is_bot: bool = False) -> dict[str, Any]:
    """A ``ChatMember`` as the files have them, in short: "in" and "out" are restricted users."""
    user = {"id": user_id, "is_bot": is_bot, "first_name": "Ada"}
    if status in {"in", "out"}:
        muted = updates.raw("chat_member_muted")["chat_member"]["new_chat_member"]
        return {**muted, "user": user, "is_member": status == "in"}
    if status == "administrator":
        promoted = updates.raw("chat_member_promoted")["chat_member"]["new_chat_member"]
        return {**promoted, "user": user}
    more = {"kicked": {"until_date": 0}, "creator": {"is_anonymous": False}}
    return {"user": user, "status": status, **more.get(status, {})}


def change(old: str, new: str, by: int = ADA, **more: Any) -> dict[str, Any]:
    """A change from one standing to another that somebody made."""
    content = {
        "chat": {"id": GROUP, "type": "supergroup", "title": "Analysts"},
        "from": updates.person(by),
        "date": updates.DATE,
        "old_chat_member": standing(old),
        "new_chat_member": standing(new),
        **more,
    }
    return updates.update("chat_member", content)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chat_member_joined_by_link", ("Subscribe", CHANNEL, "gp_a1b2c3")),
        ("chat_member_joined_public", ("Subscribe", PUBLIC, None)),
        ("chat_member_approved", ("Subscribe", CHANNEL, "gp_a1b2c3")),
        ("chat_member_restricted_rejoin", ("Subscribe", GROUP, None)),
        ("chat_member_left", ("Leave", CHANNEL, None)),
        ("chat_member_kicked", None),
        ("chat_member_unbanned", None),
        ("chat_member_promoted", None),
        ("chat_member_demoted", None),
        ("chat_member_muted", None),
        ("my_chat_member_blocked", ("Blocked", None, None)),
        ("my_chat_member_unblocked", None),
        ("my_chat_member_added_to_group", None),
    ],
)
async def test_what_telegram_sends(
    feed: Feed, recorded: Recorded, name: str, expected: tuple[str, int | None, str | None] | None
) -> None:
    await feed(updates.raw(name))
    told = [(e.name, e.user_data.get("chat_id"), e.session_id) for e in await recorded()]
    assert told == ([] if expected is None else [expected])
    assert {event.telegram_id for event in await recorded()} <= {ADA}
    assert {event.event_time.timestamp() for event in await recorded()} <= {updates.DATE}


def test_the_files_are_all_known() -> None:
    """A new file of changes of membership needs its row in the table above."""
    (table,) = test_what_telegram_sends.pytestmark
    tested = {name for name, _ in table.args[1]}
    assert tested == {path.stem for path in updates.KEPT.glob("*chat_member_*.json")}


JOINS = [
    change("left", "member"),
    change("left", "member", CHARLES),  # added by an administrator
    change("left", "in"),
    change("out", "member"),
    change("out", "in", CHARLES),
    change("left", "member", invite_link=LINK),
    change("left", "member", via_chat_folder_invite_link=True),
    change("left", "member", CHARLES, via_join_request=True),
    # The ban has run out, or was lifted while a request or a link was there.
    change("kicked", "member"),
    change("kicked", "in"),
    change("kicked", "member", CHARLES, via_join_request=True),
    change("kicked", "member", CHARLES, invite_link=LINK),
]

DEPARTURES = [
    change("member", "left"),
    change("administrator", "left"),
    change("in", "left"),
    change("in", "out"),  # who is restricted stays so when they leave
]

NEITHER = [
    change("member", "administrator", CHARLES),
    change("administrator", "creator", CHARLES),
    change("creator", "administrator"),
    change("administrator", "administrator", CHARLES),
    change("member", "in", CHARLES),
    change("in", "member", CHARLES),
    change("in", "in", CHARLES),
    change("out", "out", CHARLES),
    change("out", "left", CHARLES),
    change("left", "out", CHARLES),
    change("left", "kicked", CHARLES),
    change("out", "kicked", CHARLES),
    change("member", "kicked", CHARLES),
    change("in", "kicked", CHARLES),
    change("administrator", "kicked", CHARLES),
    change("kicked", "left", CHARLES),
    change("kicked", "out", CHARLES),
    # An administrator has taken back the ban in the very chat.
    change("kicked", "member", CHARLES),
    change("kicked", "in", CHARLES),
    # Staff, which nobody became by an advertisement.
    change("left", "administrator", CHARLES),
    change("out", "administrator", CHARLES),
    # Thrown out, but not banned: unbanChatMember of a member, or a group that is no supergroup.
    change("member", "left", CHARLES),
    change("in", "out", CHARLES),
]


def said(update: dict[str, Any]) -> str:
    content = update["chat_member"]
    parts = [content["old_chat_member"], content["new_chat_member"]]
    shown = [
        part["status"] + {True: "+", False: "-"}.get(part.get("is_member"), "") for part in parts
    ]
    return f"{'-'.join(shown)} by {content['from']['id']}"


@pytest.mark.parametrize("raw", JOINS, ids=said)
async def test_who_was_outside_and_is_inside_has_joined(
    feed: Feed, recorded: Recorded, raw: dict[str, Any]
) -> None:
    await feed(raw)
    (event,) = await recorded()
    assert (event.name, event.telegram_id) == ("Subscribe", ADA)
    assert event.user_data == {"chat_id": GROUP}


@pytest.mark.parametrize("raw", DEPARTURES, ids=said)
async def test_who_goes_has_left(feed: Feed, recorded: Recorded, raw: dict[str, Any]) -> None:
    await feed(raw)
    (event,) = await recorded()
    assert (event.name, event.telegram_id) == ("Leave", ADA)
    assert event.user_data == {"chat_id": GROUP}


@pytest.mark.parametrize("raw", NEITHER, ids=said)
async def test_all_else_is_nothing(feed: Feed, recorded: Recorded, raw: dict[str, Any]) -> None:
    await feed(raw)
    assert await recorded() == []


@pytest.mark.parametrize(("old", "new"), [("left", "member"), ("member", "left")])
async def test_bots_do_not_count(feed: Feed, recorded: Recorded, old: str, new: str) -> None:
    robot = {"user_id": 43, "is_bot": True}
    await feed(
        change(
            old,
            new,
            CHARLES,
            invite_link=LINK,
            old_chat_member=standing(old, **robot),
            new_chat_member=standing(new, **robot),
        )
    )
    assert await recorded() == []


async def test_nobody_blocks_a_bot_by_throwing_it_out_of_a_group(
    feed: Feed, recorded: Recorded
) -> None:
    out = updates.raw("my_chat_member_added_to_group")
    content = out["my_chat_member"]
    content["old_chat_member"]["status"] = "member"
    content["new_chat_member"] |= {"status": "kicked", "until_date": 0}
    await feed(out)
    assert await recorded() == []


@pytest.mark.parametrize(("old", "new"), [("left", "member"), ("member", "administrator")])
async def test_only_a_join_keeps_the_session_of_a_link(
    feed: Feed, tracker: Tracker, old: str, new: str
) -> None:
    await feed(change(old, new, invite_link=LINK))
    touch = await tracker.session(ADA, at=utc_from_timestamp(updates.DATE))
    assert (touch is not None) == (old == "left")


async def test_handlers_too_get_the_member_and_not_the_administrator(
    dp: Dispatcher, feed: Feed, recorded: Recorded
) -> None:
    seen: list[UserTracker] = []

    @dp.chat_member()
    @track("VIP")
    async def handler(change: ChatMemberUpdated, gp: UserTracker) -> None:
        seen.append(gp)

    await feed(updates.raw("chat_member_approved"))
    assert [(gp.telegram_id, gp.session and gp.session.source) for gp in seen] == [(ADA, "invite")]
    assert {(event.name, event.telegram_id) for event in await recorded()} == {
        ("VIP", ADA),
        ("Subscribe", ADA),
    }
