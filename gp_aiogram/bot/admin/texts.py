"""Texts for admins: short, in HTML, laid out for a phone; no user is named in them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from html import escape

from gp_aiogram.bot.admin.overview import DestinationView, Overview
from gp_aiogram.reports.funnel import PURCHASE, REGISTRATION, SESSIONS

#: The steps that are shown as a funnel, with what people call them.
FUNNEL = ((SESSIONS, "Sessions"), (REGISTRATION, "REG"), ("FTD", "FTD"), ("DEP", "DEP"))

_SIGNS = {"healthy": "🟢", "failing": "🔴", "throttled": "🟡", "refused": "⛔"}
_STATES = {
    "healthy": "healthy",
    "failing": "fails",
    "throttled": "asks to wait",
    "refused": "paused",
}

#: Spaces at which no phone breaks a line.
_NBSP, _THIN = "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}"

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def overview_text(overview: Overview) -> str:
    """Write down everything that is shown."""
    head = f"<b>Today</b>, {overview.now:%a %d %b, %H:%M} {escape(overview.now.tzname() or '')}"
    parts = [head, _funnel(overview), *_value(overview.today.value), _destinations(overview)]
    if overview.waiting:
        parts.append(f"🕓 {overview.waiting} in the journal: the store has not taken them yet")
    if not overview.complete:
        parts.append("Only the latest events were counted: there are too many.")
    return "\n".join(parts)


def age(seconds: float) -> str:
    """Write down a span of time, in its largest unit."""
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{int(seconds // size)}{_NBSP}{unit}"
    return f"{int(seconds)}{_NBSP}s"


def number(count: int) -> str:
    """Write down a count, its thousands apart by thin spaces."""
    return f"{count:,}".replace(",", _THIN)


def money(value: Mapping[str, Decimal]) -> list[str]:
    """Write down amounts, the largest first."""
    ordered = sorted(value.items(), key=lambda item: -item[1])
    return [f"{amount:,.2f}".replace(",", _THIN) + f" {currency}" for currency, amount in ordered]


def share(part: int, whole: int) -> str:
    """Write down what part of a whole it is; nothing where there is no whole."""
    return f"{part / whole:.0%}" if 0 < part <= whole else ""


def _funnel(overview: Overview) -> str:
    counts = overview.today.counts
    rows = []
    before: int | None = None
    for step, label in FUNNEL:
        count: int | None = counts[step]
        if step == SESSIONS and not overview.lists_touches:
            count = None
        rate = share(count or 0, before or 0) if step != "DEP" else ""
        rows.append(f"{label:<9}{'?' if count is None else number(count):>8}{rate:>6}".rstrip())
        before = count
    if counts[PURCHASE]:
        rows.append(f"{PURCHASE:<9}{number(counts[PURCHASE]):>8}")
    return "<pre>" + "\n".join(rows) + "</pre>"


def _value(value: Mapping[str, Decimal]) -> list[str]:
    return [f"<b>Value</b>  {' · '.join(money(value))}"] if value else []


def _destinations(overview: Overview) -> str:
    lines = ["", "<b>Destinations</b>"]
    lines += [_destination(each, overview.delivers) for each in overview.destinations] or ["none"]
    if not overview.delivers:
        lines.append("<i>Workers deliver. Their states are not known here.</i>")
    return "\n".join(lines)


def _destination(view: DestinationView, delivers: bool) -> str:
    sign = "⚪" if view.state is None else _SIGNS[view.state]
    facts = []
    if view.state is not None:
        facts.append(_STATES[view.state])
    elif delivers:
        facts.append("no destination of this bot")
    if view.pending:
        oldest = "" if view.oldest is None else f", oldest {age(view.oldest)}"
        facts.append(f"{number(view.pending)} pending{oldest}")
    if view.dead:
        facts.append(f"<b>{number(view.dead)} dead</b>")
    facts = facts or ["nothing pending"]
    return f"{sign} <b>{escape(view.name)}</b> · {' · '.join(facts)}"
