"""How far a move has come, as its target notes it with every batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gp_aiogram.stores.migration.source import Page, Place
from gp_aiogram.stores.migration.steps import Step


@dataclass(frozen=True)
class StepProgress:
    """How far a step has come.

    :param after: where its last batch has ended.
    :param read: rows of the source that were looked at.
    :param left_out: of these, rows that cannot be read.
    :param written: rows that the target has because of it.
    """

    after: Place | None = None
    read: int = 0
    left_out: int = 0
    written: int = 0
    is_done: bool = False


@dataclass(frozen=True)
class Progress:
    """How far all steps have come, by their names."""

    steps: Mapping[str, StepProgress] = field(default_factory=dict)

    def of(self, step: Step) -> StepProgress:
        """Return how far a step has come."""
        return self.steps.get(step.name, StepProgress())

    def after(self, step: Step, page: Page, written: int) -> Progress:
        """Return how far it has come when a page is written."""
        before = self.of(step)
        now = replace(
            before,
            after=page.end,
            read=before.read + len(page.rows) + page.left_out,
            left_out=before.left_out + page.left_out,
            written=before.written + written,
            is_done=page.end is None,
        )
        return Progress({**self.steps, step.name: now})

    def to_json(self) -> str:
        """Return it as text; the same progress is the same text."""
        steps = {name: asdict(step) for name, step in self.steps.items()}
        return json.dumps(steps, default=_plain, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Progress:
        """Read what :meth:`to_json` has written."""
        steps = json.loads(text, object_hook=_bytes)
        return cls({name: StepProgress(**_with_place(step)) for name, step in steps.items()})


def _plain(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    raise TypeError


def _bytes(value: dict[str, Any]) -> Any:
    return bytes.fromhex(value["hex"]) if [*value] == ["hex"] else value


def _with_place(step: dict[str, Any]) -> dict[str, Any]:
    after = step["after"]
    return {**step, "after": None if after is None else tuple(after)}
