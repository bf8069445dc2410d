"""What a destination says and keeps of an answer: no secrets in any spelling, on one line."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import time
from urllib.parse import quote, quote_plus

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.ad_platforms import Backend, deliver, event, failure
from gp_aiogram import GramPixel, MemoryStore, Tracker
from gp_aiogram.destinations.redaction import Redactor

KEY = "key/5d41+402a=bc&4b2a76"
WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"


def percent_encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def escaped_slashes(text: str) -> str:
    return json.dumps(text)[1:-1].replace("/", "\\/")


SPELLINGS = {
    "as it is": str,
    "in a URL": lambda text: quote(text, safe=""),
    "in a path": quote,
    "in a form": quote_plus,
    "in a URL, in lower case": lambda text: quote(text, safe="").replace("%2F", "%2f"),
    "in a URL twice": lambda text: quote(quote(text, safe=""), safe=""),
    "every character in a URL": percent_encoded,
    "every character in a URL, in lower case": lambda text: percent_encoded(text).lower(),
    "in JSON": escaped_slashes,
    "in ASCII": lambda text: "".join(
        part if part.isalnum() else f"\\u{ord(part):04X}" for part in text
    ),
    "in HTML": html.escape,
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "in base64 in a URL": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
}

spelt = pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)


@spelt
@pytest.mark.parametrize(
    "key", [KEY, "EAAB" + "x7Zq" * 50, "a~b.c-d_e/f+g=h", "ключ/42+", 'quo"ted\\', "<&>'/"]
)
def test_a_secret_is_masked_however_it_is_spelt(spell, key):
    redacted = Redactor([key]).redact(f"before {spell(key)} after")
    # Of base64, the last digits may stay: they hold four bits of the secret at most.
    assert re.fullmatch(r"before \*\*\*(\w?(=|%3D)*) after", redacted)


@pytest.mark.parametrize("before", ["", "x", "xy", "x-api-key: "])
@pytest.mark.parametrize("after", ["", "x", "xy"])
def test_a_secret_in_the_middle_of_base64_is_masked(before, after):
    whole = base64.b64encode(f"{before}{KEY}{after}".encode()).decode()
    left = Redactor([KEY]).redact(whole).split("***")
    assert len(left) == 2
    assert sum(map(len, left)) <= (len(before) + len(after)) * 4 / 3 + 5


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=40))
def test_any_secret_is_masked_in_any_spelling(key):
    redactor = Redactor([key])
    for spell in SPELLINGS.values():
        assert spell(key) not in redactor.redact(f"({spell(key)})")


def test_what_is_no_secret_stays():
    told = 'HTTP 400: {"error": "the workspace %2F a+b= is unknown", "id": "aGVsbG8="}'
    assert Redactor([KEY, "", "token"]).redact(told) == told
    assert Redactor([]).redact(told) == told


def test_a_secret_is_not_cut_into_what_is_kept():
    long = "EAAB" + "x7Zq" * 250
    redactor = Redactor([long, "other-secret"])
    for spell in SPELLINGS.values():
        for text in (f"{spell(long)} " * 500, "x" * 490 + spell(long), "x" * 32_760 + spell(long)):
            assert "x7Zq" not in redactor.redact(text)
            assert percent_encoded("x7Zq") not in redactor.redact(text).upper()


def test_of_two_secrets_the_longer_is_masked_whole():
    assert Redactor(["pass", "user:password"]).redact("user:password pass") == "*** ***"


def test_reading_a_long_text_for_secrets_is_quick():
    redactor = Redactor(["EAAB" + "x7Zq" * 50, KEY, "k"])
    for text in ("E" * 2**20, "%25" * 2**19, "\\u" * 2**19, "EAAB" * 2**18, "k" * 2**20):
        started = time.monotonic()
        redactor.redact(text)
        assert time.monotonic() - started < 0.2


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("a\nERROR all is lost", "a\\nERROR all is lost"),
        ("a\r\n\tb", "a\\r\\n\\tb"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m \x7f \x00", "\\x9b31m \\x7f \\x00"),
        ("a\u2028b\u2029c\u202ed", "a\\u2028b\\u2029c\\u202ed"),
        ("half \ud83c", "half \\ud83c"),
        ("ошибка 错误 🎉 ñ", "ошибка 错误 🎉 ñ"),
    ],
)
async def test_a_reason_is_one_line_that_drives_no_terminal(told, kept):
    backend = Backend("")
    grampixel = GramPixel(KEY, WORKSPACE, transport=httpx.MockTransport(backend))
    assert grampixel.redact(told) == kept
    backend.answer = json.dumps({"ok": False, "error": told})
    (await failure(grampixel)).reason.encode()
    backend.answer = json.dumps({"ok": True, "data": {"status": told}})
    assert await deliver(grampixel, event()) == [{"status": kept}]


async def test_an_answer_forges_no_line_of_the_log(caplog):
    caplog.set_level(logging.DEBUG)
    forged = "no\n2026-01-01 ERROR forged\x1b[31m\r\nx"
    transport = httpx.MockTransport(lambda _: httpx.Response(422, text=forged))
    async with Tracker([GramPixel(KEY, WORKSPACE, transport=transport)], store=MemoryStore()) as t:
        await t.track("REG", telegram_id=7)
        assert await t.flush(5)
        (letter,) = await t.dead_letters()
    assert letter.reason == "HTTP 422: no\\n2026-01-01 ERROR forged\\x1b[31m\\r\\nx"
    assert any("forged" in record.getMessage() for record in caplog.records)
    for record in caplog.records:
        assert record.getMessage().isprintable()
