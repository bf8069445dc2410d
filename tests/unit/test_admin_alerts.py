"""When admins are alerted: once, whatever flickers, and once more when it is well over."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from io import BytesIO

import pytest
from PIL import Image

from gp_aiogram import MemoryStore, Tracker
from gp_aiogram.bot.admin.buttons import Press, buttons
from gp_aiogram.bot.admin.chart import draw
from gp_aiogram.bot.admin.conditions import Alerts, conditions_of
from gp_aiogram.bot.admin.overview import DestinationView, Overview, read_overview
from gp_aiogram.bot.admin.texts import overview_text
from gp_aiogram.reports import FunnelRow
from gp_aiogram.testing import ManualClock

CALM, HOUR = 300.0, 3600.0
NOW = datetime(2026, 11, 26, 14, 5, tzinfo=timezone.utc)


class Admins:
    """What admins are told, look by look."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.alerts = Alerts(self.clock.monotonic, CALM)
        self.known: set[str] = set()

    def look(self, state="healthy", *, dead=0, oldest=None, after=30.0) -> list[str]:
        self.clock.advance(after)
        view = DestinationView("meta", state, 0 if oldest is None else 5, dead, oldest)
        due = self.alerts.due(conditions_of([view], HOUR), self.known)
        for alert in due:
            change = self.known.discard if alert.is_cure else self.known.add
            change(alert.condition.key)
        return [alert.text.splitlines()[0] for alert in due]


@pytest.fixture
def admins() -> Admins:
    return Admins()


DEAD = "⚠️ <b>meta</b>: the first dead letter. An event was given up; the log says why."
PAUSED = "⛔ <b>meta</b> is paused: it refuses the credentials or the address."
WAITS = "🕓 <b>meta</b>: events wait for 1\xa0h, longer than 1\xa0h. 5 pending."


def test_all_is_well(admins):
    assert admins.look() == admins.look(after=CALM) == []


def test_the_first_dead_letter_is_told_once_and_that_it_is_gone(admins):
    assert admins.look(dead=1) == [DEAD]
    assert admins.look(dead=2) == admins.look(dead=9, after=86400) == []
    assert admins.look(dead=0) == []
    assert admins.look(dead=0, after=CALM - 1) == []
    assert admins.look(dead=0, after=1) == ["✅ <b>meta</b>: no dead letters any more."]
    assert admins.look(dead=0, after=CALM) == []
    assert admins.look(dead=1) == [DEAD]


def test_a_replay_that_fails_again_is_the_same_trouble(admins):
    assert admins.look(dead=1) == [DEAD]
    for _ in range(10):
        assert admins.look(dead=0, after=CALM - 60) == admins.look(dead=1) == []


def test_a_pause_is_over_when_the_destination_stays_healthy(admins):
    assert admins.look("refused") == [PAUSED]
    assert admins.look("failing", after=CALM) == admins.look("throttled", after=CALM) == []
    assert admins.look("healthy") == admins.look("refused") == []
    assert admins.look("healthy") == []
    assert admins.look("healthy", after=CALM) == ["✅ <b>meta</b> takes events again."]


def test_failing_for_the_moment_is_no_alert(admins):
    assert admins.look("failing") == admins.look("throttled", after=CALM) == []


def test_a_backlog_ends_well_below_its_limit(admins):
    assert admins.look(oldest=HOUR - 1) == []
    assert admins.look(oldest=HOUR + 1) == [WAITS]
    for _ in range(5):
        assert admins.look(oldest=HOUR - 60, after=CALM) == admins.look(oldest=HOUR + 9) == []
    assert admins.look(oldest=HOUR / 2 - 1) == []
    assert admins.look(after=CALM) == ["✅ <b>meta</b>: the backlog is gone."]


def test_where_others_deliver_nothing_is_said_of_pauses(admins):
    admins.known.add("paused meta")
    assert admins.look(None) == admins.look(None, after=CALM) == []
    assert admins.look(None, dead=1) == [DEAD]


def test_what_is_known_from_before_a_restart_is_not_told_again(admins):
    admins.known = {"paused meta", "dead meta"}
    assert admins.look("refused", dead=1) == []


# The figures


def row(sessions=0, reg=0, ftd=0, dep=0, purchases=0, **value: str) -> FunnelRow:
    counts = {"sessions": sessions, "REG": reg, "FTD": ftd, "DEP": dep, "Purchase": purchases}
    return FunnelRow(counts, {currency: Decimal(each) for currency, each in value.items()})


def overview(today: FunnelRow, *views: DestinationView, **fields) -> Overview:
    days = {NOW.date() - timedelta(days=back): row(900, 210, 9) for back in range(6, 0, -1)}
    return Overview(NOW, {**days, NOW.date(): today}, views, **fields)


VIEWS = (
    DestinationView("grampixel", "healthy", 0, 0, None),
    DestinationView("<meta>", "refused", 1120, 3, 7300),
    DestinationView("tiktok", "throttled", 14, 0, 40),
)


def test_the_figures_are_short_and_laid_out_for_a_phone():
    text = overview_text(overview(row(1204, 310, 42, 77, USD="120", EUR="2310.5"), *VIEWS))
    assert text == (
        "<b>Today</b>, Thu 26 Nov, 14:05 UTC\n"
        "<pre>Sessions    1\u202f204\n"
        "REG           310   26%\n"
        "FTD            42   14%\n"
        "DEP            77</pre>\n"
        "<b>Value</b>  2\u202f310.50 EUR · 120.00 USD\n"
        "\n"
        "<b>Destinations</b>\n"
        "🟢 <b>grampixel</b> · healthy\n"
        "⛔ <b>&lt;meta&gt;</b> · paused · 1\u202f120 pending, oldest 2\xa0h · <b>3 dead</b>\n"
        "🟡 <b>tiktok</b> · asks to wait · 14 pending, oldest 40\xa0s"
    )
    assert max(len(line) for line in text.splitlines()[1:5]) < 36


def test_what_is_not_known_is_not_made_up():
    view = DestinationView("meta", None, 3, 0, 90)
    text = overview_text(
        overview(row(reg=3), view, lists_touches=False, delivers=False, complete=False, waiting=2)
    )
    assert "Sessions        ?\nREG             3\n" in text
    assert "⚪ <b>meta</b> · 3 pending, oldest 1\xa0min\n" in text
    assert "Workers deliver. Their states are not known here." in text
    assert "🕓 2 in the journal" in text
    assert "Only the latest events were counted" in text
    assert "no destination of this bot" in overview_text(overview(row(), view))


async def test_a_day_begins_at_midnight_of_the_zone():
    tracker = Tracker([], store=MemoryStore())
    for name, hour in (("REG", 22), ("FTD", 23)):
        moment = datetime(2026, 11, 25, hour, 30, tzinfo=timezone.utc)
        await tracker.track(name, telegram_id=7, value=1, event_time=moment)
    one_east = timezone(timedelta(hours=1))
    seen = await read_overview(tracker, one_east, NOW)
    assert (seen.now.hour, len(seen.days)) == (15, 7)
    assert (seen.today.counts["REG"], seen.today.counts["FTD"]) == (0, 1)
    assert seen.days[NOW.date() - timedelta(days=1)].counts["REG"] == 1
    assert (await read_overview(tracker, timezone.utc, NOW)).today.counts["FTD"] == 0


def test_purchases_have_a_line_where_there_are_any():
    assert "Purchase        4</pre>" in overview_text(overview(row(purchases=4)))


@pytest.mark.parametrize(
    "today",
    [row(), row(1_204_310, 310_000, 42_000, 77_000, EUR="98765432.10", USD="1", GBP="2")],
)
@pytest.mark.parametrize("lists_touches", [True, False])
def test_the_picture_is_one_that_telegram_takes(today, lists_touches):
    picture = draw(overview(today, *VIEWS, lists_touches=lists_touches))
    with Image.open(BytesIO(picture)) as image:
        assert (image.format, image.size) == ("PNG", (1080, 1080))
        assert image.getcolors(1 << 20) is not None
    assert len(picture) < 200_000


def test_more_sessions_make_a_longer_bar():
    def filled(sessions: int) -> int:
        with Image.open(BytesIO(draw(overview(row(sessions, 100))))) as image:
            colours = {colour: count for count, colour in image.getcolors(1 << 20)}
        return colours[0x1F, 0x7F, 0xD1]

    assert filled(1000) < filled(200)


def test_there_is_a_button_for_what_can_be_done():
    keyboard = buttons(VIEWS)
    texts = [button.text for line in keyboard.inline_keyboard for button in line]
    assert texts == ["▶ Resume <meta>", "↻ Replay 3 dead of <meta>"]
    assert buttons([DestinationView("meta", "healthy", 9, 0, 1)]) is None
    assert buttons([DestinationView("meta", None, 9, 0, 1)]) is None


def test_a_long_name_fits_into_a_button():
    name = "п" * 200
    keyboard = buttons([DestinationView(name, "refused", 0, 0, None)])
    data = keyboard.inline_keyboard[0][0].callback_data
    assert len(data.encode()) <= 64
    assert Press.unpack(data).destination(["meta", name]) == name
    assert Press.unpack(data).destination(["meta"]) is None
