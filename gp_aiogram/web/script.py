"""The script for your own pages, as it is served."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from importlib.resources import files

from gp_aiogram.web.links import BotLinks

#: White space that JavaScript can do without; no text in the script has such beside punctuation.
_SPARE = re.compile(r"\s*([][=<>|&?:,;{}()+!-]+)\s*")


def gp_js(links: BotLinks, ids: Collection[str] = ()) -> str:
    """Return ``gp.js`` for a bot, without comments and spare white space.

    :param ids: parameters of a page's address of which each tells a click.
    """
    source = files("gp_aiogram.web").joinpath("gp.js").read_text(encoding="utf-8")
    lines = (line.strip() for line in source.splitlines())
    script = "\n".join(line for line in lines if not line.startswith("//"))
    script = _SPARE.sub(r"\1", script).replace(";}", "}")
    arguments = ", ".join(map(json.dumps, (links.bot, links.kind, links.plain, " ".join(ids))))
    return script.replace('"%BOT%","%KIND%","%LINK%","%IDS%"', arguments)
