"""What the page asks the playground to do: one route for each action of a person or a switch."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from gp_aiogram import Tracker
from gp_aiogram.playground.people import People, Person
from gp_aiogram.playground.platforms import Platform
from gp_aiogram.sandbox import RefusedError
from gp_aiogram.stores.records import Change, DeliveryFilter, State

#: Deliveries that one press of "Try now" makes due.
_MOST = 1000

_PENDING: frozenset[State] = frozenset({"pending"})

Body = dict[str, Any]
Action = Callable[[Person, Body], Awaitable[None]]


class Api:
    """Does what the page asks for, and says in a line why it cannot.

    :param people: who plays.
    :param platforms: by the names of destinations.
    :param tracker: delivers to them.
    """

    def __init__(self, people: People, platforms: dict[str, Platform], tracker: Tracker) -> None:
        self._people = people
        self._platforms = platforms
        self._tracker = tracker
        self._actions: dict[str, Action] = {
            "open": self._open,
            "go-on": self._go_on,
            "say": self._say,
            "press": self._press,
            "pay": self._pay,
        }

    def setup(self, app: web.Application) -> None:
        """Add the routes to an application."""
        app.add_routes(
            [
                web.post("/api/people", self.add_person),
                web.post(r"/api/people/{id:\d+}/{action}", self.act),
                web.post("/api/platforms/{name}/switch", self.turn_switch),
                web.post("/api/platforms/{name}/retry", self.retry),
            ]
        )

    async def add_person(self, _: web.Request) -> web.Response:
        """Have one more person."""
        return web.json_response({"id": self._people.add().user.id})

    async def act(self, request: web.Request) -> web.Response:
        """Have a person do something in Telegram."""
        action = self._actions.get(request.match_info["action"])
        if action is None:
            return _refused(404, "there is no such action")
        try:
            person = self._people.find(int(request.match_info["id"]))
            await action(person, await _body(request))
        except (LookupError, RefusedError, TimeoutError, ValueError) as error:
            return _refused(409, _in_words(error))
        return web.json_response({})

    async def turn_switch(self, request: web.Request) -> web.Response:
        """Break a platform, or mend it."""
        try:
            platform = self._platform(request)
            platform.switch.turn(_text(await _body(request), "position"))
        except (LookupError, ValueError) as error:
            return _refused(409, _in_words(error))
        return web.json_response({})

    async def retry(self, request: web.Request) -> web.Response:
        """Try at once what waits for a platform."""
        try:
            self._platform(request)
        except LookupError as error:
            return _refused(409, _in_words(error))
        name = request.match_info["name"]
        waiting = DeliveryFilter(destination=name, states=_PENDING, unclaimed=True)
        restarted = Change("pending", restart=True)
        await self._tracker.store.outbox.transition(waiting, restarted, limit=_MOST)
        self._tracker.resume(name)
        return web.json_response({})

    def _platform(self, request: web.Request) -> Platform:
        """Return the platform that an address names.

        :raises LookupError: when there is none of this name.
        """
        name = request.match_info["name"]
        if name not in self._platforms:
            msg = f"there is no platform {name}"
            raise LookupError(msg)
        return self._platforms[name]

    async def _open(self, person: Person, body: Body) -> None:
        self._people.open(person, _text(body, "url"))

    async def _go_on(self, person: Person, _: Body) -> None:
        await self._people.go_on(person)

    async def _say(self, person: Person, body: Body) -> None:
        await self._people.say(person, _text(body, "text"))

    async def _press(self, person: Person, body: Body) -> None:
        await self._people.press(person, _text(body, "data"))

    async def _pay(self, person: Person, body: Body) -> None:
        number = body.get("message_id")
        if not isinstance(number, int):
            msg = "message_id must be a number"
            raise ValueError(msg)  # noqa: TRY004 - all that is wrong with a body is a ValueError
        await self._people.pay(person, number)


async def _body(request: web.Request) -> Body:
    """Read a JSON object.

    :raises ValueError: when it is none.
    """
    body = json.loads(await request.read() or b"{}")
    if not isinstance(body, dict):
        msg = "the body must be a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - as json.loads does
    return body


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        msg = f"{name} must be a text"
        raise ValueError(msg)  # noqa: TRY004 - as above
    return value


def _in_words(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


def _refused(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
