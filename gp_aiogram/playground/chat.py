"""What one person sees of the chat with the bot, as the page shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gp_aiogram.playground.people import Person
from gp_aiogram.sandbox import SandboxMessage, TelegramSandbox

#: One entry of a chat; JSON values.
Entry = dict[str, Any]

#: Entries that are shown; the oldest are left out.
MOST = 200


def chat_of(person: Person, telegram: TelegramSandbox) -> dict[str, Any]:
    """Return a person's chat as JSON values: entries, the open link, the last notification."""
    user = person.user
    said = [*_of_person(user.id, telegram), *(_of_bot(m, person.paid) for m in user.messages)]
    entries = sorted(said, key=lambda entry: entry["order"])[-MOST:]
    link = None if person.link is None else {"url": person.link.url, "joins": _joins(person)}
    texts = [answer.text for answer in user.answers]
    return {
        "entries": entries,
        "link": link,
        "notification": {"number": len(texts), "text": texts[-1] if texts else ""},
    }


def _joins(person: Person) -> bool:
    return person.link is not None and person.link.payload is None


def _of_person(user_id: int, telegram: TelegramSandbox) -> Iterator[Entry]:
    """Yield what the bot was told by, or of, a person."""
    last = 0
    for update in telegram.updates:
        message = update.get("message")
        if message and message["chat"]["id"] == user_id:
            last = message["message_id"]
            yield {**_content(message), "key": f"m{last}", "order": [last, 0], "at": _at(message)}
        member = update.get("chat_member")
        if member and member["new_chat_member"]["user"]["id"] == user_id:
            text = f"{_STATUS.get(member['new_chat_member']['status'], 'Changed in')} "
            yield {
                "key": f"u{update['update_id']}",
                "from": "note",
                "text": text + member["chat"]["title"],
                "order": [last, update["update_id"]],
                "at": _at(member),
            }


_STATUS = {"member": "Joined", "left": "Left", "kicked": "Removed from"}


def _content(message: dict[str, Any]) -> Entry:
    if "text" in message:
        return {"from": "me", "text": message["text"]}
    if "successful_payment" in message:
        return {"from": "note", "text": "Paid", "money": _money(message["successful_payment"])}
    if "refunded_payment" in message:
        return {"from": "note", "text": "Refunded", "money": _money(message["refunded_payment"])}
    return {"from": "note", "text": "Sent something that the playground does not show"}


def _of_bot(message: SandboxMessage, paid: set[int]) -> Entry:
    entry: Entry = {
        "key": f"m{message.message_id}",
        "from": "bot",
        "text": message.text,
        "buttons": [
            [
                {"text": button.text, "data": button.callback_data, "url": button.url}
                for button in row
                if not button.pay
            ]
            for row in _rows(message)
        ],
        "order": [message.message_id, 0],
        "at": _at(message.raw),
    }
    if "invoice" in message.raw:
        invoice = message.raw["invoice"]
        entry["invoice"] = {
            "message_id": message.message_id,
            "title": invoice["title"],
            "description": invoice["description"],
            "money": _money(invoice),
            "paid": message.message_id in paid,
        }
    return entry


def _rows(message: SandboxMessage) -> Iterator[list[Any]]:
    """Yield the buttons row by row, which the message itself has in one line."""
    buttons = iter(message.buttons)
    for row in message.raw.get("reply_markup", {}).get("inline_keyboard", []):
        yield [next(buttons) for _ in row]


def _money(raw: dict[str, Any]) -> dict[str, Any]:
    return {"amount": raw["total_amount"], "currency": raw["currency"]}


def _at(raw: Any) -> int:
    return int(raw["date"])
