"""A click: what it is made of, and what of it is stored."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gp_aiogram import Click, EventError

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
MS = 1767225600000


@pytest.mark.parametrize(
    "name",
    [
        *("fbclid", "fbc", "fbp", "ttclid", "ttp", "gclid"),
        *("ip", "user_agent", "url", "referrer"),
    ],
)
@pytest.mark.parametrize("value", [5, b"x", ["x"], NOW])
def test_what_is_no_text_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(EventError, match=rf"Click\({name}=\.\.\.\) must be a text"):
        Click(**{name: value})
    with pytest.raises(EventError, match=name):
        replace(Click(), **{name: value})


@pytest.mark.parametrize(
    "utm", [5, "utm_source=fb", ["utm_source"], {"utm_source": None}, {1: "fb"}, {"a": {"b": "c"}}]
)
def test_utm_is_texts_by_name(utm: Any) -> None:
    with pytest.raises(EventError, match=r"Click\(utm=\.\.\.\) must be a mapping of texts"):
        Click(utm=utm)


@pytest.mark.parametrize("at", [5, "2026-01-01", datetime(2026, 1, 1)])  # noqa: DTZ001 - naive on purpose
def test_the_time_has_a_zone(at: Any) -> None:
    with pytest.raises(EventError, match=r"Click\(at=\.\.\.\) must be a datetime with time zone"):
        Click(at=at)


def test_an_error_does_not_quote_what_may_be_personal() -> None:
    with pytest.raises(EventError) as failure:
        Click(url=b"https://shop.example/?email=ada@example.com")  # type: ignore[arg-type]
    assert "ada" not in str(failure.value)


def test_a_click_without_anything_is_allowed_and_gets_its_time_when_it_is_stored() -> None:
    click = Click()
    assert (click.at, click.utm, click.to_dict()) == (None, {}, {})
    with pytest.raises(EventError, match=r"Click\(at=\.\.\.\)"):
        _ = click.moment
    assert click.normalized(NOW).moment == NOW
    earlier = NOW - timedelta(days=1)
    assert Click(at=earlier).normalized(NOW).moment == earlier


@pytest.mark.parametrize(
    "click",
    [
        Click(),
        Click(at=NOW),
        Click(
            NOW, "F", "fb.1.1.F", "fb.1.1.1", "T", "P", "G", {"utm_a": "b"}, "::1", "B", "u", "r"
        ),
    ],
)
def test_a_click_comes_back_from_json(click: Click) -> None:
    known = json.loads(json.dumps(click.to_dict()))
    assert Click.from_dict(known) == click
    assert list(known) == [name for name in vars(click) if name in known]


def test_ids_that_are_none_are_not_stored() -> None:
    click = Click(
        fbclid="{{fbclid}}",
        fbc="fb.1.1700000000000.{{fbclid}}",
        fbp="1098115397",
        ttclid="__CLICKID__",
        ttp="undefined",
        gclid="x" * 1001,
    )
    assert click.normalized(NOW).to_dict() == {"at": NOW.isoformat()}


def test_ids_are_stored_to_the_letter() -> None:
    ids = {
        "fbclid": "IwAR0aBcDeFgHiJkLmNoPqRsTuVwXyZ-_0123456789",
        "fbp": "fb.1.1596403881668.1098115397",
        "ttclid": "E.C.P.CrIB-_~x=",
        "ttp": "2ODUc3zZhXMkUjUsLfRhbdmOn6V",
        "gclid": "Cj0KCQ-_x",
    }
    stored = Click(**ids).normalized(NOW)
    assert stored.to_dict() == {
        "at": NOW.isoformat(),
        **ids,
        "fbc": f"fb.1.{MS}.{ids['fbclid']}",
    }


def test_without_a_time_no_fbc_can_be_made() -> None:
    assert Click(fbclid="IwAR0a").meta_ids() == (None, None)


def test_macros_that_nobody_replaced_are_not_stored() -> None:
    utm = {
        "utm_source": "{{site_source_name}}",
        "utm_medium": "__PLACEMENT__",
        "utm_campaign": "spring {{campaign.id}}",
        "utm_content": "{creative}",
        "utm_term": "[[click_id]]",
        "utm_id": "%%CACHEBUSTER%%",
        "utm_kept": "[SALE] {20%} __ off_2026__ 50%%",
    }
    assert Click(utm=utm).normalized(NOW).utm == {"utm_kept": utm["utm_kept"]}


def test_personal_data_is_not_stored() -> None:
    click = Click(
        fbclid="IwAR0a",
        utm={
            "utm_source": "fb",
            "utm_medium": "email",
            "utm_content": "ada@example.com",
            "utm_term": "ada%2540example.com",
            "utm_email": "ada",
            "utm_id": "https://a.example/?phone=79161234567",
        },
        url="https://shop.example/?email=ada&fbclid=IwAR0a",
        referrer="mailto:ada@example.com",
    )
    stored = click.normalized(NOW)
    assert stored.utm == {"utm_source": "fb", "utm_medium": "email"}
    assert stored.url == "https://shop.example/?fbclid=IwAR0a"
    assert stored.referrer is None


@pytest.mark.parametrize("ids", [5, "subid=1", ["subid"], {"subid": None}, {1: "a"}])
def test_ids_are_texts_by_name(ids: Any) -> None:
    with pytest.raises(EventError, match=r"Click\(ids=\.\.\.\) must be a mapping of texts"):
        Click(ids=ids)


@pytest.mark.parametrize(
    "nothing",
    [
        *("", " ", "a b", "a\n", "x" * 1001, "null", "undefined", "None"),
        *("{subid}", "${subid}", "{{fbclid}}", "__CLICKID__", "[[click_id]]", "[CLICK_ID]"),
        *("%7Bsubid%7D", "%7b%7bfbclid%7d%7d", "%%CLICK_ID%%"),
    ],
)
def test_what_only_stands_in_the_place_of_an_id_is_not_stored(nothing: str) -> None:
    ids = {"subid": nothing, "yclid": "15238965409398325247"}
    assert Click(ids=ids).normalized(NOW).ids == {"yclid": "15238965409398325247"}


def test_every_id_of_a_click_tells_it_from_others() -> None:
    click = Click(fbclid="IwAR0a", fbp="fb.1.2.3", ttp="cookie", ids={"subid": "1a2b", "cid": "x"})
    assert click.click_ids() == {"fbclid": "IwAR0a", "subid": "1a2b", "cid": "x"}
    assert Click().click_ids() == {}
