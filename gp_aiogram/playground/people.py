"""The people of a playground, and what each of them does in Telegram."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from gp_aiogram.sandbox import RefusedError, SandboxChat, SandboxUser, TelegramSandbox

#: The first has this id, the others those that follow.
FIRST_ID = 1001

NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Fay", "Gil", "Hana", "Ivo", "Jun", "Kim", "Lea")

#: Telegram's own limit for a message.
LONGEST_TEXT = 4096


@dataclass(frozen=True)
class Link:
    """A link of Telegram's that somebody has opened without going on yet.

    :param url: the link.
    :param payload: what the bot will get with ``/start``; None when it leads into the channel.
    """

    url: str
    payload: str | None


@dataclass(eq=False)
class Person:
    """Somebody who uses Telegram.

    :param user: the scripted user.
    :param link: what is open and waits for START or JOIN.
    :param paid: numbers of the messages whose invoices are paid.
    """

    user: SandboxUser
    link: Link | None = None
    paid: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The first name."""
        return str(self.user.profile["first_name"])


class People:
    """Everybody who plays.

    :param telegram: where they live.
    :param channel: where links may lead besides the bot.
    """

    def __init__(self, telegram: TelegramSandbox, channel: SandboxChat) -> None:
        self._telegram = telegram
        self._channel = channel
        self.all: dict[int, Person] = {}
        self.add()

    def add(self) -> Person:
        """Have one more person."""
        number = len(self.all)
        turn, index = divmod(number, len(NAMES))
        name = NAMES[index] if turn == 0 else f"{NAMES[index]} {turn + 1}"
        person = Person(self._telegram.user(FIRST_ID + number, name))
        self.all[person.user.id] = person
        return person

    def find(self, user_id: int) -> Person:
        """Return somebody.

        :raises LookupError: when nobody has this id.
        """
        if user_id not in self.all:
            msg = f"nobody here has the id {user_id}"
            raise LookupError(msg)
        return self.all[user_id]

    def open(self, person: Person, url: str) -> None:
        """Open a link of Telegram's; :meth:`go_on` is what follows.

        :raises RefusedError: when it leads neither to the bot nor into the channel.
        """
        person.link = self._read(url)

    async def go_on(self, person: Person) -> None:
        """Press START or JOIN, as the link that is open has it; without one START.

        :raises RefusedError: when Telegram does not let the person join.
        """
        link, person.link = person.link, None
        if link is None or link.payload is not None:
            payload = None if link is None else link.payload
            await person.user.start(payload or None, expect_reply=False)
        else:
            await person.user.join(self._channel, link.url)

    async def say(self, person: Person, text: str) -> None:
        """Write to the bot.

        :raises RefusedError: when the text is empty or too long.
        """
        if not 0 < len(text.strip()) <= LONGEST_TEXT:
            msg = f"a message has 1 to {LONGEST_TEXT} characters"
            raise RefusedError(msg)
        await person.user.send(text, expect_reply=False)

    async def press(self, person: Person, data: str) -> None:
        """Press the newest button with this callback data.

        :raises LookupError: when there is none.
        """
        await person.user.click(data, expect_reply=False)

    async def pay(self, person: Person, message_id: int) -> None:
        """Pay the invoice in a message.

        :raises LookupError: when no invoice that is not paid yet is in it.
        :raises RefusedError: when the bot declines.
        :raises TimeoutError: when the bot does not answer the pre-checkout query in time.
        """
        titles = {
            message.message_id: message.raw["invoice"]["title"]
            for message in person.user.messages
            if "invoice" in message.raw
        }
        if message_id not in titles or message_id in person.paid:
            msg = f"message {message_id} holds no invoice to pay"
            raise LookupError(msg)
        person.paid.add(message_id)
        try:
            await person.user.pay(titles[message_id], expect_reply=False)
        except BaseException:
            person.paid.discard(message_id)
            raise

    def _read(self, url: str) -> Link:
        parts = urlsplit(url)
        name = parts.path.strip("/")
        username = f"sandbox_{self._telegram.bot_id}_bot"
        if parts.hostname == "t.me" and name.lower() == username:
            (payload,) = parse_qs(parts.query).get("start", [""])[:1]
            return Link(url, payload)
        if url in self._channel.links:
            return Link(url, None)
        msg = f"{url} leads neither to @{username} nor into the channel"
        raise RefusedError(msg)
