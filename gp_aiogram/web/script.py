"""The script for pages of one's own, as it is served."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from gp_aiogram.web.links import BotLinks

#: White space that JavaScript can do without; no text in the script has such beside punctuation.
_SPARE = re.compile(r"\s*([][=<>|&?:,;{}()+!-]+)\s*")


def gp_js(links: BotLinks) -> str:
    """Return ``gp.js`` for a bot, without comments and spare white space."""
    source = files("gp_aiogram.web").joinpath("gp.js").read_text(encoding="utf-8")
    lines = (line.strip() for line in source.splitlines())
    script = "\n".join(line for line in lines if not line.startswith("//"))
    script = _SPARE.sub(r"\1", script).replace(";}", "}")
    arguments = ", ".join(map(json.dumps, (links.bot, links.kind, links.plain)))
    return script.replace('"%BOT%","%KIND%","%LINK%"', arguments)
