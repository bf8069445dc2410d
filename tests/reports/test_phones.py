"""Phone numbers as people type them into a bot are hashed right, or not at all.

After intl-tel-input#2105, PhoneNumberKit#332, floere/phony#240 and #285, and codflow#89.
"""

from __future__ import annotations

import pytest

from gp_aiogram.identity import normalize

#: The digits of Persian and Arabic keyboards begin here.
PERSIAN = "".join(chr(0x06F0 + int(digit)) for digit in "989123456789")


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("8 (916) 123-45-67", None),
        ("+44 (0)20 7946 0958", "442079460958"),
        ("+1 (213) 373-4253 ext. 5", "12133734253"),
        (f"+{PERSIAN}", "989123456789"),
        ("7 916 123 45 67; 7 495 123 45 67", None),
        ("00213 551 23 45 67", "213551234567"),
    ],
)
def test_a_typed_number_is_read_or_left_out(typed: str, number: str | None) -> None:
    assert normalize("ph", typed, platform="meta") == number
    with_plus = None if number is None else f"+{number}"
    assert normalize("ph", typed, platform="tiktok") == with_plus


@pytest.mark.parametrize("platform", ["meta", "tiktok"])
def test_a_region_completes_what_lacks_its_country_code(platform: str) -> None:
    typed, whole = "8 (916) 123-45-67", "+79161234567"
    completed = normalize("ph", typed, platform=platform, region="RU")
    assert completed == normalize("ph", whole, platform=platform)
