"""Never run: mypy --strict reads it, and fails when the public types get worse."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from aiogram import Dispatcher, F
from aiogram.handlers import MessageHandler
from aiogram.types import CallbackQuery, Message
from typing_extensions import assert_type

from gp_aiogram import (
    Attribution,
    Event,
    GramPixel,
    MemoryStore,
    Postback,
    Retention,
    Session,
    SQLiteStore,
    Stars,
    Tracker,
    UserTracker,
    Webhook,
    track,
)
from gp_aiogram.bot import payment_of, tracked
from gp_aiogram.web import KEITARO, Landing, Network, Postbacks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@track("REG", once="user")
@track("FTD", value=F.text.cast(Decimal), currency=lambda result: result)
async def handler(message: Message, gp: UserTracker) -> int:
    return gp.telegram_id


@track.deposit(value=F.data.cast(Decimal), ftd_within=timedelta(days=7), once=lambda call: call.id)
async def depositing(call: CallbackQuery) -> bool:
    return True


@track("REG")
def sync(message: Message) -> str:
    return message.text or ""


async def on_click(message: Message, widget: object, manager: object) -> int:
    return 1


@tracked("REG", once="user")
async def action(scene: object, message: Message) -> None: ...


@track("REG")
class Classy(MessageHandler):
    """A class-based handler stays a class."""

    async def handle(self) -> None: ...


def decorated_handlers_keep_their_exact_types() -> None:
    keeps: Callable[[Message, UserTracker], Awaitable[int]] = handler
    assert_type(keeps, "Callable[[Message, UserTracker], Awaitable[int]]")
    keeps_sync: Callable[[Message], str] = sync
    assert_type(keeps_sync, "Callable[[Message], str]")
    keeps_deposit: Callable[[CallbackQuery], Awaitable[bool]] = depositing
    assert_type(keeps_deposit, "Callable[[CallbackQuery], Awaitable[bool]]")
    track.deposit("FTD")  # type: ignore[call-arg]
    keeps_class: type[MessageHandler] = Classy
    assert_type(keeps_class, type[MessageHandler])
    wrong: Callable[[Message], Awaitable[str]] = handler  # type: ignore[assignment]
    del wrong


def callbacks_keep_their_exact_types() -> None:
    keeps: Callable[[Message, object, object], Awaitable[int]] = tracked(on_click, "FTD", value=1)
    deposit: Callable[[Message, object, object], Awaitable[int]] = tracked.deposit(on_click)
    keeps_action: Callable[[object, Message], Awaitable[None]] = action
    del keeps, deposit, keeps_action
    tracked(on_click, "FTD", amount=1)  # type: ignore[call-overload]


async def the_tracker_tells_what_it_returns(dp: Dispatcher) -> None:
    tracker = Tracker([GramPixel("key", "workspace")], store=MemoryStore())
    assert_type(await tracker.track("REG", telegram_id=7), "Event | None")
    assert_type(await tracker.session(7), "Session | None")
    assert_type(await tracker.capture(7, "gp_a"), "Session | None")
    assert_type(await tracker.find_users("gp_a"), list[Session])
    assert_type(await tracker.flush(1.0), bool)
    assert_type(await tracker.replay("grampixel"), int)
    tracker.setup(dp)
    async with Tracker([], store=SQLiteStore("gp.sqlite3")) as entered:
        assert_type(entered, Tracker)
    await tracker.track("REG", telegram_id="7")  # type: ignore[arg-type]
    Tracker(GramPixel("key", "workspace"))  # type: ignore[arg-type]


def keeping(event: Event) -> Event | None:
    return event if event.value else None


async def keeping_later(event: Event) -> Event | None:
    return replace(event, traits={})


def naming(event: Event) -> str:
    return event.name


def policies_are_typed() -> None:
    stars = Stars(rate=Decimal("0.013"), currency="EUR")
    assert_type(stars.worth(250), Decimal)
    retention = Retention(sessions=timedelta(days=90), events=timedelta(days=30))
    assert_type(retention.dead_letters, timedelta)
    Tracker([], before_send=keeping, stars=stars, retention=retention, auto={"Purchase"})
    Tracker([], before_send=keeping_later, stars=None)
    Tracker([], before_send=naming)  # type: ignore[arg-type]
    Tracker([], stars=Decimal("0.013"))  # type: ignore[arg-type]
    Tracker([], retention=timedelta(days=30))  # type: ignore[arg-type]


async def money_and_wishes_are_typed(tracker: Tracker, gp: UserTracker, message: Message) -> None:
    assert_type(await tracker.deposit(telegram_id=7, value="5"), "Event | None")
    assert_type(await tracker.refund("order", telegram_id=7), "Event | None")
    assert_type(await tracker.mark_deposited(range(7)), int)
    assert_type(await tracker.prune(), int)
    assert_type(await gp.deposit(value=5, ftd_needs_session=True), "Event | None")
    assert_type(await gp.refund(5), "Event | None")
    wishes: list[Callable[[int], Awaitable[None]]]
    wishes = [tracker.forget, tracker.opt_out, tracker.opt_in]
    own: list[Callable[[], Awaitable[None]]] = [gp.forget, gp.opt_out, gp.opt_in]
    del wishes, own
    if (payment := payment_of(message)) is not None:
        assert_type(payment.value, Decimal)
        assert_type(payment.charge_id, "str | None")
    assert_type(await tracker.track("REG", telegram_id=7, on_outage="journal"), "Event | None")
    assert_type(await tracker.refund("o", telegram_id=7, on_outage="raise"), "Event | None")
    await tracker.deposit(telegram_id=7, value=5, on_outage="spool")  # type: ignore[arg-type]
    await gp.deposit(value=5, on_outage="journal")  # type: ignore[call-arg]
    await tracker.deposit(telegram_id=7)  # type: ignore[call-arg]
    await tracker.deposit(telegram_id=7, value=5, ftd_within=7)  # type: ignore[arg-type]
    await tracker.forget("7")  # type: ignore[arg-type]


async def events_and_sessions_are_typed(gp: UserTracker, event: Event, session: Session) -> None:
    assert_type(gp.session, "Session | None")
    assert_type(await gp.track("FTD", value=Decimal(1)), "Event | None")
    assert_type(event.value, "Decimal | None")
    assert_type(session.session_id, str)


async def names_of_events_are_completed_and_free(tracker: Tracker, gp: UserTracker) -> None:
    own: str = "QuizPassed"
    await tracker.track("FTD", telegram_id=7, value=1)
    await tracker.track(own, telegram_id=7)
    await gp.track(own)
    track(own)(sync)
    names: list[str] = ["Purchase"]
    Tracker([GramPixel("key", "workspace", only=names)], auto=names)
    await tracker.track(5, telegram_id=7)  # type: ignore[arg-type]


def receivers() -> None:
    assert_type(
        Postback.keitaro("t.example.com", "k", statuses={"REG": "lead"}, ambiguous="hold"),
        Postback,
    )
    assert_type(
        Postback.tappads("1", "2", is_old=lambda event: event.user_data.get("old")), Postback
    )
    assert_type(Webhook("https://n8n.example.com/", [Webhook.new_secret(), "whsec_"]), Webhook)


def by_subid(payload: str) -> tuple[str, dict[str, str]]:
    return payload, {"subid": payload[3:]}


def clicks_and_postbacks_are_typed(tracker: Tracker) -> None:
    Attribution(pattern="kt-.+", parse=by_subid, own={"invite", "https://t.me/+abc"})
    Attribution(parse=lambda payload: payload.partition("__")[0], own="ref_.*")
    Attribution(parse=len)  # type: ignore[arg-type]
    Landing(tracker, "my_bot", ids={"sub_id_3": "creative"})
    Landing(tracker, "my_bot", ids={"sub_id_3"})
    casino = replace(KEITARO, name="casino", statuses={"dep": "deposit"})
    Postbacks(tracker, key="0123456789abcdef", network=casino)
    Postbacks(tracker, key={"0123456789abcdef": casino})
    Postbacks(tracker)  # type: ignore[call-arg]
    Network(name="casino")  # type: ignore[call-arg]
