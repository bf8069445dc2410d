"""Writes requests as lines of the journal, and reads them back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from gp_aiogram.identity.traits import merged, split_off
from gp_aiogram.model.click import Click
from gp_aiogram.model.event import Event
from gp_aiogram.model.session import Session
from gp_aiogram.tracker.journal_file import Line
from gp_aiogram.tracker.request import Arrival, DepositRules, Draft, NewClick, NewTouch


def draft_line(kind: str, draft: Draft, rules: DepositRules | None = None) -> Line:
    """Write an event that is to be recorded; e-mail and phone leave as hashes only."""
    event = draft.event
    user_data, contacts = split_off(event.user_data)
    hashed = replace(event, user_data=user_data, traits=merged(event.traits, contacts))
    line = {
        "kind": kind,
        "telegram_id": event.telegram_id,
        "event": hashed.to_json(),
        "is_timed": draft.is_timed,
        "names_bot": draft.names_bot,
        "once": draft.once,
        "order": draft.order,
        "to": draft.to,
        "once_scope": draft.once_scope,
        "is_one_conversion": draft.is_one_conversion,
    }
    if rules is not None:
        within = None if rules.within is None else rules.within.total_seconds()
        line |= {"rules": [within, rules.needs_session, rules.renewal]}
    return line


def draft_of(line: Line) -> Draft:
    """Read what :func:`draft_line` wrote."""
    return Draft(
        event=Event.from_json(line["event"]),
        is_timed=line["is_timed"],
        names_bot=line["names_bot"],
        once=line["once"],
        order=line["order"],
        to=line["to"],
        once_scope=line["once_scope"],
        is_one_conversion=line["is_one_conversion"],
    )


def rules_of(line: Line) -> DepositRules:
    """Read the rules of a deposit."""
    within, needs_session, renewal = line["rules"]
    return DepositRules(
        None if within is None else timedelta(seconds=within), needs_session, renewal
    )


def touch_line(new: NewTouch) -> Line:
    """Write a touch."""
    touch = new.session
    return {
        "kind": "touch",
        "telegram_id": touch.telegram_id,
        "bot_id": touch.bot_id,
        "session_id": touch.session_id,
        "source": touch.source,
        "at": touch.at.isoformat(),
        "payload": touch.payload,
        "ids": dict(new.ids),
    }


def touch_of(line: Line) -> NewTouch:
    """Read what :func:`touch_line` wrote."""
    session = Session(
        bot_id=line["bot_id"],
        telegram_id=line["telegram_id"],
        session_id=line["session_id"],
        source=line["source"],
        at=datetime.fromisoformat(line["at"]),
        payload=line["payload"],
    )
    return NewTouch(session, line.get("ids", {}))  # an earlier version wrote none


def arrival_line(arrival: Arrival) -> Line:
    """Write how a user came by an invite link."""
    return {
        "kind": "arrival",
        "telegram_id": arrival.telegram_id,
        "bot_id": arrival.bot_id,
        "link": arrival.link,
        "name": arrival.name,
        "source": arrival.source,
        "at": arrival.at.isoformat(),
    }


def arrival_of(line: Line) -> Arrival:
    """Read what :func:`arrival_line` wrote."""
    return Arrival(
        bot_id=line["bot_id"],
        telegram_id=line["telegram_id"],
        link=line["link"],
        name=line["name"],
        source=line["source"],
        at=datetime.fromisoformat(line["at"]),
    )


def click_line(new: NewClick) -> Line:
    """Write a click, of which nobody knows yet whose it is."""
    return {
        "kind": "click",
        "telegram_id": None,
        "session_id": new.session_id,
        "click": new.click.to_dict(),
    }


def click_of(line: Line) -> NewClick:
    """Read what :func:`click_line` wrote."""
    return NewClick(line["session_id"], Click.from_dict(line["click"]))


def described(line: Line) -> str:
    """Say for the log what waits, and whose it is; nothing personal."""
    if line["kind"] == "click":
        return f"the click of session {line['session_id']}"
    user = f"user {line['telegram_id']}"
    if line["kind"] == "touch":
        return f"{user} came by {line['payload']}"
    if line["kind"] == "arrival":
        return f"{user} came by an invite link"
    if "event" in line:
        return f"{line['kind']} {draft_of(line).event.name} of {user}"
    return f"{line['kind']} of {user}"
