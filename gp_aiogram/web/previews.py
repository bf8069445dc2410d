"""Tells a person who clicked from a machine that only looks."""

from __future__ import annotations

import re
from functools import lru_cache

from aiohttp import web

#: Link previews, crawlers and the robots that review ads, by the names that they give themselves.
#: ``bot`` covers TelegramBot, Googlebot, Slackbot, FacebookBot and their like, ``spider`` those of
#: TikTok (TikTokSpider, Bytespider), ``meta-`` those that Meta documents ("Meta Web Crawlers");
#: Cubot is a maker of phones. People in the browsers within Facebook, Instagram and TikTok (FBAN,
#: Instagram, musical_ly, BytedanceWebview) are none of these.
_MACHINE = re.compile(
    r"""
    (?<!cu)bot(?![a-z]) | crawl | spider | ^WhatsApp/ | ^adreview/ | ^cortex/ | ^visionutils/
    | facebook(?:externalhit|externalua|catalog|platform|scraper) | meta-(?:external|webindexer)
    | Slack-ImgProxy | vkShare | SkypeUriPreview | Google-InspectionTool | Google-Read-Aloud
    | GoogleOther | Mediapartners-Google | Chrome-Lighthouse | BingPreview | Iframely | Embedly
    | Snap[ ]URL[ ]Preview | ia_archiver
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
    """Return whether a person's browser asks, as far as it can be told.

    In doubt it is a person: a click too many costs a row, one too few costs an attribution. So
    curl and the like count as people; who sends no User-Agent at all does not, no browser does so.
    """
    if request.method == "HEAD":
        return False
    headers = request.headers
    for name in _PURPOSES:
        if name in headers and _NOT_YET.search(headers[name]):
            return False
    user_agent = headers.get("User-Agent", "").strip()
    return bool(user_agent) and not _is_machine(user_agent[:_READ])


@lru_cache(maxsize=1024)
def _is_machine(user_agent: str) -> bool:
    return _MACHINE.search(user_agent) is not None
