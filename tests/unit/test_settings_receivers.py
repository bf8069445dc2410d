"""Settings of trackers, webhooks and Snapchat: what ``.env`` says, and what it builds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.ad_platforms import NOON, event, purchase
from gp_aiogram import ConfigurationError, Postback, Settings, Snapchat, Webhook
from gp_aiogram.model.click import Click

SECRET = "whsec_c2FuZGJveC1kZW1vLXNlY3JldC1vZi0zMi1ieXRlcyE="
OTHER = "whsec_YW5vdGhlci1zZWNyZXQtb2YtMzItYnl0ZXMhISEhISE="


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("GP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def built(env: str) -> dict[str, object]:
    """Build what a file ``.env`` says."""
    Path(".env").write_text(env, encoding="utf-8")
    return {destination.name: destination for destination in Settings().destinations()}


def complaint(env: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        built(env)
    return str(caught.value)


def url_of(destination: object, **ids: str) -> str:
    """Return the URL that a postback makes of a deposit."""
    assert isinstance(destination, Postback)
    one = purchase(name="FTD", session_id="gp_1", click=Click(at=NOON, ids=ids))
    path, query = destination.prepare(one)
    return f"{destination.base_url}{path}?{query}"


def test_keitaro_needs_host_and_key():
    (keitaro,) = built("GP_KEITARO__HOST=tracker.example.com\nGP_KEITARO__KEY=abc").values()
    assert url_of(keitaro, subid="s1") == (
        "https://tracker.example.com/abc/postback?subid=s1&status=sale&payout=49.90&currency=EUR"
        "&tid=e1"
    )


def test_several_trackers_at_once_each_have_a_name():
    env = """
        GP_KEITARO__HOST=tracker.example.com
        GP_KEITARO__KEY=abc
        GP_VOLUUM__HOST=track.example.com
        GP_POSTBACK__ADNETWORK__URL=https://ad.example/{key}/?c={clickid}&t={status}
        GP_POSTBACK__ADNETWORK__KEY=k3y
        GP_POSTBACK__ADNETWORK__STATUSES=REG=signup, FTD=deposit
        GP_POSTBACK__SECOND__URL=https://second.example/?u={telegram_id}&v={value}
        GP_POSTBACK__SECOND__CURRENCY=EUR
        GP_POSTBACK__SECOND__METHOD=POST
        GP_POSTBACK__SECOND__AMBIGUOUS=hold
    """
    trackers = built(env)
    assert sorted(trackers) == ["adnetwork", "keitaro", "second", "voluum"]
    assert url_of(trackers["adnetwork"], clickid="c1") == "https://ad.example/k3y/?c=c1&t=deposit"
    second = trackers["second"]
    assert url_of(second) == "https://second.example/?u=42&v=49.90"
    assert (second.method, second.ambiguous) == ("POST", "hold")


@pytest.mark.parametrize(
    ("env", "ids", "begins"),
    [
        (
            "BINOM__HOST=b.example.com",
            {"clickid": "c"},
            "https://b.example.com/click.php?cnv_id=c",
        ),
        ("BINOM_V2__HOST=b.example.com", {"clickid": "c"}, "https://b.example.com/postback?click"),
        ("VOLUUM__HOST=v.example.com", {"cid": "c"}, "https://v.example.com/postback?cid=c&"),
        (
            "REDTRACK__HOST=r.example.com\nGP_REDTRACK__CURRENCY=EUR",
            {"clickid": "c"},
            "https://r.example.com/postback?clickid=c&",
        ),
        (
            "PEERCLICK__HOST=pstb.peerclick.com",
            {"cid": "c"},
            "https://pstb.peerclick.com/postback",
        ),
        (
            "ADNESS__HOST=s2s.adness.co\nGP_ADNESS__CURRENCY=EUR",
            {"clickid": "c"},
            "https://s2s.adness.co/v1/conversion?clickid=c&",
        ),
        ("ADSGRAM__TOKEN=t", {}, "https://api.adsgram.ai/confirm_conversion?token=t&tgid=42"),
        ("RICHADS__HOST=us.ahows.co", {"clickid": "c"}, "https://us.ahows.co/log?action=conver"),
        (
            "TAPPADS__ADVERT_ID=9\nGP_TAPPADS__OFFER_ID=17\nGP_TAPPADS__IS_OLD=false",
            {"publisher": "42", "clickid": "c"},
            "https://wallapi.tappads.io/v1/tapp-cpa?pubid=42&m=2&advert_id=9&click_id=c",
        ),
        (
            (
                "KEITARO__HOST=k.example\nGP_KEITARO__KEY=x\nGP_KEITARO__CLICK_ID=kt\n"
                "GP_KEITARO__STATUSES=FTD=first"
            ),
            {"kt": "c"},
            "https://k.example/x/postback?subid=c&status=first",
        ),
    ],
)
def test_each_ready_tracker_can_be_set_from_outside(env, ids, begins):
    (tracker,) = built(f"GP_{env}").values()
    assert url_of(tracker, **ids).startswith(begins)


def test_statuses_may_be_json():
    env = 'GP_KEITARO={"host": "k.example", "key": "x", "statuses": {"REG": "lead"}}'
    (keitaro,) = built(env).values()
    assert keitaro.event_names == {"REG": "lead"}


def test_a_webhook_needs_address_and_secret():
    env = f"GP_WEBHOOK__URL=https://n8n.example.com/webhook/1?a=b\nGP_WEBHOOK__SECRET={SECRET}"
    (webhook,) = built(env).values()
    assert isinstance(webhook, Webhook)
    assert (webhook.base_url, webhook.batch_size) == ("https://n8n.example.com", 1)


def test_a_webhook_has_two_secrets_while_one_is_replaced():
    env = f"""
        GP_WEBHOOK__URL=https://n8n.example.com/webhook/1
        GP_WEBHOOK__SECRET={OTHER},{SECRET}
        GP_WEBHOOK__BATCH=50
        GP_WEBHOOK__TRAITS=true
    """
    (webhook,) = built(env).values()
    assert webhook.batch_size == 50
    assert webhook.redact(f"{OTHER} {SECRET}") == "*** ***"
    assert "traits" in webhook.prepare(event()).body.decode()


def test_snapchat_needs_pixel_and_token():
    env = """
        GP_SNAPCHAT__PIXEL_ID=1ec32188-754e-4be2-8e55-c949a984a39f
        GP_SNAPCHAT__ACCESS_TOKEN=t0k3n
        GP_SNAPCHAT__ACTION_SOURCE=website
        GP_SNAPCHAT__PAGE_URL=https://shop.example/
        GP_SNAPCHAT__BATCH_SIZE=10
        GP_SNAPCHAT__VALIDATE_ONLY=true
    """
    (snapchat,) = built(env).values()
    assert isinstance(snapchat, Snapchat)
    assert (snapchat.action_source, snapchat.batch_size) == ("website", 10)


def test_everything_wrong_is_named_at_once_with_what_it_should_be():
    said = complaint(
        """
        GP_KEITARO__HOST=https://user:s3cr3t@k.example/
        GP_VOLUUM__HOST=v.example
        GP_VOLUUM__STATUSES=REG
        GP_VOLUUM__CLICK_ID={cid}
        GP_REDTRACK__CURRENCY=rouble
        GP_TAPPADS__IS_OLD=perhaps
        GP_WEBHOOK__URL=n8n
        GP_WEBHOOK__SECRET=s3cr3t
        GP_WEBHOOK__BATCH=0
        GP_SNAPCHAT__BATCH_SIZE=5000
        GP_POSTBACK__FIRST__STATUSES=REG=lead
        GP_POSTBACK__SECOND__URL=tracker
        GP_POSTBACK__SECOND__METHOD=PUT
        """
    )
    for expected in (
        "GP_KEITARO__HOST: malformed; expected the tracker's host",
        "GP_KEITARO__KEY: missing; expected the part of the postback URL between host and",
        "GP_VOLUUM__STATUSES: malformed; expected the tracker's words for your events",
        "GP_VOLUUM__CLICK_ID: malformed; expected the name of the click's id",
        "GP_REDTRACK__HOST: missing; expected the tracker's host, such as tracker.example.com",
        "GP_REDTRACK__CURRENCY: malformed; expected an ISO 4217 code",
        "GP_TAPPADS__ADVERT_ID: missing",
        "GP_TAPPADS__IS_OLD: malformed; expected false where only new users have such events",
        "GP_WEBHOOK__URL: malformed; expected an http or https URL",
        "GP_WEBHOOK__SECRET: malformed; expected whsec_ and base64",
        "GP_WEBHOOK__BATCH: malformed; expected a number from 1 to 1000",
        "GP_SNAPCHAT__PIXEL_ID: missing",
        "GP_SNAPCHAT__BATCH_SIZE: malformed; expected a number from 1 to 2000",
        "GP_POSTBACK__FIRST__URL: missing; expected an http or https URL such as https://tracker",
        "GP_POSTBACK__SECOND__URL: malformed; expected an http or https URL such as",
        "GP_POSTBACK__SECOND__METHOD: malformed; expected GET or POST",
    ):
        assert expected in said
    assert "s3cr3t" not in said


def test_a_postback_without_a_name_is_told_how_it_is_written():
    said = complaint("GP_POSTBACK__URL=https://t.example/?c={clickid}")
    assert (
        "GP_POSTBACK__URL: malformed; expected variables such as GP_POSTBACK__MYTRACKER__URL"
        in (said)
    )


def test_what_the_constructor_refuses_is_said_as_well():
    said = complaint("GP_POSTBACK__OWN__URL=https://t.example/?c={sudid}")
    assert "nobody knows: {sudid} (is {subid} meant?)" in said


def test_settings_show_no_key_of_an_address():
    env = f"""
        GP_POSTBACK__OWN__URL=https://t.example/?c={{clickid}}&token=s3cr3t
        GP_WEBHOOK__URL=https://n8n.example.com/webhook/s3cr3t
        GP_WEBHOOK__SECRET={SECRET}
        GP_KEITARO__HOST=k.example
        GP_KEITARO__KEY=s3cr3t
    """
    Path(".env").write_text(env, encoding="utf-8")
    settings = Settings()
    shown = f"{settings} {settings!r} {settings.model_dump()} {settings.destinations()}"
    assert "s3cr3t" not in shown
    assert SECRET not in shown
