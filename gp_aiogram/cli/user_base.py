"""Reads a user base from CSV: who there is, and who of them has deposited before."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gp_aiogram.errors import ConfigurationError

USER, BOT, DEPOSIT = "telegram_id", "bot_id", "first_deposit"

#: What ``identify()`` takes, as columns.
TRAITS = (
    "email",
    "phone",
    "first_name",
    "last_name",
    "gender",
    "birthday",
    "city",
    "state",
    "zip_code",
    "country",
    "external_id",
    "lead_id",
)

#: Of the column ``first_deposit``: what says that there was none.
_NONE = frozenset({"", "0", "0.0", "0.00", "-", "false", "n", "no", "none", "null"})

#: Lines with mistakes that are told of.
_TOLD = 10

#: No id is larger.
_BEYOND = 2**63


@dataclass
class UserBase:
    """What a file holds.

    :param users: how many rows there are.
    :param depositors: users who have deposited, by bot; None is any bot.
    :param traits: what is known of users.
    """

    users: int = 0
    depositors: dict[int | None, set[int]] = field(default_factory=dict)
    traits: dict[int, dict[str, str]] = field(default_factory=dict)


def read_user_base(path: Path, bot_id: int | None, *, all_deposited: bool) -> UserBase:
    """Read a file as a whole, before anything is stored.

    :param path: in UTF-8, with a header; commas, semicolons or tabs between columns.
    :param bot_id: of rows that name none.
    :param all_deposited: whoever is in a file without the column ``first_deposit`` has deposited.
    :raises ConfigurationError: when a column or a line is invalid; the text names them.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, dialect=_dialect(file.readline()))
            file.seek(0)
            _check_columns(rows.fieldnames or (), all_deposited)
            return _read(rows, bot_id)
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or error}"
        raise ConfigurationError(msg) from None
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"{path} is no CSV file in UTF-8: {error}"
        raise ConfigurationError(msg) from None


def _dialect(header: str) -> type[csv.Dialect]:
    class Found(csv.excel):
        delimiter = max(",;\t", key=header.count)

    return Found


def _check_columns(columns: Sequence[str], everybody: bool) -> None:
    known = {USER, BOT, DEPOSIT, *TRAITS}
    if USER not in columns:
        msg = f"there is no column {USER}: the first line names the columns"
        raise ConfigurationError(msg)
    unknown = [column for column in columns if column not in known]
    if unknown:
        msg = f"unknown columns {', '.join(unknown)}: there are {', '.join(sorted(known))}"
        raise ConfigurationError(msg)
    if DEPOSIT not in columns and not everybody:
        msg = (
            f"there is no column {DEPOSIT}: add it (empty means that the user has not deposited), "
            "or say --all-deposited when everybody in the file has"
        )
        raise ConfigurationError(msg)


def _read(rows: csv.DictReader[str], bot_id: int | None) -> UserBase:
    base, wrong = UserBase(), []
    for row in rows:
        mistake = _add(base, row, bot_id)
        if mistake:
            wrong.append(f"  line {rows.line_num}: {mistake}")
    if wrong:
        more = f"\n  and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
        text = "\n".join(wrong[:_TOLD])
        msg = f"nothing was imported, because these lines cannot be read:\n{text}{more}"
        raise ConfigurationError(msg)
    return base


def _add(base: UserBase, row: Mapping[str, str], bot_id: int | None) -> str | None:
    """Add a row, or return what is wrong with it."""
    user, bot = _id(row[USER]), _id(row[BOT]) if row.get(BOT) else bot_id
    if user is None or (bot is None and row.get(BOT)):
        # Not what is there: it may be somebody's name.
        return f"{USER if user is None else BOT} must be a positive number"
    base.users += 1
    if _is_told(row.get(DEPOSIT, "yes")):
        base.depositors.setdefault(bot, set()).add(user)
    told = {name: row[name].strip() for name in TRAITS if row.get(name)}
    if told:
        base.traits.setdefault(user, {}).update(told)
    return None


def _id(text: str | None) -> int | None:
    digits = (text or "").strip()
    is_number = digits.isascii() and digits.isdecimal() and 0 < int(digits) < _BEYOND
    return int(digits) if is_number else None


def _is_told(deposit: str | None) -> bool:
    return (deposit or "").strip().lower() not in _NONE
