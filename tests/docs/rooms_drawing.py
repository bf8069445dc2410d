"""Draws the rooms of gp_aiogram from its imports: docs/images/rooms.svg."""

from __future__ import annotations

from collections.abc import Iterable

import grimp

Edge = tuple[str, str]

_WIDTH, _ROW = 900, 74
_BOX_WIDTH, _BOX_HEIGHT = 124, 34

#: The one door upward (``Tracker.setup``), and the echo bot, which imports as users' programs do.
_LEFT_OUT = {("tracker", "bot")}

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
     aria-labelledby="title" font-family="system-ui, sans-serif" font-size="14">
  <title id="title">The rooms of gp_aiogram. A line leads down to a room that is imported.</title>
  <rect width="{width}" height="{height}" rx="12" fill="#f8fafc"/>
"""


def imports(graph: grimp.ImportGraph) -> set[Edge]:
    """Return which room imports which."""
    found = {
        (_room(module), _room(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return {(here, there) for here, there in found if here != there and here and there} - _LEFT_OUT


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def reduced(edges: set[Edge]) -> set[Edge]:
    """Leave out what follows from other edges."""
    below = {room: _below(room, edges) for edge in edges for room in edge}
    return {
        (here, there)
        for here, there in edges
        if not any(there in below[between] for between in below[here] if between != there)
    }


def _below(room: str, edges: set[Edge]) -> set[str]:
    found: set[str] = set()
    open_ends = [room]
    while open_ends:
        here = open_ends.pop()
        fresh = {there for start, there in edges if start == here} - found
        found |= fresh
        open_ends += fresh
    return found


def drawing(rooms: Iterable[str], edges: set[Edge]) -> str:
    """Return an SVG with a row for each level.

    :param rooms: from the ground up.
    :param edges: every import from room to room.
    """
    lines = reduced(edges)
    levels: dict[str, int] = {}
    for room in rooms:
        levels[room] = max((levels[there] + 1 for here, there in lines if here == room), default=0)
    height = (max(levels.values()) + 1) * _ROW + 20
    places = {
        room: (x, height - 20 - level * _ROW - _ROW // 2)
        for level in set(levels.values())
        for room, x in _spread([room for room in levels if levels[room] == level], level)
    }
    parts = [_HEAD.format(width=_WIDTH, height=height)]
    parts += [_line(places[here], places[there]) for here, there in sorted(lines)]
    parts += [_box(room, *places[room]) for room in places]
    return "".join([*parts, "</svg>\n"])


def _spread(row: list[str], level: int) -> list[tuple[str, int]]:
    """Return the middle of each box; rows are set off, so that few lines pass behind boxes."""
    step = _WIDTH // len(row)
    shift = (level % 3 - 1) * 70
    return [(room, step // 2 + n * step + shift) for n, room in enumerate(row)]


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = start, end
    top, bottom = y + _BOX_HEIGHT // 2, to_y - _BOX_HEIGHT // 2
    middle = (top + bottom) // 2
    path = f"M{x} {top}C{x} {middle} {to_x} {middle} {to_x} {bottom}"
    return f'  <path d="{path}" fill="none" stroke="#94a3b8" stroke-width="1.5"/>\n'


def _box(room: str, x: int, y: int) -> str:
    left, top = x - _BOX_WIDTH // 2, y - _BOX_HEIGHT // 2
    return (
        f'  <rect x="{left}" y="{top}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6" '
        'fill="#ffffff" stroke="#475569"/>\n'
        f'  <text x="{x}" y="{y + 5}" text-anchor="middle" fill="#0f172a">{room}</text>\n'
    )
