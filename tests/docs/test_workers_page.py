"""What docs/howto/workers.md says of metrics, seconds and options is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fixtures.recorder import Recorder
from gp_aiogram import MemoryStore, Tracker
from gp_aiogram.delivery.lane import LEASE, LOOK_AGAIN
from gp_aiogram.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "workers.md").read_text("utf-8")

ALERTS = PAGE.partition("groups:")[2].partition("```")[0]

#: The table of metrics: name, kind and labels.
ROW = re.compile(r"^\| `(gp_aiogram_\w+)` \| (\w+) \|([\w, ]*)\|", re.MULTILINE)


async def test_the_table_of_metrics_is_complete() -> None:
    async with Tracker([Recorder("shop")], store=MemoryStore()) as tracker:
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
        metrics = Metrics(tracker)
        await metrics.refresh()
        shown = {
            (family.name + "_total" * (family.type == "counter"), family.type): {
                label for sample in family.samples for label in sample.labels if label != "le"
            }
            for family in metrics.collect()
        }
    printed = {
        (name, kind): set(labels.replace(",", " ").split())
        for name, kind, labels in ROW.findall(PAGE)
    }
    assert printed == shown


def test_the_seconds_of_claims_are_those_of_the_code() -> None:
    assert f"A claim lasts {LEASE:g} seconds and is renewed every {LEASE / 3:g}" in PAGE
    assert (
        f"end after {LEASE:g} seconds, and the others look at least every {LOOK_AGAIN:g}" in PAGE
    )


@pytest.mark.parametrize("name", re.findall(r"gp_aiogram_\w+", ALERTS))
def test_alerts_speak_of_metrics_that_exist(name: str) -> None:
    assert name in {metric for metric, _, _ in ROW.findall(PAGE)}
