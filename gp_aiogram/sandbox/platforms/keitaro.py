"""A stand-in for a Keitaro tracker: takes postbacks, and sends its own to traffic sources."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote

import aiohttp
from aiohttp import hdrs, web

from gp_aiogram.sandbox.server import DestinationSandbox

#: "Conversion status": what the tracker reports. A postback without one is a sale.
STATUSES = ("lead", "sale", "rejected", "rebill")
DEFAULT_STATUS = "sale"

#: "A rebill needs a unique tid": a further sale of the same click.
_REBILL = "rebill"

_SUB_IDS = tuple(f"sub_id_{number}" for number in range(1, 16))

#: ``{subid}``, and ``{status:lead=0 sale=1}`` for other words; an underscore before the name
#: leaves the value as it is.
_MACRO = re.compile(r"\{(?P<raw>_)?(?P<name>\w+)(?::(?P<words>[^{}]*))?\}")


@dataclass(frozen=True)
class KeitaroConversion:
    """A conversion as the tracker knows it.

    :param subid: the click.
    :param status: lead, sale, rejected or rebill.
    :param tid: of the transaction; None when the postback had none.
    :param payout: as it was sent; None when it was not.
    :param currency: as it was sent; None when it was not.
    :param sub_ids: the further parameters ``sub_id_1`` to ``sub_id_15``.
    :param at: unix seconds by the clock of the stand-in.
    """

    subid: str
    status: str
    tid: str | None
    payout: str | None
    currency: str | None
    sub_ids: Mapping[str, str]
    at: float


class KeitaroSandbox(DestinationSandbox[KeitaroConversion]):
    """Stands in for a tracker at ``https://HOST``.

    It accepts GET and POST ``/{key}/postback``. As Keitaro does, it puts every postback into a
    queue and answers 200 whether or not the click exists. A postback without a status is a sale.
    The same click and ``tid`` are one conversion, whose status and payout change. A rebill needs a
    ``tid`` that the click does not have yet. Own words are declared with ``lead_status``,
    ``sale_status``, ``rejected_status`` and ``rebill_status``. ``events`` are the conversions
    as they are now; ``ignored`` are postbacks that made none, each with the reason.

    Keitaro's answer to a wrong key is not documented; this one has 404.

    :param key: the part of the address before ``/postback``.
    :param clicks: the clicks that exist, and the id that the traffic source has for each (its
        ``{external_id}``); a collection of subids has no such ids. None means any click.
    :param clock: returns unix seconds.
    """

    def __init__(
        self,
        key: str = "keitaro-demo-key",
        *,
        clicks: Collection[str] | Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock=clock)
        self.key = key
        self.ignored: list[tuple[str, Mapping[str, str]]] = []
        self._clicks = clicks

    def handle(self, request: web.Request, body: object) -> web.Response:
        allowed = (hdrs.METH_GET, hdrs.METH_POST)
        if request.path != f"/{self.key}/postback" or request.method not in allowed:
            return web.Response(status=404, text="Not found")
        form = dict(parse_qsl(body)) if isinstance(body, str) else {}
        params = {**request.query, **form}
        reason = self._record(params)
        if reason is not None:
            self.ignored.append((reason, params))
        return web.Response(text=params.get("return", "Success"))

    def _record(self, params: Mapping[str, str]) -> str | None:
        """Record a conversion, or return why there is none."""
        subid = params.get("subid") or params.get("sub_id")
        if not subid:
            return "no subid"
        if self._clicks is not None and subid not in self._clicks:
            return f"SubID not found: {subid}"
        status = _status(params)
        if status is None:
            return f"unknown status: {params['status']}"
        conversion = KeitaroConversion(
            subid=subid,
            status=status,
            tid=params.get("tid") or None,
            payout=params.get("payout") or params.get("revenue"),
            currency=params.get("currency"),
            sub_ids={name: params[name] for name in _SUB_IDS if name in params},
            at=self._clock(),
        )
        return self._keep(conversion)

    def _keep(self, conversion: KeitaroConversion) -> str | None:
        same = [
            number
            for number, known in enumerate(self.events)
            if (known.subid, known.tid) == (conversion.subid, conversion.tid)
        ]
        if conversion.status == _REBILL and conversion.tid is None:
            return "a rebill needs a tid"
        if not same:
            self.events.append(conversion)
            return None
        known = self.events[same[0]]
        if conversion.status == _REBILL and known.status != _REBILL:
            return f"a rebill needs a tid of its own: {conversion.tid} is taken"
        payout = known.payout if conversion.payout is None else conversion.payout
        self.events[same[0]] = replace(known, status=conversion.status, payout=payout)
        return None

    async def send_postback(self, template: str, conversion: KeitaroConversion) -> int:
        """Send a conversion to a traffic source, as the tracker's S2S postbacks do.

        :param template: an address with macros such as ``{subid}``, ``{external_id}``,
            ``{status}``, ``{status:lead=0 sale=1}``, ``{revenue}``, ``{currency}``, ``{tid}`` and
            ``{sub_id_1}``; what is no macro of the tracker stays as it is.
        :param conversion: one of ``events``.
        :return: the status of the response.
        """
        values = self._macros(conversion)

        def filled(macro: re.Match[str]) -> str:
            value = values.get(macro["name"])
            if value is None:
                return macro[0]
            if macro["words"]:
                value = dict(_words(macro["words"])).get(value, value)
            return value if macro["raw"] else quote(value, safe="")

        url = _MACRO.sub(filled, template)
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            await response.read()
            return response.status

    def _macros(self, conversion: KeitaroConversion) -> dict[str, str]:
        clicks = self._clicks if isinstance(self._clicks, Mapping) else {}
        return {
            "subid": conversion.subid,
            "external_id": clicks.get(conversion.subid, ""),
            "status": conversion.status,
            "revenue": conversion.payout or "0",
            "payout": conversion.payout or "0",
            "currency": conversion.currency or "",
            "tid": conversion.tid or "",
            **dict.fromkeys(_SUB_IDS, ""),
            **conversion.sub_ids,
        }


def _status(params: Mapping[str, str]) -> str | None:
    """Return which of the tracker's statuses a postback has; None when it is unknown."""
    told = params.get("status")
    if not told:
        return DEFAULT_STATUS
    for status in STATUSES:
        if told in params.get(f"{status}_status", "").split(","):
            return status
    return told if told in STATUSES else None


def _words(text: str) -> list[tuple[str, str]]:
    """Read what ``{status:lead=0 sale=1}`` says."""
    pairs = (pair.partition("=") for pair in text.split())
    return [(ours, theirs) for ours, _, theirs in pairs]
