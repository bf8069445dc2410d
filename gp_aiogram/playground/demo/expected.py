"""What the demo must lead to: every event, once, at every destination that wants it."""

from __future__ import annotations

from typing import NamedTuple

#: The users' names, by Telegram id.
USERS = {1001: "Ada", 1002: "Bob", 1003: "Dan", 1004: "Fay", 1005: "Eve", 1006: "Gil"}


class Row(NamedTuple):
    """One event, and what each destination calls it; ``-`` where there is nothing to tell.

    :param came_by: what led the user to the bot.
    """

    user: str
    came_by: str
    grampixel: str
    meta: str
    tiktok: str
    keitaro: str
    money: str


EXPECTED = [
    Row("Ada", "ad", "REG", "CompleteRegistration", "CompleteRegistration", "-", "-"),
    Row("Ada", "ad", "FTD", "Purchase", "CompletePayment", "-", "150.00 EUR"),
    Row("Ada", "ad", "DEP", "Purchase", "CompletePayment", "-", "150.00 EUR"),
    # 250 Stars, at 0.013 USD each.
    Row("Ada", "ad", "InitiateCheckout", "InitiateCheckout", "InitiateCheckout", "-", "3.25 USD"),
    Row("Ada", "ad", "Purchase", "Purchase", "CompletePayment", "-", "3.25 USD"),
    Row("Bob", "-", "InitiateCheckout", "InitiateCheckout", "InitiateCheckout", "-", "19.99 EUR"),
    Row("Bob", "-", "Purchase", "Purchase", "CompletePayment", "-", "19.99 EUR"),
    Row("Bob", "-", "Refund", "-", "-", "-", "19.99 EUR"),
    Row("Dan", "channel ad", "Subscribe", "Lead", "SubmitForm", "-", "-"),
    Row("Fay", "Mini App", "REG", "CompleteRegistration", "CompleteRegistration", "-", "-"),
    # Only Gil came by the tracker, so that it hears of nobody else.
    Row("Gil", "tracker link", "FTD", "Purchase", "CompletePayment", "sale", "80.00 EUR"),
    Row("Eve", "own link", "FTD", "Purchase", "CompletePayment", "-", "150.00 EUR"),
]
