"""Meta's own judgement of how well events match people.

Source: Meta, "Dataset Quality API" (``GET /{version}/dataset_quality``). It needs ``ads_read``
with ``ads_management`` or ``business_management``, which a token of the Events Manager may lack,
and is computed for events of websites only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: What is asked for.
FIELDS = (
    "web{event_name,event_match_quality{composite_score,"
    "match_key_feedback{identifier,coverage{percentage}},"
    "diagnostics{name,percentage,affected_event_count}}}"
)


@dataclass(frozen=True)
class EventQuality:
    """How well the events of one name match people.

    :param score: 0 to 10, 6 and above is good; None where Meta has not judged yet.
    :param coverage: percent of the events that hold a key, by Meta's name of the key.
    :param diagnostics: what Meta finds wrong, in its words.
    """

    event_name: str
    score: float | None
    coverage: Mapping[str, float]
    diagnostics: tuple[str, ...] = ()


def read_quality(answer: Mapping[str, Any]) -> list[EventQuality]:
    """Read what Meta answered; what it has not told is left out."""
    return [_event(each) for each in _objects(answer.get("web")) if each.get("event_name")]


def _event(told: Mapping[str, Any]) -> EventQuality:
    quality = told.get("event_match_quality")
    quality = quality if isinstance(quality, dict) else {}
    coverage = {
        str(key.get("identifier")): share
        for key in _objects(quality.get("match_key_feedback"))
        if (share := _percentage(key.get("coverage"))) is not None
    }
    found = [str(each["name"]) for each in _objects(quality.get("diagnostics")) if "name" in each]
    score = _number(quality.get("composite_score"))
    return EventQuality(str(told["event_name"]), score, coverage, tuple(found))


def _percentage(coverage: object) -> float | None:
    return _number(coverage.get("percentage")) if isinstance(coverage, dict) else None


def _number(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(str(value)) if is_number else None


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
