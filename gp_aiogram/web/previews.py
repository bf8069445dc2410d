"""Tells a person who clicked from a machine that only looks."""

from __future__ import annotations

import re
from functools import lru_cache

from aiohttp import web

#: Link previews and crawlers, by the names that they give themselves. ``bot`` covers TelegramBot,
#: Googlebot, Slackbot, Twitterbot and their like; Cubot is a maker of phones. People in the
#: browsers within Facebook, Instagram and TikTok (FBAN, Instagram, musical_ly) are none of these.
_MACHINE = re.compile(
    r"""
    (?<!cu)bot(?![a-z]) | crawl | spider | ^WhatsApp/ | facebookexternalhit | Facebot
    | facebookcatalog | meta-external | Slack-ImgProxy | vkShare | SkypeUriPreview
    | Google-InspectionTool | Google-Read-Aloud | GoogleOther | Mediapartners-Google
    | Chrome-Lighthouse | BingPreview | Iframely | Embedly | Snap[ ]URL[ ]Preview | ia_archiver
    """,
    re.IGNORECASE | re.VERBOSE,
)

#: So many characters of a User-Agent are looked at.
_READ = 1024

#: Headers by which browsers and Facebook's app say that nobody has looked yet.
#: Sources: Fetch standard (Sec-Purpose), Chromium (Purpose), Meta, "Prefetching" (X-Purpose).
_PURPOSES = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_NOT_YET = re.compile(r"prefetch|prerender|preview", re.IGNORECASE)


def is_person(request: web.Request) -> bool:
    """Tell whether a person's browser asks, as far as it can be told.

    In doubt it is a person: a click too many costs a row, one too few costs an attribution. So
    curl and the like count as people; who sends no User-Agent at all does not, no browser does so.
    """
    if request.method == "HEAD":
        return False
    if any(_NOT_YET.search(request.headers.get(name, "")) for name in _PURPOSES):
        return False
    user_agent = request.headers.get("User-Agent", "").strip()
    return bool(user_agent) and not _is_machine(user_agent[:_READ])


@lru_cache(maxsize=1024)
def _is_machine(user_agent: str) -> bool:
    return _MACHINE.search(user_agent) is not None
