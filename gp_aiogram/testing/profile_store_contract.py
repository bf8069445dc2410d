"""What every profile store must do."""
# ruff: noqa: PLR2004, S101 - it is a test suite

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from gp_aiogram.model.click import Click
from gp_aiogram.stores.contract import ProfileStore
from gp_aiogram.stores.records import Profile, Unmatched
from gp_aiogram.testing.contract_base import Contract
from gp_aiogram.testing.samples import CLICK, CLICKED_AT, OTHER_USER, USER

SMALL = Click(at=CLICKED_AT)


def conversion(key: str, click_id: str, minutes: int = 0) -> Unmatched:
    """Make a conversion whose user has not turned up."""
    at = CLICKED_AT + timedelta(minutes=minutes)
    return Unmatched(key, click_id, at, {"event": "FTD", "value": "10.50", "currency": None})


class ProfileStoreContract(Contract):
    """The docstrings of :class:`~gp_aiogram.stores.contract.ProfileStore`, as tests."""

    async def test_nothing_is_known_of_a_stranger(self, profiles: ProfileStore) -> None:
        assert await profiles.profile(USER, None) == Profile()
        assert await profiles.profile(USER, "gp_a") == Profile()

    async def test_every_field_of_a_click_comes_back(self, profiles: ProfileStore) -> None:
        assert await profiles.add_click("gp_a", CLICK)
        assert await profiles.add_click("gp_b", SMALL)
        assert await profiles.profile(USER, "gp_a") == Profile(CLICK)
        assert await profiles.profile(OTHER_USER, "gp_b") == Profile(SMALL)

    async def test_a_session_id_keeps_its_first_click(self, profiles: ProfileStore) -> None:
        assert await profiles.add_click("gp_a", CLICK)
        assert not await profiles.add_click("gp_a", SMALL)
        assert not await profiles.add_click("gp_a", CLICK)
        assert await profiles.profile(USER, "gp_a") == Profile(CLICK)

    async def test_the_case_of_a_session_id_matters(self, profiles: ProfileStore) -> None:
        assert await profiles.add_click("gp_a", CLICK)
        assert await profiles.add_click("gp_A", SMALL)
        assert await profiles.profile(USER, "gp_a") == Profile(CLICK)
        assert await profiles.profile(USER, "gp_A") == Profile(SMALL)

    async def test_of_many_clicks_at_once_one_wins(self, profiles: ProfileStore) -> None:
        added = await asyncio.gather(*(profiles.add_click("gp_a", SMALL) for _ in range(50)))
        assert sum(added) == 1
        others = await asyncio.gather(*(profiles.add_click(f"gp_{n}", CLICK) for n in range(50)))
        assert all(others)

    async def test_a_click_is_found_by_any_of_its_ids(self, profiles: ProfileStore) -> None:
        """A store may return none: :meth:`~gp_aiogram.ProfileStore.sessions_of`."""
        same = Click(at=CLICKED_AT, ids={"subid": CLICK.ids["subid"], "cid": CLICK.ids["subid"]})
        await profiles.add_click("gp_a", CLICK)
        await profiles.add_click("gp_b", same)
        await profiles.add_click("gp_a", Click(at=CLICKED_AT, ids={"subid": "not kept"}))
        if type(profiles).sessions_of is ProfileStore.sessions_of:
            assert list(await profiles.sessions_of(CLICK.ids["subid"])) == []
            return
        for click_id in (CLICK.fbclid, CLICK.ttclid, CLICK.gclid, CLICK.ids["yclid"]):
            assert list(await profiles.sessions_of(click_id or "")) == ["gp_a"]
        assert sorted(await profiles.sessions_of(CLICK.ids["subid"])) == ["gp_a", "gp_b"]
        assert len(await profiles.sessions_of(CLICK.ids["subid"], limit=1)) == 1
        for nobodys in ("not kept", CLICK.fbp, CLICK.ids["yclid"].lower() + "x"):
            assert list(await profiles.sessions_of(nobodys or "")) == []
        await profiles.erase(USER, {"gp_a"})
        assert list(await profiles.sessions_of(CLICK.ids["subid"])) == ["gp_b"]
        await profiles.prune(CLICKED_AT + timedelta(days=1), 9)
        assert list(await profiles.sessions_of(CLICK.ids["subid"])) == []

    async def test_a_conversion_waits_for_its_user(self, profiles: ProfileStore) -> None:
        """A store that keeps none says so; see :meth:`~gp_aiogram.ProfileStore.add_unmatched`."""
        of_session, of_id = conversion("a", "gp_a", 2), conversion("b", CLICK.ids["yclid"], 1)
        strangers = conversion("c", "gp_A")
        if type(profiles).add_unmatched is ProfileStore.add_unmatched:
            assert not await profiles.add_unmatched(of_session)
            assert list(await profiles.unmatched_of("gp_a")) == []
            return
        for one in (of_session, of_id, strangers, conversion("a", "gp_b")):
            assert await profiles.add_unmatched(one)
        assert list(await profiles.unmatched_of("gp_a")) == [of_session]
        await profiles.add_click("gp_a", CLICK)
        assert list(await profiles.unmatched_of("gp_a")) == [of_id, of_session]
        assert list(await profiles.unmatched_of("gp_a", limit=1)) == [of_id]
        assert list(await profiles.unmatched_of("gp_b")) == []
        await profiles.drop_unmatched(["b", "none"])
        assert list(await profiles.unmatched_of("gp_a")) == [of_session]
        assert list(await profiles.unmatched()) == [strangers, of_session]
        await profiles.drop_unmatched(["a", "c"])
        assert list(await profiles.unmatched()) == []

    async def test_conversions_are_told_in_pages(self, profiles: ProfileStore) -> None:
        """A store that keeps none says so; see :meth:`~gp_aiogram.ProfileStore.add_unmatched`."""
        if type(profiles).add_unmatched is ProfileStore.add_unmatched:
            assert list(await profiles.unmatched()) == []
            return
        kept = [conversion(f"{n}", "gp_a", minutes=n // 2) for n in range(7)]
        for one in reversed(kept):
            await profiles.add_unmatched(one)
        assert list(await profiles.unmatched(limit=3)) == kept[:3]
        assert list(await profiles.unmatched(limit=3, after=kept[2])) == kept[3:6]
        assert list(await profiles.unmatched(limit=3, after=kept[5])) == kept[6:]
        await profiles.close()
        await profiles.open()
        assert list(await profiles.unmatched()) == kept

    async def test_traits_are_of_one_user(self, profiles: ProfileStore) -> None:
        traits = {"meta": {"em": "a" * 64, "ph": "b" * 64}, "leadsail": {"lead_id": "lead_1"}}
        await profiles.add_traits(USER, traits)
        assert await profiles.profile(USER, None) == Profile(None, traits)
        assert await profiles.profile(OTHER_USER, None) == Profile()

    async def test_new_traits_complete_and_overwrite_the_known(
        self, profiles: ProfileStore
    ) -> None:
        await profiles.add_traits(USER, {"meta": {"em": "a", "ph": "b"}})
        await profiles.add_traits(USER, {"meta": {"ph": "c", "fn": "d"}, "tiktok": {"em": "e"}})
        known = {"meta": {"em": "a", "ph": "c", "fn": "d"}, "tiktok": {"em": "e"}}
        assert await profiles.profile(USER, None) == Profile(None, known)

    async def test_traits_that_come_at_once_are_all_kept(self, profiles: ProfileStore) -> None:
        fields = {f"field{n}": f"value {n} ✓" for n in range(50)}
        await asyncio.gather(
            *(
                profiles.add_traits(USER, {"meta": {name: value}})
                for name, value in fields.items()
            ),
        )
        assert await profiles.profile(USER, None) == Profile(None, {"meta": fields})

    async def test_users_are_found_by_their_lead(self, profiles: ProfileStore) -> None:
        assert list(await profiles.users_of_lead("lead_1")) == []
        if type(profiles).users_of_lead is ProfileStore.users_of_lead:
            return  # it cannot tell
        for user, lead_id in ((USER, "lead_1"), (OTHER_USER, "lead_1"), (9, "lead_2")):
            await profiles.add_traits(user, {"leadsail": {"lead_id": lead_id}})
            await profiles.add_traits(user, {"meta": {"em": "lead_3"}})
        assert set(await profiles.users_of_lead("lead_1")) == {USER, OTHER_USER}
        assert len(await profiles.users_of_lead("lead_1", limit=1)) == 1
        assert list(await profiles.users_of_lead("lead_3")) == []
        await profiles.add_traits(USER, {"leadsail": {"lead_id": "lead_2"}})
        await profiles.erase(OTHER_USER, set())
        assert list(await profiles.users_of_lead("lead_1")) == []
        assert set(await profiles.users_of_lead("lead_2")) == {USER, 9}

    async def test_no_traits_change_nothing(self, profiles: ProfileStore) -> None:
        await profiles.add_traits(USER, {})
        await profiles.add_traits(USER, {"meta": {}})
        profile = await profiles.profile(USER, None)
        assert profile == Profile()

    async def test_what_was_returned_is_the_callers(self, profiles: ProfileStore) -> None:
        await profiles.add_traits(USER, {"meta": {"em": "a"}})
        (await profiles.profile(USER, None)).traits["meta"]["em"] = "b"  # type: ignore[index]
        assert (await profiles.profile(USER, None)).traits == {"meta": {"em": "a"}}

    async def test_what_is_given_is_copied(self, profiles: ProfileStore) -> None:
        fields = {"em": "a"}
        await profiles.add_traits(USER, {"meta": fields})
        fields["em"] = "b"
        assert (await profiles.profile(USER, None)).traits == {"meta": {"em": "a"}}

    async def test_profiles_outlive_closing(self, profiles: ProfileStore) -> None:
        await profiles.open()
        await profiles.add_click("gp_a", CLICK)
        await profiles.close()
        await profiles.close()
        await profiles.add_traits(USER, {"meta": {"em": "a"}})
        await profiles.open()
        assert await profiles.profile(USER, "gp_a") == Profile(CLICK, {"meta": {"em": "a"}})

    async def test_an_invite_link_carries_its_last_session(self, profiles: ProfileStore) -> None:
        assert await profiles.invited("https://t.me/+a") is None
        await profiles.add_invite("https://t.me/+a", "gp_a")
        await profiles.add_invite("https://t.me/+A", "gp_b")
        assert await profiles.invited("https://t.me/+a") == "gp_a"
        await profiles.add_invite("https://t.me/+a", "gp_c")
        assert await profiles.invited("https://t.me/+a") == "gp_c"
        assert await profiles.invited("https://t.me/+A") == "gp_b"

    async def test_what_is_erased_is_gone(self, profiles: ProfileStore) -> None:
        for user, session_id in ((USER, "gp_a"), (OTHER_USER, "gp_b")):
            await profiles.add_click(session_id, CLICK)
            await profiles.add_invite(f"link of {session_id}", session_id)
            await profiles.add_traits(user, {"meta": {"em": "a" * 64}})
        await profiles.erase(USER, {"gp_a"})
        assert await profiles.profile(USER, "gp_a") == Profile()
        assert await profiles.invited("link of gp_a") is None
        assert await profiles.profile(OTHER_USER, "gp_b") == Profile(
            CLICK, {"meta": {"em": "a" * 64}}
        )
        assert await profiles.invited("link of gp_b") == "gp_b"
        await profiles.erase(USER, set())

    async def test_old_clicks_are_pruned(self, profiles: ProfileStore) -> None:
        for number in range(5):
            at = CLICKED_AT + timedelta(days=number)
            await profiles.add_click(f"gp_{number}", replace(CLICK, at=at))
        before = CLICKED_AT + timedelta(days=3)
        assert await profiles.prune(before, 2) == 2
        assert await profiles.prune(before, 9) == 1
        assert await profiles.prune(before, 9) == 0
        left = [n for n in range(5) if (await profiles.profile(USER, f"gp_{n}")).click is not None]
        assert left == [3, 4]

    async def test_an_invite_link_lives_as_long_as_its_click(self, profiles: ProfileStore) -> None:
        await profiles.add_click("gp_a", CLICK)
        await profiles.add_invite("a person's", "gp_a")
        await profiles.add_invite("a campaign's", "gp_b")
        assert await profiles.prune(CLICKED_AT + timedelta(days=1), 9) == 1
        assert await profiles.invited("a person's") is None
        assert await profiles.invited("a campaign's") == "gp_b"
        await profiles.erase(USER, {"gp_b"})
        assert await profiles.invited("a campaign's") == "gp_b"
