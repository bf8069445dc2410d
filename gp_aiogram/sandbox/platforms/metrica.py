"""A stand-in for Yandex Metrica: offline conversions and the Measurement Protocol."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from gp_aiogram.sandbox.platforms.metrica_rules import (
    DAY,
    HOUR,
    MEASURED,
    VISITED,
    Flawed,
    Line,
    csv_of,
    form_flaw,
    lines_of,
)
from gp_aiogram.sandbox.server import DestinationSandbox

_PATH = re.compile(
    r"/management/v1/counter/(?P<counter>\d+)/offline_conversions/"
    r"(?:upload|uploading/(?P<upload>\d+))"
)

#: "Processed within two hours".
_PROCESSED_AFTER = 2 * HOUR

#: Actions that one visit takes.
_ACTIONS = 1000


@dataclass(frozen=True)
class MetricaEvent:
    """One conversion that the stand-in has taken.

    :param mode: how it came.
    :param id_kind: ``yclid`` or ``ClientId`` and so on.
    :param id: of the visitor.
    :param target: the goal.
    :param at: Unix seconds, as the client said.
    :param price: empty where there was none, or where another currency than the counter's has
        emptied it.
    :param currency: the same.
    :param upload: the number of the upload; None with the Measurement Protocol.
    :param linked: whether a visit was found that it belongs to.
    """

    mode: Literal["offline", "measurement"]
    id_kind: str
    id: str
    target: str
    at: int
    price: str
    currency: str
    upload: int | None
    linked: bool


@dataclass
class _Upload:
    id: int
    events: list[MetricaEvent]
    at: float
    is_done: bool = False


@dataclass
class _Visit:
    at: float
    actions: int = 0


@dataclass
class _Quotas:
    """Requests of the last second and day, and those under way."""

    per_second: int
    per_day: int
    parallel: int
    times: deque[float] = field(default_factory=deque)
    under_way: int = 0

    def exceeded(self, now: float) -> str | None:
        """Count a request, unless it is one too many; then return why."""
        while self.times and self.times[0] <= now - DAY:
            self.times.popleft()
        if self.under_way >= self.parallel:
            return f"quota_parallel_requests: {self.parallel} at a time"
        if len(self.times) >= self.per_day:
            return f"quota_requests_by_uid: {self.per_day} a day"
        if sum(at > now - 1 for at in self.times) >= self.per_second:
            return f"quota_requests_by_ip: {self.per_second} a second"
        self.times.append(now)
        return None


class MetricaSandbox(DestinationSandbox[MetricaEvent]):
    """Stands in for ``https://api-metrika.yandex.net`` and ``https://mc.yandex.ru``.

    It takes ``POST …/offline_conversions/upload`` (a multipart ``file``, CSV), tells the status at
    ``GET …/offline_conversions/uploading/{id}``, and takes the forms of ``POST /collect``. An
    upload is worked off two hours later, or by :meth:`process`; its status is then ``PROCESSED``,
    or ``LINKAGE_FAILURE`` where no visit was found for any line. A form for which there is no
    visit of the last 12 hours is answered with 200 and recorded nowhere but in ``lost``, as
    the documentation has it. What it answers to a wrong token of the Measurement Protocol is not
    documented; here it is 403.

    :param counter_id: the counter that exists.
    :param token: the OAuth token.
    :param ms_token: the token of the Measurement Protocol.
    :param currency: of the counter: another one empties amount and currency.
    :param visits: when a visitor, by any of their ids, was last on the site, in Unix seconds;
        ``None`` means that everybody was there when their conversion happened.
    :param goals: the goals that exist; ``None`` means any.
    :param over_quota: the status over quota, 429 or 420: Metrica's pages differ.
    :param per_second: requests of the management API.
    :param per_day: the same.
    :param parallel: the same, at a time.
    :param clock: returns unix seconds.
    :ivar lost: forms of the Measurement Protocol that were not recorded, with the reason.
    """

    def __init__(
        self,
        counter_id: str = "12345678",
        token: str = "metrica-demo-token",  # noqa: S107 - of a stand-in
        *,
        ms_token: str = "metrica-demo-ms-token",  # noqa: S107 - of a stand-in
        currency: str = "RUB",
        visits: Mapping[str, float] | None = None,
        goals: Collection[str] | None = None,
        over_quota: int = 429,
        per_second: int = 30,
        per_day: int = 5000,
        parallel: int = 3,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock=clock)
        self.counter_id = counter_id
        self.token = token
        self.ms_token = ms_token
        self.currency = currency
        self.lost: list[tuple[Mapping[str, str], str]] = []
        self._visits = {visitor: _Visit(at) for visitor, at in (visits or {}).items()}
        self._knows_visits = visits is not None
        self._goals = goals
        self._over_quota = over_quota
        self._quotas = _Quotas(per_second, per_day, parallel)
        self._uploads: dict[int, _Upload] = {}
        self._numbers = count(1)

    @property
    def uploads(self) -> list[list[MetricaEvent]]:
        """The conversions of each upload, the oldest first."""
        return [upload.events for upload in self._uploads.values()]

    def process(self) -> None:
        """Work all uploads off, as Metrica does within two hours."""
        for upload in self._uploads.values():
            upload.is_done = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/collect":
            return await super().answer(request)
        exceeded = self._quotas.exceeded(self._clock())
        if exceeded is not None:
            kind, _, message = exceeded.partition(": ")
            refusal = _refusal(self._over_quota, kind, message)
            self._note(request, await request.text(), refusal)
            return refusal
        self._quotas.under_way += 1
        try:
            return await super().answer(request)
        finally:
            self._quotas.under_way -= 1

    def handle(self, request: web.Request, body: Any) -> web.Response:
        if request.path == "/collect":
            return self._collect(request, body)
        match = _PATH.fullmatch(request.path)
        if match is None:
            return _refusal(404, "not_found", "no such method")
        is_allowed = request.headers.get("Authorization") == f"OAuth {self.token}"
        if not is_allowed or match["counter"] != self.counter_id:
            return _refusal(403, "access_denied", "Access to the counter is denied")
        try:
            if match["upload"] is not None:
                return self._status(int(match["upload"]))
            return self._upload(request, body)
        except Flawed as flaw:
            return _refusal(400, "invalid_parameter", str(flaw), location=flaw.location)

    # Offline conversions

    def _upload(self, request: web.Request, body: Any) -> web.Response:
        if request.method != hdrs.METH_POST:
            return _refusal(405, "method_not_allowed", "POST")
        if request.query.get("type") != "BASIC" and "client_id_type" not in request.query:
            msg = "type must be BASIC"
            raise Flawed(msg, "type")
        now = self._clock()
        text = csv_of(request.headers.get("Content-Type", ""), body)
        id_kind, lines = lines_of(text, now)
        upload = _Upload(next(self._numbers), [], now)
        upload.events = [self._conversion(id_kind, line, upload.id) for line in lines]
        self._uploads[upload.id] = upload
        self.events += upload.events
        return self._told(upload)

    def _conversion(self, id_kind: str, line: Line, upload: int) -> MetricaEvent:
        fields = line.fields
        price, currency = fields.get("Price", ""), fields.get("Currency", "")
        if currency != self.currency:
            price = currency = ""
        at = int(fields["DateTime"])
        visitor = fields[id_kind]
        is_goal = self._goals is None or fields["Target"] in self._goals
        linked = is_goal and self._visited(visitor, at, VISITED)
        return MetricaEvent(
            "offline", id_kind, visitor, fields["Target"], at, price, currency, upload, linked
        )

    def _status(self, number: int) -> web.Response:
        upload = self._uploads.get(number)
        if upload is None:
            return _refusal(404, "not_found", f"there is no upload {number}")
        return self._told(upload)

    def _told(self, upload: _Upload) -> web.Response:
        linked = sum(event.linked for event in upload.events)
        status = "UPLOADED"
        if upload.is_done or self._clock() >= upload.at + _PROCESSED_AFTER:
            status = "PROCESSED" if linked else "LINKAGE_FAILURE"
        uploading = {
            "id": upload.id,
            "line_quantity": len(upload.events),
            "status": status,
            **({"linked_quantity": linked} if status != "UPLOADED" else {}),
        }
        return web.json_response({"uploading": uploading})

    def _visited(self, visitor: str, at: float, longest: float) -> bool:
        if not self._knows_visits:
            return True
        visit = self._visits.get(visitor)
        return visit is not None and abs(at - visit.at) <= longest

    # The Measurement Protocol

    def _collect(self, request: web.Request, body: Any) -> web.Response:
        if request.method != hdrs.METH_POST:
            return _refusal(405, "method_not_allowed", "POST")
        form = dict(parse_qsl(str(body), keep_blank_values=True))
        if form.get("ms") != self.ms_token or form.get("tid") != self.counter_id:
            return _refusal(403, "access_denied", "wrong tid or ms")
        now = self._clock()
        if flaw := form_flaw(form, now):
            return _refusal(400, "invalid_parameter", flaw)
        if why := self._unrecorded(form, now):
            self.lost.append((form, why))
        elif form["t"] == "event":
            self.events.append(self._event(form, now))
        return web.Response(text="")

    def _unrecorded(self, form: Mapping[str, str], now: float) -> str | None:
        """Add a form to a visit; return why it belongs to none."""
        visitor, at = form["cid"], float(form.get("et", now))
        if form["t"] == "pageview" or not self._knows_visits:
            self._visits.setdefault(visitor, _Visit(at)).at = at
        visit = self._visits.get(visitor)
        if visit is None or abs(at - visit.at) > MEASURED:
            return "there is no visit of the last 12 hours"
        if visit.actions >= _ACTIONS:
            return f"a visit takes {_ACTIONS} actions"
        visit.actions += 1
        return None

    def _event(self, form: Mapping[str, str], now: float) -> MetricaEvent:
        price = form.get("tr", "")
        return MetricaEvent(
            "measurement",
            "ClientId",
            form["cid"],
            form["ea"],
            int(form.get("et", now)),
            price,
            self.currency if price else "",
            None,
            linked=True,
        )


def _refusal(status: int, kind: str, message: str, **more: str) -> web.Response:
    error = {"error_type": kind, "message": message, **more}
    body = {"errors": [error], "code": status, "message": message}
    return web.json_response(body, status=status)
