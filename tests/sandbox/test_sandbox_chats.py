"""Channels and groups in the Telegram stand-in: a real aiogram bot invites, people come and go."""

import time

import pytest
from aiogram import Dispatcher
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError
from aiogram.types import Update

from fixtures.sandbox_bots import bot_of, call, polling
from gp_aiogram.sandbox import RefusedError

CHANNEL, GROUP = -1001234567890, -1001234567891


def told(telegram):
    """The updates so far as aiogram reads them, by type."""
    updates = [Update.model_validate(update) for update in telegram.updates]
    return [(update.event_type, update.event) for update in updates]


# Joining


async def test_joining_by_a_link_tells_which(telegram, bot):
    user, channel = telegram.user(7, username="ada7"), telegram.channel(CHANNEL, "Notes")
    expires = int(time.time()) + 3600
    link = await bot.create_chat_invite_link(
        CHANNEL, name="gp_a1b2c3", expire_date=expires, member_limit=1
    )
    assert (link.name, link.creator.id, link.member_limit) == ("gp_a1b2c3", 42, 1)
    assert (link.creates_join_request, link.is_primary, link.is_revoked) == (False, False, False)
    await user.join(channel, link.invite_link)
    ((kind, event),) = told(telegram)
    assert kind == "chat_member"
    assert (event.chat.id, event.chat.type) == (CHANNEL, "channel")
    assert event.from_user.id == event.new_chat_member.user.id == 7
    assert (event.old_chat_member.status, event.new_chat_member.status) == ("left", "member")
    assert event.invite_link.model_dump() == link.model_dump()
    assert event.via_join_request is None
    assert (await bot.get_chat_member(CHANNEL, 7)).status == "member"


async def test_joining_in_public_names_no_link(telegram, bot):
    user = telegram.user(7)
    channel = telegram.channel(CHANNEL, "News", username="news")
    await user.join(channel)
    ((kind, event),) = told(telegram)
    assert (kind, event.new_chat_member.status, event.invite_link) == (
        "chat_member",
        "member",
        None,
    )
    assert (await bot.send_message("@news", "hi")).chat.username == "news"
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message("@olds", "hi")


async def test_member_updates_are_hidden_unless_asked_for(telegram, bot):
    user = telegram.user(7)
    channel = telegram.channel(CHANNEL, "News", username="news")
    await user.join(channel)
    assert await bot.get_updates() == []
    await user.leave(channel)
    assert len(await bot.get_updates(allowed_updates=["chat_member"])) == 1


async def test_a_request_is_approved_by_the_bot(telegram, bot):
    user, channel = telegram.user(7), telegram.channel(CHANNEL, "Notes")
    link = await bot.create_chat_invite_link(CHANNEL, name="gp_1", creates_join_request=True)
    dp = Dispatcher()

    @dp.chat_join_request()
    async def approve(request):
        await request.approve()

    async with polling(dp, bot):
        await user.join(channel, link.invite_link)
        await telegram.wait_until(lambda: len(telegram.updates) == 2)
    (_, request), (kind, event) = told(telegram)
    assert (request.from_user.id, request.user_chat_id) == (7, 7)
    assert (request.invite_link.name, request.invite_link.creates_join_request) == ("gp_1", True)
    assert request.invite_link.pending_join_request_count == 1
    assert (kind, event.from_user.id, event.new_chat_member.user.id) == ("chat_member", 42, 7)
    assert (event.via_join_request, event.invite_link.name) == (True, "gp_1")


async def test_a_request_is_approved_by_an_administrator(telegram, bot):
    user, admin = telegram.user(7), telegram.user(11, "Charles")
    channel = telegram.channel(CHANNEL, "Notes")
    link = await bot.create_chat_invite_link(CHANNEL, creates_join_request=True)
    await user.join(channel, link.invite_link)
    await user.join(channel, link.invite_link)
    assert len(telegram.updates) == 1
    await channel.approve(user, by=admin)
    assert told(telegram)[-1][1].from_user.id == 11
    with pytest.raises(LookupError):
        await channel.approve(user)


async def test_a_declined_request_is_gone(telegram, bot):
    user, channel = telegram.user(7), telegram.channel(CHANNEL, "Notes")
    link = await bot.create_chat_invite_link(CHANNEL, creates_join_request=True)
    await user.join(channel, link.invite_link)
    assert await bot.decline_chat_join_request(CHANNEL, 7) is True
    await user.join(channel, link.invite_link)
    await channel.decline(user)
    with pytest.raises(TelegramBadRequest, match="HIDE_REQUESTER_MISSING"):
        await bot.approve_chat_join_request(CHANNEL, 7)
    assert [kind for kind, _ in told(telegram)] == ["chat_join_request"] * 2
    await user.join(channel, (await bot.create_chat_invite_link(CHANNEL)).invite_link)
    with pytest.raises(TelegramBadRequest, match="USER_ALREADY_PARTICIPANT"):
        await bot.approve_chat_join_request(CHANNEL, 7)


async def test_the_way_in_may_be_closed(telegram, bot):
    user, other = telegram.user(7), telegram.user(8)
    channel = telegram.channel(CHANNEL, "Notes")
    link = (await bot.create_chat_invite_link(CHANNEL, member_limit=1)).invite_link
    with pytest.raises(RefusedError, match="CHANNEL_PRIVATE"):
        await user.join(channel)
    with pytest.raises(RefusedError, match="USER_NOT_PARTICIPANT"):
        await user.leave(channel)
    with pytest.raises(RefusedError, match="INVITE_HASH_EXPIRED"):
        await user.join(channel, "https://t.me/+unknown")
    await user.join(channel, link)
    with pytest.raises(RefusedError, match="USER_ALREADY_PARTICIPANT"):
        await user.join(channel, link)
    with pytest.raises(RefusedError, match="INVITE_HASH_EXPIRED"):
        await other.join(channel, link)
    await user.leave(channel)
    await other.join(channel, link)
    await other.leave(channel)
    assert (await bot.revoke_chat_invite_link(CHANNEL, link)).is_revoked
    with pytest.raises(RefusedError, match="INVITE_HASH_EXPIRED"):
        await user.join(channel, link)


async def test_a_link_expires(telegram, bot, monkeypatch):
    user, channel = telegram.user(7), telegram.channel(CHANNEL, "Notes")
    link = await bot.create_chat_invite_link(CHANNEL, expire_date=int(time.time()) + 60)
    later = time.time() + 61
    monkeypatch.setattr("gp_aiogram.sandbox.telegram.invites.time.time", lambda: later)
    with pytest.raises(RefusedError, match="INVITE_HASH_EXPIRED"):
        await user.join(channel, link.invite_link)


async def test_a_group_also_says_who_comes_and_goes(telegram, bot):
    user, group = telegram.user(7), telegram.group(GROUP, "Analysts", username="analysts")
    await user.join(group)
    await user.leave(group)
    kinds = [kind for kind, _ in told(telegram)]
    assert kinds == ["chat_member", "message", "message", "chat_member"]
    (_, joined), (_, left) = told(telegram)[1:3]
    assert (joined.chat.type, [person.id for person in joined.new_chat_members]) == (
        "supergroup",
        [7],
    )
    assert left.left_chat_member.id == 7


# Links


async def test_a_long_name_is_cut(telegram, bot):
    telegram.channel(CHANNEL, "Notes")
    link = await bot.create_chat_invite_link(CHANNEL, name="gp_" + "x" * 40)
    assert link.name == "gp_" + "x" * 29
    assert (await bot.create_chat_invite_link(CHANNEL, name="123")).name == "123"


@pytest.mark.parametrize(
    ("terms", "description"),
    [
        ({"expire_date": 1}, "EXPIRE_DATE_INVALID"),
        ({"member_limit": 100_000}, "USAGE_LIMIT_INVALID"),
        ({"member_limit": 1, "creates_join_request": True}, "member limit can't be specified for"),
    ],
)
async def test_bad_terms_are_refused(telegram, bot, terms, description):
    telegram.channel(CHANNEL, "Notes")
    with pytest.raises(TelegramBadRequest, match=f"Bad Request: {description}"):
        await bot.create_chat_invite_link(CHANNEL, **terms)


async def test_a_subscription_link_tells_its_price_to_who_joins_by_it(telegram, bot):
    channel = telegram.channel(CHANNEL, "Notes")
    link = await bot.create_chat_subscription_invite_link(CHANNEL, 2_592_000, 200, name="gp_a")
    assert (link.name, link.subscription_period, link.subscription_price) == (
        "gp_a",
        2_592_000,
        200,
    )
    await telegram.user(7).join(channel, link.invite_link)
    ((_, event),) = told(telegram)
    assert event.invite_link.subscription_price == 200
    until = event.new_chat_member.until_date.timestamp()
    assert until == pytest.approx(time.time() + 2_592_000, abs=5)
    edited = await bot.edit_chat_subscription_invite_link(CHANNEL, link.invite_link, name="gp_b")
    assert (edited.name, edited.subscription_price) == ("gp_b", 200)
    with pytest.raises(TelegramBadRequest):
        await bot.edit_chat_invite_link(CHANNEL, link.invite_link, name="gp_c")
    free = (await bot.create_chat_invite_link(CHANNEL)).invite_link
    with pytest.raises(TelegramBadRequest):
        await bot.edit_chat_subscription_invite_link(CHANNEL, free, name="gp_c")


@pytest.mark.parametrize(
    ("period", "price", "description"),
    [
        (3600, 200, "SUBSCRIPTION_PERIOD_INVALID"),
        (2_592_000, 0, "PRICING_CHAT_INVALID"),
        (2_592_000, 10_001, "PRICING_CHAT_INVALID"),
    ],
)
async def test_bad_prices_are_refused(telegram, bot, period, price, description):
    telegram.channel(CHANNEL, "Notes")
    with pytest.raises(TelegramBadRequest, match=f"Bad Request: {description}"):
        await bot.create_chat_subscription_invite_link(CHANNEL, period, price)


async def test_only_channels_have_subscription_links(telegram, bot):
    telegram.group(GROUP, "Friends", admins=[42])
    with pytest.raises(TelegramBadRequest, match="CHAT_INVALID"):
        await bot.create_chat_subscription_invite_link(GROUP, 2_592_000, 200)


async def test_links_are_edited_by_their_bot_while_they_live(telegram, bot):
    channel = telegram.channel(CHANNEL, "Notes", admins=[42, 77])
    link = await bot.create_chat_invite_link(CHANNEL, name="old", member_limit=5)
    edited = await bot.edit_chat_invite_link(CHANNEL, link.invite_link, name="new")
    assert (edited.invite_link, edited.name, edited.member_limit) == (
        link.invite_link,
        "new",
        None,
    )
    async with bot_of(telegram, "77:other") as other:
        for unknown in (link.invite_link, "https://t.me/+unknown"):
            with pytest.raises(TelegramBadRequest, match="INVITE_HASH_EXPIRED"):
                await other.edit_chat_invite_link(CHANNEL, unknown)
    await telegram.user(7).join(channel, link.invite_link)
    mine, others = (event.invite_link for _, event in told(telegram))
    assert mine.invite_link == link.invite_link
    assert others.invite_link != link.invite_link
    assert others.invite_link.endswith("…")
    await bot.revoke_chat_invite_link(CHANNEL, link.invite_link)
    with pytest.raises(TelegramBadRequest, match="INVITE_HASH_EXPIRED"):
        await bot.edit_chat_invite_link(CHANNEL, link.invite_link)
    with pytest.raises(TelegramBadRequest, match="invite link must be non-empty"):
        await bot.edit_chat_invite_link(CHANNEL, "")


async def test_there_is_one_primary_link(telegram, bot):
    channel = telegram.channel(CHANNEL, "Notes")
    first = await bot.export_chat_invite_link(CHANNEL)
    second = await bot.export_chat_invite_link(CHANNEL)
    with pytest.raises(TelegramBadRequest, match="CHAT_INVITE_PERMANENT"):
        await bot.edit_chat_invite_link(CHANNEL, second)
    with pytest.raises(RefusedError, match="INVITE_HASH_EXPIRED"):
        await telegram.user(7).join(channel, first)
    await telegram.user(7).join(channel, second)
    assert told(telegram)[0][1].invite_link.is_primary


# Members


async def test_members_are_promoted_and_demoted(telegram, bot):
    user, channel = telegram.user(7), telegram.channel(CHANNEL, "News", username="news")
    await user.join(channel)
    await channel.promote(user)
    await channel.demote(user, by=telegram.user(11))
    changes = [
        (event.from_user.id, event.old_chat_member.status, event.new_chat_member.status)
        for _, event in told(telegram)[1:]
    ]
    assert changes == [(-CHANNEL, "member", "administrator"), (11, "administrator", "member")]
    assert all(event.invite_link is None for _, event in told(telegram))


async def test_members_are_banned_and_unbanned(telegram, bot):
    user, channel = telegram.user(7), telegram.channel(CHANNEL, "News", username="news")
    link = (await bot.create_chat_invite_link(CHANNEL)).invite_link
    await user.join(channel)
    assert await bot.ban_chat_member(CHANNEL, 7) is True
    assert await bot.ban_chat_member(CHANNEL, 7) is True
    with pytest.raises(RefusedError, match="CHANNEL_PRIVATE"):
        await user.join(channel)
    with pytest.raises(RefusedError, match="INVITE_HASH_EXPIRED"):
        await user.join(channel, link)
    assert (await bot.get_chat_member(CHANNEL, 7)).status == "kicked"
    await bot.unban_chat_member(CHANNEL, 7, only_if_banned=True)
    await bot.unban_chat_member(CHANNEL, 7, only_if_banned=True)
    await user.join(channel)
    await bot.unban_chat_member(CHANNEL, 7)
    await channel.ban(user)
    await channel.unban(user)
    changes = [
        (event.from_user.id, event.old_chat_member.status, event.new_chat_member.status)
        for _, event in told(telegram)
    ]
    assert changes == [
        (7, "left", "member"),
        (42, "member", "kicked"),
        (42, "kicked", "left"),
        (7, "left", "member"),
        (42, "member", "left"),
        (-CHANNEL, "left", "kicked"),
        (-CHANNEL, "kicked", "left"),
    ]


async def test_a_bot_is_added_by_the_owner(telegram, bot):
    group = telegram.group(GROUP, "Analysts", admins=[])
    with pytest.raises(TelegramForbiddenError, match="bot is not a member of the supergroup chat"):
        await bot.send_message(GROUP, "hi")
    await group.add_bot(42, admin=False)
    await bot.send_message(GROUP, "hi")
    with pytest.raises(TelegramBadRequest, match="not enough rights to manage chat invite link"):
        await bot.create_chat_invite_link(GROUP)
    with pytest.raises(TelegramBadRequest, match="member list is inaccessible"):
        await bot.get_chat_member(GROUP, telegram.user(7).id)
    await group.add_bot(42)
    assert await bot.create_chat_invite_link(GROUP)
    assert [(kind, event.new_chat_member.status) for kind, event in told(telegram)] == [
        ("my_chat_member", "member"),
        ("my_chat_member", "administrator"),
    ]
    assert (await bot.get_chat_member(GROUP, 42)).can_invite_users


async def test_a_bot_writes_where_it_may(telegram, bot):
    channel = telegram.channel(CHANNEL, "Notes", admins=[])
    with pytest.raises(TelegramForbiddenError, match="bot is not a member of the channel chat"):
        await bot.send_message(CHANNEL, "hi")
    channel.set_up(42, admin=False)
    with pytest.raises(TelegramBadRequest, match="need administrator rights in the channel chat"):
        await bot.send_message(CHANNEL, "hi")
    await channel.remove_bot(42)
    with pytest.raises(TelegramForbiddenError, match="bot was kicked from the channel chat"):
        await bot.send_message(CHANNEL, "hi")
    assert repr(channel) == f"SandboxChat({CHANNEL}, 'Notes')"


async def test_some_things_cannot_be_done(telegram, bot):
    user, channel = telegram.user(7), telegram.channel(CHANNEL, "News", username="news")
    await user.join(channel)
    await channel.promote(user)
    with pytest.raises(TelegramBadRequest, match="user is an administrator of the chat"):
        await bot.ban_chat_member(CHANNEL, 7)
    with pytest.raises(TelegramBadRequest, match="PARTICIPANT_ID_INVALID"):
        await bot.get_chat_member(CHANNEL, 99)
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.create_chat_invite_link(-5)
    await telegram.push({"my_chat_member": {"chat": {"id": -5, "type": "group", "title": "x"}}})
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.create_chat_invite_link(-5)
    with pytest.raises(TelegramBadRequest, match="can't invite members to a private chat"):
        await bot.create_chat_invite_link(7)
    with pytest.raises(TelegramBadRequest, match="the chat can't have join requests"):
        await bot.approve_chat_join_request(7, 7)
    with pytest.raises(TelegramBadRequest, match="can't ban members in private chats"):
        await bot.ban_chat_member(7, 7)
    assert (await bot.get_chat_member(7, 7)).status == "member"
    assert (await call(telegram, "getChatMember", json={"chat_id": CHANNEL}))[1][
        "description"
    ] == ("Bad Request: invalid user_id specified")


# Blocking


async def test_a_blocked_bot_cannot_write(telegram, bot):
    user = telegram.user(7)
    await user.block()
    await user.block()
    with pytest.raises(TelegramForbiddenError, match="Forbidden: bot was blocked by the user"):
        await bot.send_message(7, "hi")
    with pytest.raises(RefusedError, match="YOU_BLOCKED_USER"):
        await user.send("hi")
    async with bot_of(telegram, "77:other") as other:
        await other.send_message(7, "hi")
    await user.unblock()
    await bot.send_message(7, "hi")
    assert [(kind, event.new_chat_member.status) for kind, event in told(telegram)] == [
        ("my_chat_member", "kicked"),
        ("my_chat_member", "member"),
    ]
    (_, event), _ = told(telegram)
    assert (event.chat.type, event.from_user.id, event.new_chat_member.user.id) == (
        "private",
        7,
        42,
    )
