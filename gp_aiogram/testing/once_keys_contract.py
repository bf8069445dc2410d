"""What every outbox must do with once-keys."""
# ruff: noqa: S101 - it is a test suite

from __future__ import annotations

import asyncio
from typing import get_args

import pytest

from gp_aiogram.stores.contract import Outbox
from gp_aiogram.stores.keys import KeyKind, OnceKey, deposit_key, opt_out_key, order_key, user_key
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import BOT, OTHER_BOT, OTHER_USER, USER, entry, key

#: Keys of which each is another than the rest, though their texts run together.
LOOKALIKES = {
    "order and name": (order_key(BOT, "7", "Buy:vip"), order_key(BOT, "vip:7", "Buy")),
    "separators": tuple(
        once_key
        for separator in (":", ",", "|", " ", "\0", "\n")
        for once_key in (
            order_key(BOT, f"7{separator}Buy", "vip"),
            order_key(BOT, "7", f"Buy{separator}vip"),
        )
    ),
    "quotes": (order_key(BOT, '7", "Buy', "x"), order_key(BOT, "7", 'Buy", "x')),
    "a deposit and an event called deposit": (
        deposit_key(BOT, "42"),
        order_key(BOT, "42", "deposit"),
        order_key(BOT, "42", ""),
    ),
    "kinds": tuple(OnceKey(kind, "42", "", BOT) for kind in get_args(KeyKind)),
    "a user and an order": (
        user_key(BOT, USER, "REG"),
        order_key(BOT, str(USER), "REG"),
        opt_out_key(USER),
    ),
    "bots": (
        order_key(BOT, "42", "Buy"),
        order_key(OTHER_BOT, "42", "Buy"),
        order_key(None, "42", "Buy"),
        order_key(0, "42", "Buy"),
    ),
    "bots and users": (user_key(1, 23, "REG"), user_key(12, 3, "REG"), user_key(None, 123, "REG")),
    "users of one order": (
        OnceKey("order", "42", "Buy", BOT),
        OnceKey("order", "42", "Buy", BOT, USER),
        OnceKey("order", "42", "Buy", BOT, OTHER_USER),
        OnceKey("order", "42", "Buy", None, BOT),
    ),
    "words for nothing": (
        order_key(None, "null", "Buy"),
        order_key(None, "None", "Buy"),
        order_key(None, "", "Buy"),
    ),
}


class OnceKeysContract(Contract):
    """``add_keys``, ``drop_keys`` and ``known_keys`` of an outbox."""

    async def test_a_key_that_was_added_lets_no_event_through(self, outbox: Outbox) -> None:
        a, b, c, d = map(key, "abcd")
        assert await outbox.add_keys([a, b]) == 2  # noqa: PLR2004
        assert await outbox.add_keys([b, c]) == 1
        assert await outbox.add_keys([]) == 0
        assert await outbox.known_keys([a, c, d]) == {a, c}
        assert await outbox.accept(entry("e1", once=[key("x"), b])) == "duplicate"
        assert await outbox.accept(entry("e1", once=[key("x")])) == "stored"

    async def test_the_keys_of_events_are_known(self, outbox: Outbox) -> None:
        x, y, z = map(key, "xyz")
        await outbox.accept(entry("e1", once=[x, y]))
        assert await outbox.known_keys([x, y, z]) == {x, y}
        assert await outbox.known_keys([]) == set()

    async def test_a_dropped_key_lets_one_event_through(self, outbox: Outbox) -> None:
        a, b = map(key, "ab")
        await outbox.add_keys([a, b])
        await outbox.drop_keys([a, key("unknown")])
        assert await outbox.known_keys([a, b]) == {b}
        assert await outbox.accept(entry("e1", once=[a])) == "stored"
        assert await outbox.accept(entry("e2", once=[a])) == "duplicate"

    async def test_dropping_nothing_is_harmless(self, outbox: Outbox) -> None:
        await outbox.add_keys([key("a")])
        await outbox.drop_keys([])
        assert await outbox.known_keys([key("a")]) == {key("a")}

    async def test_many_keys_are_added_at_once(self, outbox: Outbox) -> None:
        keys = [user_key(BOT, number, "FTD") for number in range(1, 3001)]
        assert await outbox.add_keys(keys) == len(keys)
        assert await outbox.known_keys(keys) == set(keys)
        await outbox.drop_keys(keys[1:])
        assert await outbox.known_keys(keys) == {keys[0]}

    async def test_a_key_that_many_add_at_once_is_new_to_one(self, outbox: Outbox) -> None:
        added = await asyncio.gather(*(outbox.add_keys([key("k")]) for _ in range(50)))
        assert sum(added) == 1

    @pytest.mark.parametrize("keys", LOOKALIKES.values(), ids=LOOKALIKES)
    async def test_keys_whose_parts_run_together_are_told_apart(
        self, outbox: Outbox, keys: tuple[OnceKey, ...]
    ) -> None:
        for number, once_key in enumerate(keys):
            assert await outbox.known_keys(keys) == set(keys[:number])
            assert await outbox.accept(entry(f"e{number}", once=[once_key])) == "stored"
        await outbox.drop_keys(keys[:1])
        assert await outbox.known_keys(keys) == set(keys[1:])

    async def test_keys_outlive_closing(self, outbox: Outbox) -> None:
        await outbox.add_keys([key("a"), key("b")])
        await outbox.drop_keys([key("b")])
        await outbox.close()
        await outbox.open()
        assert await outbox.known_keys([key("a"), key("b")]) == {key("a")}
