"""The Lua scripts of the store: each works on keys of one slot, and names its version.

A changed script is another version under another name, so that processes of both versions work on
one Redis during an upgrade. What needs memory comes before what frees it: a script that Redis
stops for want of memory has changed nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A command of Redis.

    :param words: the command and its arguments.
    :param script: the text of the script that it calls, if it does.
    """

    words: tuple[Any, ...]
    script: str | None = None

    def with_text(self) -> tuple[Any, ...]:
        """Return the command for a server that has not got the script yet."""
        return ("EVAL", self.script, *self.words[2:])

    @property
    def keys(self) -> tuple[Any, ...]:
        """The keys that it works on."""
        if self.script is None:
            return self.words[1:2]
        return self.words[3 : 3 + self.words[2]]


class Script:
    """A script by its text.

    :param name: with its version.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = f"-- gp_aiogram {name}\n{text.strip()}\n"
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False)
        self._sha = digest.hexdigest()

    def __call__(self, keys: Sequence[str | bytes], *arguments: Any) -> Command:
        """Return the command that runs it."""
        return Command(("EVALSHA", self._sha, len(keys), *keys, *arguments), self.text)


#: Return the version of the layout of keys; note ours where there is none. It asks for the time,
#: so that a user who must not shows at once.
LAYOUT = Script(
    "layout_v1",
    """
    redis.call('TIME')
    local known = redis.call('GET', KEYS[1])
    if known then return known end
    redis.call('SET', KEYS[1], ARGV[1])
    return ARGV[1]
    """,
)

#: Note a member of an index with a stamp, microseconds by the server's clock: a higher one than
#: before, and no lower than asked for. Members of too long ago go.
#: KEYS index · ARGV member, lowest stamp, milliseconds to keep
INDEX = Script(
    "index_v1",
    """
    local keep = tonumber(ARGV[3])
    local time = redis.call('TIME')
    local now = time[1] * 1000000 + time[2]
    local known = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0)
    local stamp = math.max(now, tonumber(ARGV[2]), known + 1)
    redis.call('ZADD', KEYS[1], string.format('%.0f', stamp), ARGV[1])
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - keep * 1000))
    if redis.call('PTTL', KEYS[1]) < keep then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
    return 1
    """,
)

#: Return members of an index and their stamps, the latest first.
#: KEYS index · ARGV first and last position
INDEXED = Script(
    "indexed_v1",
    "return redis.call('ZREVRANGE', KEYS[1], ARGV[1], ARGV[2], 'WITHSCORES')",
)

#: Remove a member from an index, unless it was noted again meanwhile.
#: KEYS index · ARGV member, its stamp
UNINDEX = Script(
    "unindex_v1",
    """
    local stamp = redis.call('ZSCORE', KEYS[1], ARGV[1])
    if not stamp or tonumber(stamp) ~= tonumber(ARGV[2]) then return 0 end
    return redis.call('ZREM', KEYS[1], ARGV[1])
    """,
)

#: Note a member of a calendar by its oldest moment, or by an earlier one: a lower one than before.
#: KEYS calendar · ARGV member, milliseconds since 1970, milliseconds to keep
DATE = Script(
    "date_v1",
    """
    local moment = tonumber(ARGV[2])
    local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
    if known then moment = math.min(moment, tonumber(known) - 1) end
    redis.call('ZADD', KEYS[1], string.format('%.0f', moment), ARGV[1])
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
        redis.call('PEXPIRE', KEYS[1], ARGV[3])
    end
    return 1
    """,
)

#: Return members of a calendar whose moment is before another, and that moment, the oldest first.
#: KEYS calendar · ARGV milliseconds since 1970, at most so many
DATED = Script(
    "dated_v1",
    """
    return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'WITHSCORES',
        'LIMIT', 0, ARGV[2])
    """,
)

#: Set the moment of a member, or remove the member, unless it was noted again meanwhile.
#: KEYS calendar · ARGV member, its moment, its new moment or nothing
REDATE = Script(
    "redate_v1",
    """
    local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
    if not known or tonumber(known) ~= tonumber(ARGV[2]) then return 0 end
    if ARGV[3] == '' then return redis.call('ZREM', KEYS[1], ARGV[1]) end
    redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
    return 1
    """,
)

#: Reads the touches of a user, in the order of their times, and as they were added. Each field is
#: "milliseconds bot session", each value "number source-and-payload"; the field "#" counts.
_TOUCHES = """
    local function touches()
        local found, flat = {}, redis.call('HGETALL', KEYS[1])
        for i = 1, #flat, 2 do
            local at, bot, session = string.match(flat[i], '^(%S+) (%S+) (.*)$')
            if at and tonumber(at) then
                local number = tonumber(string.match(flat[i + 1], '^%d+') or '0')
                found[#found + 1] = {field = flat[i], at = tonumber(at), number = number,
                    bot = bot, session = session}
            end
        end
        table.sort(found, function(a, b)
            if a.at ~= b.at then return a.at < b.at end
            if a.number ~= b.number then return a.number < b.number end
            return a.field < b.field
        end)
        return found
    end
    local function drop(touch)
        redis.call('SADD', KEYS[2], touch.session)
        redis.call('HDEL', KEYS[1], touch.field)
    end
"""

#: Keep a touch. Beyond the limit, the oldest go that are neither first nor last of their bot.
#: Return whether there are more than the limit, and how many went.
#: KEYS touches, dropped sessions · ARGV field, source and payload, limit, milliseconds to keep
ADD_TOUCH = Script(
    "add_touch_v1",
    _TOUCHES
    + """
    if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return {0, 0} end
    local number = redis.call('HINCRBY', KEYS[1], '#', 1)
    redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', number) .. ' ' .. ARGV[2])
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
        redis.call('PEXPIRE', KEYS[1], ARGV[4])
    end
    local over = redis.call('HLEN', KEYS[1]) - 1 - tonumber(ARGV[3])
    if over <= 0 then return {0, 0} end
    local first, last, all = {}, {}, touches()
    for i, touch in ipairs(all) do
        first[touch.bot] = first[touch.bot] or i
        last[touch.bot] = i
    end
    local dropped = 0
    for i, touch in ipairs(all) do
        if dropped < over and first[touch.bot] ~= i and last[touch.bot] ~= i then
            drop(touch)
            dropped = dropped + 1
        end
    end
    if dropped > 0 then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
    return {1, dropped}
    """,
)

#: Erase the oldest touches of a user that are older than a moment, and return how many that were.
#: KEYS touches, dropped sessions · ARGV milliseconds since 1970, at most so many, ms to keep
PRUNE_TOUCHES = Script(
    "prune_touches_v1",
    _TOUCHES
    + """
    local dropped, all = 0, touches()
    for _, touch in ipairs(all) do
        if touch.at < tonumber(ARGV[1]) and dropped < tonumber(ARGV[2]) then
            drop(touch)
            dropped = dropped + 1
        end
    end
    if dropped > 0 then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
    if dropped == #all then redis.call('DEL', KEYS[1]) end
    return dropped
    """,
)

#: Erase the touches of a user, and return the sessions that they named.
#: KEYS touches, dropped sessions · ARGV milliseconds to keep
ERASE_TOUCHES = Script(
    "erase_touches_v1",
    _TOUCHES
    + """
    local sessions = {}
    for i, touch in ipairs(touches()) do
        redis.call('SADD', KEYS[2], touch.session)
        sessions[i] = touch.session
    end
    redis.call('PEXPIRE', KEYS[2], ARGV[1])
    redis.call('DEL', KEYS[1])
    return sessions
    """,
)

#: Keep a click, unless the session has one; its invite links expire with it. Return whether this
#: click is the one that is kept, and the links.
#: KEYS click, links · ARGV click, milliseconds to keep
ADD_CLICK = Script(
    "add_click_v1",
    """
    local known = redis.call('GET', KEYS[1])
    if known then return {known == ARGV[1] and 1 or 0, {}} end
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
    return {1, redis.call('SMEMBERS', KEYS[2])}
    """,
)

#: Erase a click with its invite links, if it is older than a moment where one is given. Return the
#: click and the links; the click alone when it stays; nothing when there is none.
#: KEYS click, links · ARGV milliseconds since 1970, or nothing
ERASE_CLICK = Script(
    "erase_click_v1",
    """
    local click = redis.call('GET', KEYS[1])
    if not click then return {} end
    local at = tonumber(string.match(click, '^(%S+)') or 'x')
    if ARGV[1] ~= '' and at and at >= tonumber(ARGV[1]) then return {0, click, {}} end
    local links = redis.call('SMEMBERS', KEYS[2])
    redis.call('DEL', KEYS[1], KEYS[2])
    return {1, click, links}
    """,
)

#: Note that an invite link carries a session; it expires with the session's click, if there is
#: one. Return the milliseconds until then, or a negative number.
#: KEYS click, links · ARGV link
ADD_LINK = Script(
    "add_link_v1",
    """
    redis.call('SADD', KEYS[2], ARGV[1])
    local left = redis.call('PTTL', KEYS[1])
    if left > 0 then redis.call('PEXPIRE', KEYS[2], left) else redis.call('PERSIST', KEYS[2]) end
    return left
    """,
)

#: Remove what an invite link leads to, unless it leads elsewhere by now.
#: KEYS invite · ARGV session
DROP_INVITE = Script(
    "drop_invite_v1",
    """
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('DEL', KEYS[1])
    """,
)

#: Note a member of an order.
#: KEYS order · ARGV member, milliseconds since 1970, milliseconds to keep
NOTE = Script(
    "note_v1",
    """
    redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
        redis.call('PEXPIRE', KEYS[1], ARGV[3])
    end
    return 1
    """,
)

#: Return members of an order behind a place, and their moments, the earliest first. Members of the
#: same moment are compared by their bytes, as Redis does; Lua would ask the server's locale.
#: KEYS order · ARGV the place's milliseconds since 1970, its member, at most so many
ORDERED = Script(
    "ordered_v1",
    """
    local moment, most = tonumber(ARGV[1]), tonumber(ARGV[3])
    local function is_behind(member)
        for i = 1, math.min(#member, #ARGV[2]) do
            local one, other = string.byte(member, i), string.byte(ARGV[2], i)
            if one ~= other then return one > other end
        end
        return #member > #ARGV[2]
    end
    local found, start, page = {}, 0, {}
    repeat
        page = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf', 'WITHSCORES',
            'LIMIT', start, most)
        for i = 1, #page, 2 do
            if tonumber(page[i + 1]) > moment or is_behind(page[i]) then
                found[#found + 1] = page[i]
                found[#found + 1] = page[i + 1]
            end
        end
        start = start + most
    until #page < 2 * most or #found >= 2 * most
    return found
    """,
)

#: Keep a conversion in its order, unless one with its key is kept. Return whether this one is.
#: KEYS conversion, order · ARGV conversion, member, milliseconds since 1970, milliseconds to keep
#: it, and the order
ADD_UNMATCHED = Script(
    "add_unmatched_v1",
    """
    local known = redis.call('GET', KEYS[1])
    if known then return known == ARGV[1] and 1 or 0 end
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
    redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
    if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[5]) then
        redis.call('PEXPIRE', KEYS[2], ARGV[5])
    end
    return 1
    """,
)

#: Keep a conversion no longer, and return it.
#: KEYS conversion, order · ARGV member
DROP_UNMATCHED = Script(
    "drop_unmatched_v1",
    """
    local known = redis.call('GET', KEYS[1])
    redis.call('ZREM', KEYS[2], ARGV[1])
    redis.call('DEL', KEYS[1])
    return known
    """,
)

#: Remove the member of a conversion that is not kept any longer.
#: KEYS conversion, order · ARGV member
UNLIST = Script(
    "unlist_v1",
    """
    if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
    return redis.call('ZREM', KEYS[2], ARGV[1])
    """,
)
