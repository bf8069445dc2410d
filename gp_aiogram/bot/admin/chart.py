"""Draws today's funnel and the days before as a picture; needs Pillow (extra ``admin``)."""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from gp_aiogram.bot.admin.overview import DAYS, Overview
from gp_aiogram.bot.admin.texts import FUNNEL, money, share
from gp_aiogram.reports.funnel import SESSIONS

#: Pixels. A phone shows it at half of that or less.
_WIDTH, _HEIGHT, _MARGIN = 1080, 1080, 64

_PAPER, _INK, _FAINT, _TRACK = "#ffffff", "#17212b", "#7d8b99", "#eef2f6"

#: A colour for each step, from the many to the few.
_COLOURS = ("#2a9df4", "#1f7fd1", "#12a67c", "#0c7d5d")

_BAR, _ROW, _LABEL = 60, 96, 190
_FUNNEL_TOP, _DAYS_TOP, _DAYS_BOTTOM = 190, 700, 980

_Point = tuple[float, float]


class _Column(NamedTuple):
    amount: int
    day: str


def draw(overview: Overview) -> bytes:
    """Draw a picture, as PNG."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    canvas = ImageDraw.Draw(image)
    _head(canvas, overview)
    _funnel(canvas, overview)
    _days(canvas, overview)
    written = BytesIO()
    image.save(written, "PNG", optimize=True)
    return written.getvalue()


def _head(canvas: ImageDraw.ImageDraw, overview: Overview) -> None:
    _text(canvas, (_MARGIN, 56), f"{overview.now:%A, %d %B}", 54)
    value = " · ".join(_plain(each) for each in money(overview.today.value)[:2])
    _text(canvas, (_MARGIN, 128), value or "no value yet", 34, _FAINT)


def _funnel(canvas: ImageDraw.ImageDraw, overview: Overview) -> None:
    counts = overview.today.counts
    most = max(1, *(counts[step] for step, _ in FUNNEL))
    left, right = _MARGIN + _LABEL, _WIDTH - _MARGIN - 240
    before: int | None = None
    for row, (step, label) in enumerate(FUNNEL):
        top = _FUNNEL_TOP + 24 + row * _ROW
        known = step != SESSIONS or overview.lists_touches
        count = counts[step]
        middle = top + _BAR / 2
        _text(canvas, (_MARGIN, middle), label, 34, anchor="lm")
        _bar(canvas, (left, top), (right, top + _BAR), _TRACK)
        if count and known:
            end = left + max(_BAR / 2, (right - left) * count / most)
            _bar(canvas, (left, top), (end, top + _BAR), _COLOURS[row])
        shown = _plain(f"{count:,}".replace(",", " ")) if known else "?"
        _text(canvas, (right + 24, middle), shown, 38, anchor="lm")
        if step != "DEP" and before:
            rate = share(count, before)
            _text(canvas, (_WIDTH - _MARGIN, middle), rate, 32, _FAINT, "rm")
        before = count if known else None


def _days(canvas: ImageDraw.ImageDraw, overview: Overview) -> None:
    """Draw first deposits by day, or registrations where there are none."""
    totals = {step: sum(row.counts[step] for row in overview.days.values()) for step, _ in FUNNEL}
    step = "FTD" if totals["FTD"] else "REG"
    _text(canvas, (_MARGIN, _DAYS_TOP - 76), f"{step}, last {DAYS} days", 34, _FAINT)
    columns = [_Column(row.counts[step], f"{day:%a}") for day, row in overview.days.items()]
    most = max(1, *(column.amount for column in columns))
    width = (_WIDTH - 2 * _MARGIN) / DAYS
    for place, column in enumerate(columns):
        middle = _MARGIN + width * (place + 0.5)
        height = (_DAYS_BOTTOM - _DAYS_TOP - 50) * column.amount / most
        top = _DAYS_BOTTOM - max(height, 6)
        is_today = place == DAYS - 1
        colour = (_COLOURS[2] if is_today else "#a9dccb") if column.amount else _TRACK
        half = width * 0.34
        _bar(canvas, (middle - half, top), (middle + half, _DAYS_BOTTOM), colour, radius=10)
        if column.amount:
            _text(canvas, (middle, top - 10), str(column.amount), 30, _INK, "mb")
        _text(canvas, (middle, _DAYS_BOTTOM + 40), column.day, 28, _FAINT, "ms")


def _bar(
    canvas: ImageDraw.ImageDraw, start: _Point, end: _Point, colour: str, radius: int = 14
) -> None:
    canvas.rounded_rectangle((*start, *end), radius=radius, fill=colour)


def _text(  # noqa: PLR0917 - as Pillow's own
    canvas: ImageDraw.ImageDraw,
    where: _Point,
    text: str,
    size: int,
    colour: str = _INK,
    anchor: str = "lt",
) -> None:
    # Pillow's own font: the picture looks the same on every machine.
    font = ImageFont.load_default(size)
    canvas.text(where, text, fill=colour, font=font, anchor=anchor)


def _plain(text: str) -> str:
    """Return a text with those spaces only that the font has."""
    return text.replace("\N{NARROW NO-BREAK SPACE}", " ")
