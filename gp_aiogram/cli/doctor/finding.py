"""What a check has found, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from rich.console import Console
from rich.text import Text

from gp_aiogram.cli.output import count_of, is_terminal, print_json, text_of

Verdict = Literal["ok", "note", "warning", "problem"]

_STYLES: dict[Verdict, str] = {
    "ok": "green",
    "note": "dim",
    "warning": "yellow",
    "problem": "bold red",
}


class Finding(NamedTuple):
    """One line of the doctor's.

    :param verdict: ``note`` tells what was not checked and why, ``warning`` what may be wrong,
        ``problem`` what is.
    :param subject: what was looked at.
    :param text: what is the matter.
    :param remedy: what to do; empty where nothing is.
    """

    verdict: Verdict
    subject: str
    text: str
    remedy: str = ""


class Report:
    """Prints findings as they come in.

    :param as_json: keep them, and print all at the end.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(highlight=False)
        self.findings: list[Finding] = []

    @property
    def problems(self) -> int:
        """How many problems there are."""
        return sum(finding.verdict == "problem" for finding in self.findings)

    def add(self, findings: Sequence[Finding]) -> None:
        """Take findings, and print them."""
        self.findings += findings
        if not self._as_json:
            for finding in findings:
                self._print(finding)

    def end(self) -> None:
        """Print what is left to print."""
        if self._as_json:
            print_json([finding._asdict() for finding in self.findings])
        elif is_terminal():
            warnings = sum(finding.verdict == "warning" for finding in self.findings)
            counted = f"{count_of(self.problems, 'problem')}, {count_of(warnings, 'warning')}"
            self._console.print(counted)

    def _print(self, finding: Finding) -> None:
        if not is_terminal():
            self._console.file.write("\t".join(map(text_of, finding)) + "\n")
            return
        line = Text()
        line.append(f"{finding.verdict:<8}", _STYLES[finding.verdict])
        line.append(f" {finding.subject}: ", "bold")
        line.append(text_of(finding.text))
        if finding.remedy:
            line.append(f"; {text_of(finding.remedy)}")
        self._console.print(line)
