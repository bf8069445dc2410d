"""Meta's own judgement of how well events match people, and its refusals."""

from __future__ import annotations

import httpx
import pytest

from fixtures.ad_platforms import Backend
from gp_aiogram import DeliveryFailed, DestinationMisconfigured, MetaCAPI
from gp_aiogram.destinations.meta.quality import EventQuality, read_quality

PIXEL, TOKEN = "1234567890123456", "EAAGm0PX4ZCps"

ANSWER = {
    "web": [
        {
            "event_name": "Purchase",
            "event_match_quality": {
                "composite_score": 6.2,
                "match_key_feedback": [
                    {"identifier": "email", "coverage": {"percentage": 84}},
                    {"identifier": "fbc", "coverage": {}},
                ],
                "diagnostics": [{"name": "Send fbc", "percentage": 3}],
            },
        },
        {"event_name": "Lead"},
        {"event_match_quality": {}},
    ]
}


def pixel(backend: Backend, **options: str) -> MetaCAPI:
    return MetaCAPI(PIXEL, TOKEN, transport=httpx.MockTransport(backend), **options)


async def test_the_judgement_is_read_by_event() -> None:
    backend = Backend(ANSWER)
    assert await pixel(backend).dataset_quality() == [
        EventQuality("Purchase", 6.2, {"email": 84.0}, ("Send fbc",)),
        EventQuality("Lead", None, {}),
    ]
    (request,) = backend.requests
    assert request.method == "GET"
    assert request.url.path == "/v26.0/dataset_quality"
    assert request.url.params["dataset_id"] == PIXEL
    assert "event_match_quality{composite_score" in request.url.params["fields"]
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in str(request.url)


async def test_an_app_that_demands_proof_gets_it() -> None:
    backend = Backend({"web": []})
    assert await pixel(backend, app_secret="5d41402abc4b2a76").dataset_quality() == []
    assert len(backend.requests[0].url.params["appsecret_proof"]) == 64


async def test_a_token_without_the_right_is_told() -> None:
    error = {"code": 200, "message": f"({TOKEN}) Requires ads_read permission"}
    with pytest.raises(DestinationMisconfigured) as caught:
        await pixel(Backend({"error": error}, 403)).dataset_quality()
    assert "Requires ads_read permission" in caught.value.reason
    assert TOKEN not in caught.value.reason


async def test_an_outage_is_told() -> None:
    with pytest.raises(DeliveryFailed):
        await pixel(Backend("<html>", 502)).dataset_quality()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"web": None},
        {"web": [1, {"event_name": ""}]},
        {"web": {"event_name": "x"}},
    ],
)
def test_rubbish_judges_nothing(answer: dict[str, object]) -> None:
    assert read_quality(answer) == []


def test_a_score_that_is_none_is_left_out() -> None:
    told = {"event_name": "x", "event_match_quality": {"composite_score": True, "diagnostics": 5}}
    assert read_quality({"web": [told]}) == [EventQuality("x", None, {})]
