"""What every profile store must do."""
# ruff: noqa: PLR2004, S101 - it is a test suite

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from gp_aiogram.model.click import Click
from gp_aiogram.stores.contract import ProfileStore
from gp_aiogram.stores.records import Profile
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import CLICK, OTHER_USER, USER

SMALL = Click(at=CLICK.at)


class ProfileStoreContract(Contract):
    """The docstrings of :class:`~gp_aiogram.stores.contract.ProfileStore`, as tests."""

    async def test_nothing_is_known_of_a_stranger(self, store: ProfileStore) -> None:
        assert await store.profile(USER, None) == Profile()
        assert await store.profile(USER, "gp_a") == Profile()

    async def test_every_field_of_a_click_comes_back(self, store: ProfileStore) -> None:
        assert await store.add_click("gp_a", CLICK)
        assert await store.add_click("gp_b", SMALL)
        assert await store.profile(USER, "gp_a") == Profile(CLICK)
        assert await store.profile(OTHER_USER, "gp_b") == Profile(SMALL)

    async def test_a_session_id_keeps_its_first_click(self, store: ProfileStore) -> None:
        assert await store.add_click("gp_a", CLICK)
        assert not await store.add_click("gp_a", SMALL)
        assert not await store.add_click("gp_a", CLICK)
        assert await store.profile(USER, "gp_a") == Profile(CLICK)

    async def test_the_case_of_a_session_id_matters(self, store: ProfileStore) -> None:
        assert await store.add_click("gp_a", CLICK)
        assert await store.add_click("gp_A", SMALL)
        assert await store.profile(USER, "gp_a") == Profile(CLICK)
        assert await store.profile(USER, "gp_A") == Profile(SMALL)

    async def test_of_many_clicks_at_once_one_wins(self, store: ProfileStore) -> None:
        added = await asyncio.gather(*(store.add_click("gp_a", SMALL) for _ in range(50)))
        assert sum(added) == 1
        others = await asyncio.gather(*(store.add_click(f"gp_{n}", CLICK) for n in range(50)))
        assert all(others)

    async def test_traits_are_of_one_user(self, store: ProfileStore) -> None:
        traits = {"meta": {"em": "a" * 64, "ph": "b" * 64}, "leadsail": {"lead_id": "lead_1"}}
        await store.add_traits(USER, traits)
        assert await store.profile(USER, None) == Profile(None, traits)
        assert await store.profile(OTHER_USER, None) == Profile()

    async def test_new_traits_complete_and_overwrite_the_known(self, store: ProfileStore) -> None:
        await store.add_traits(USER, {"meta": {"em": "a", "ph": "b"}})
        await store.add_traits(USER, {"meta": {"ph": "c", "fn": "d"}, "tiktok": {"em": "e"}})
        known = {"meta": {"em": "a", "ph": "c", "fn": "d"}, "tiktok": {"em": "e"}}
        assert await store.profile(USER, None) == Profile(None, known)

    async def test_traits_that_come_at_once_are_all_kept(self, store: ProfileStore) -> None:
        fields = {f"field{n}": f"value {n} ✓" for n in range(50)}
        await asyncio.gather(
            *(store.add_traits(USER, {"meta": {name: value}}) for name, value in fields.items()),
        )
        assert await store.profile(USER, None) == Profile(None, {"meta": fields})

    async def test_no_traits_change_nothing(self, store: ProfileStore) -> None:
        await store.add_traits(USER, {})
        await store.add_traits(USER, {"meta": {}})
        profile = await store.profile(USER, None)
        assert profile == Profile()

    async def test_what_was_returned_is_the_callers(self, store: ProfileStore) -> None:
        await store.add_traits(USER, {"meta": {"em": "a"}})
        (await store.profile(USER, None)).traits["meta"]["em"] = "b"  # type: ignore[index]
        assert (await store.profile(USER, None)).traits == {"meta": {"em": "a"}}

    async def test_what_is_given_is_copied(self, store: ProfileStore) -> None:
        fields = {"em": "a"}
        await store.add_traits(USER, {"meta": fields})
        fields["em"] = "b"
        assert (await store.profile(USER, None)).traits == {"meta": {"em": "a"}}

    async def test_profiles_outlive_closing(self, store: ProfileStore) -> None:
        await store.open()
        await store.add_click("gp_a", CLICK)
        await store.close()
        await store.close()
        await store.add_traits(USER, {"meta": {"em": "a"}})
        await store.open()
        assert await store.profile(USER, "gp_a") == Profile(CLICK, {"meta": {"em": "a"}})

    async def test_an_invite_link_stands_for_its_last_session(self, store: ProfileStore) -> None:
        assert await store.invited("https://t.me/+a") is None
        await store.add_invite("https://t.me/+a", "gp_a")
        await store.add_invite("https://t.me/+A", "gp_b")
        assert await store.invited("https://t.me/+a") == "gp_a"
        await store.add_invite("https://t.me/+a", "gp_c")
        assert await store.invited("https://t.me/+a") == "gp_c"
        assert await store.invited("https://t.me/+A") == "gp_b"

    async def test_what_is_forgotten_is_gone(self, store: ProfileStore) -> None:
        for user, session_id in ((USER, "gp_a"), (OTHER_USER, "gp_b")):
            await store.add_click(session_id, CLICK)
            await store.add_invite(f"link of {session_id}", session_id)
            await store.add_traits(user, {"meta": {"em": "a" * 64}})
        await store.forget_profile(USER, {"gp_a"})
        assert await store.profile(USER, "gp_a") == Profile()
        assert await store.invited("link of gp_a") is None
        assert await store.profile(OTHER_USER, "gp_b") == Profile(
            CLICK, {"meta": {"em": "a" * 64}}
        )
        assert await store.invited("link of gp_b") == "gp_b"
        await store.forget_profile(USER, set())

    async def test_old_clicks_are_pruned(self, store: ProfileStore) -> None:
        for number in range(5):
            at = CLICK.at + timedelta(days=number)
            await store.add_click(f"gp_{number}", replace(CLICK, at=at))
        before = CLICK.at + timedelta(days=3)
        assert await store.prune_clicks(before, 2) == 2
        assert await store.prune_clicks(before, 9) == 1
        assert await store.prune_clicks(before, 9) == 0
        left = [n for n in range(5) if (await store.profile(USER, f"gp_{n}")).click is not None]
        assert left == [3, 4]

    async def test_an_invite_link_lives_as_long_as_its_click(self, store: ProfileStore) -> None:
        await store.add_click("gp_a", CLICK)
        await store.add_invite("a person's", "gp_a")
        await store.add_invite("a campaign's", "gp_b")
        assert await store.prune_clicks(CLICK.at + timedelta(days=1), 9) == 1
        assert await store.invited("a person's") is None
        assert await store.invited("a campaign's") == "gp_b"
        await store.forget_profile(USER, {"gp_b"})
        assert await store.invited("a campaign's") == "gp_b"
