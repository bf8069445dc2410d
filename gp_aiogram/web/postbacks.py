"""The endpoint that affiliate networks and trackers call when a click has come to something."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import timedelta

from aiohttp import web

from gp_aiogram.errors import ConfigurationError, EventError, short_repr
from gp_aiogram.identity.net import Address
from gp_aiogram.model.clock import Clock, SystemClock
from gp_aiogram.model.conversion import REJECTED, Conversion
from gp_aiogram.model.event import utc_from_timestamp
from gp_aiogram.model.session import LONGEST_WINDOW
from gp_aiogram.stores.contract import ProfileStore, SessionStore
from gp_aiogram.tracker import Tracker
from gp_aiogram.tracker.conversions import Report
from gp_aiogram.web.body import BadBody
from gp_aiogram.web.limits import PerIpLimit
from gp_aiogram.web.networks import BadPostback, Ignored, Network
from gp_aiogram.web.parameters import read_parameters
from gp_aiogram.web.patience import within
from gp_aiogram.web.ready_networks import KEITARO
from gp_aiogram.web.secret_keys import SecretKeys
from gp_aiogram.web.sources import Sources
from gp_aiogram.web.visitors import UNIX
from gp_aiogram.web.visitors import Network as Addresses

logger = logging.getLogger("gp_aiogram.postbacks")

#: Seconds that a network waits at most for the store, and until it should try again.
_STORE_PATIENCE, _TRY_AGAIN = 5.0, 60

#: Requests with a wrong key per minute and address.
_GUESSES = 60

#: Postbacks of one network per minute.
_PER_MINUTE = 6000

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Postbacks:
    """Receives the postbacks of affiliate networks, as routes of any aiohttp application.

    ``GET`` or ``POST /postback/{key}``: its click id finds the user, and the conversion becomes an
    event. The answer is 200 when the event is on disk, with a line of text that says what was
    recorded. After any other answer, nothing was recorded.

    :param tracker: records the events; you start and close it.
    :param key: the secret in the address: one key, several while you replace one, or a mapping
        that gives each network its own key.
    :param network: how to read the postbacks, if ``key`` is not a mapping.
    :param window: how long to keep a conversion whose user is not known yet.
    :param sources: IP addresses or networks that may send postbacks; none means any.
    :param trusted_proxies: as of :class:`~gp_aiogram.web.Landing`.
    :param per_minute: postbacks of one network per minute; all of them may come at once. More are
        answered with 429, so that the network repeats them. None sets no limit.
    :param clock: tells when a postback came.
    :raises ConfigurationError: when an argument is invalid.
    """

    def __init__(
        self,
        tracker: Tracker,
        *,
        key: str | Collection[str] | Mapping[str, Network],
        network: Network = KEITARO,
        window: timedelta = timedelta(days=30),
        sources: Collection[str | Address | Addresses] = (),
        trusted_proxies: Collection[str | Address | Addresses] = (),
        per_minute: float | None = _PER_MINUTE,
        clock: Clock | None = None,
    ) -> None:
        self._tracker = tracker
        self._keys = SecretKeys(_networks(key, network))
        self._window = _validated_window(window)
        self._sources = Sources(sources, trusted_proxies)
        self._clock = clock or SystemClock()
        self._guesses = PerIpLimit(_GUESSES, self._clock.monotonic)
        self._limit = PerIpLimit(
            per_minute, self._clock.monotonic, argument="Postbacks(per_minute=...)"
        )
        self._tell_what_is_missing()

    def routes(self, prefix: str = "") -> list[web.RouteDef]:
        """Return the routes, to be added to an application.

        :param prefix: the path above them, such as ``/ads``.
        """
        path = f"/{prefix.strip('/')}".rstrip("/") + "/postback/{key}"
        return [web.get(path, self.receive, allow_head=False), web.post(path, self.receive)]

    def setup(self, app: web.Application, prefix: str = "") -> None:
        """Add the routes to an application, and keep the keys out of aiohttp's own logs.

        :param prefix: the path above them, such as ``/ads``.
        """

        async def begin(_: web.Application) -> None:
            self._keys.mask_logs()

        async def end(_: web.Application) -> None:
            self._keys.unmask_logs()

        app.add_routes(self.routes(prefix))
        app.on_startup.append(begin)
        app.on_cleanup.append(end)

    async def receive(self, request: web.Request) -> web.Response:
        """Record the conversion of a postback."""
        network = None
        try:
            network = self._admitted(request)
            conversion = await self._read(request, network)
            if isinstance(conversion, Ignored):
                return _answer(200, f"OK: not recorded: {conversion.reason}")
            report = await self._report(conversion)
        except _Refusal as refusal:
            return self._refused(refusal, "somebody" if network is None else network.name)
        except Exception:
            self._tracker.counts["postback_errors"] += 1
            logger.exception("a postback could not be recorded; its sender is told to try again")
            reason = "the postback could not be recorded for the moment: send it again"
            return _answer(503, reason, _TRY_AGAIN)
        return _answer(200, f"OK: {self._outcome(conversion, report)}")

    def _admitted(self, request: web.Request) -> Network:
        """Return the network that may send this."""
        address = self._sources.find(request)
        if not self._sources.admit(address):
            raise _Refusal(403, "this address is not among the sources of postbacks")
        network = self._keys.find(request.match_info["key"])
        if network is None:
            if self._guesses.take(UNIX if address is None else str(address)):
                raise _Refusal(403, "the key in the address is wrong")
            raise _Refusal(429, "too many wrong keys", self._guesses.retry_after)
        if not self._limit.take(network.name):
            raise _Refusal(429, "too many postbacks a minute", self._limit.retry_after)
        return network

    async def _read(self, request: web.Request, network: Network) -> Conversion | Ignored:
        try:
            parameters = await read_parameters(request)
            return network.read(parameters, utc_from_timestamp(self._clock.time()))
        except BadBody as error:
            raise _Refusal(error.status, error.reason) from None
        except BadPostback as error:
            raise _Refusal(400, error.reason) from None

    async def _report(self, conversion: Conversion) -> Report:
        try:
            reporting = self._tracker.conversions.report(conversion, self._window)
            report = await within(_STORE_PATIENCE, reporting)
        except EventError as error:
            raise _Refusal(400, str(error)) from None
        if report.result == "unknown":
            raise _Refusal(404, "no user has come with this click id, and none can be kept")
        return report

    def _outcome(self, conversion: Conversion, report: Report) -> str:
        """Say what became of a conversion."""
        if report.event is not None:
            event = report.event
            money = "" if event.value is None else f" {event.value} {event.currency}"
            return f"{event.name}{money} recorded"
        if report.result == "kept":
            days = f"{self._window / timedelta(days=1):g}"
            return f"no user has come with this click id yet: kept for {days} days"
        return f"not recorded: {self._why_not(conversion, report)}"

    def _why_not(self, conversion: Conversion, report: Report) -> str:
        if report.result == "opted_out":
            return "the user has opted out"
        if report.result == "no_payment":
            return "no payment that this could take back was recorded"
        if report.result == "dropped":
            return "before_send has dropped it, or makes no event of it"
        if conversion.transaction_id is None and conversion.event != REJECTED:
            logger.info(
                "%s: a %s without a transaction id was reported before and is not recorded again",
                conversion.network,
                conversion.event,
            )
            return (
                f"{conversion.status} was reported for this click before; without a transaction "
                "id another one cannot be told from it"
            )
        return "it was reported before"

    def _refused(self, refusal: _Refusal, sender: str) -> web.Response:
        self._tracker.counts["postbacks_refused"] += 1
        logger.warning(
            "a postback of %s is refused (%d): %s", sender, refusal.status, refusal.reason
        )
        return _answer(refusal.status, refusal.reason, refusal.retry_after)

    def _tell_what_is_missing(self) -> None:
        """Tell of a store that cannot find users by their clicks."""
        store = self._tracker.store
        if (
            type(store.sessions).touches_of is SessionStore.touches_of
            or type(store.profiles).add_unmatched is ProfileStore.add_unmatched
        ):
            logger.warning(
                "%r lacks touches_of or add_unmatched: postbacks may not find their users", store
            )


class _Refusal(Exception):  # noqa: N818 - reads as what happens
    """A postback that is not recorded.

    :param reason: for whoever set it up.
    :param retry_after: seconds.
    """

    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


def _answer(status: int, text: str, retry_after: int | None = None) -> web.Response:
    waiting = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.Response(status=status, text=f"{text}\n", headers={**_HEADERS, **waiting})


def _networks(
    key: str | Collection[str] | Mapping[str, Network], network: Network
) -> dict[str, Network]:
    """Return the network of each key.

    :raises ConfigurationError: when one is none, or two that differ share a name.
    """
    given: object = key
    if isinstance(given, Mapping):
        networks = dict(given)
    elif isinstance(given, Collection) and not isinstance(given, str):
        networks = dict.fromkeys(given, network)
    else:
        networks = {key: network} if isinstance(key, str) else {}
    for one in networks.values():
        if not isinstance(one, Network):
            msg = (
                f"Postbacks(network=...) must be a Network such as KEITARO, not {short_repr(one)}"
            )
            raise ConfigurationError(msg)
    by_name: dict[str, Network] = {}
    for one in networks.values():
        if by_name.setdefault(one.name, one) != one:
            msg = f"two networks are named {one.name}: give one another name with replace()"
            raise ConfigurationError(msg)
    return networks


def _validated_window(window: object) -> timedelta:
    if not isinstance(window, timedelta) or not timedelta(0) < window <= LONGEST_WINDOW:
        msg = (
            "Postbacks(window=...) must be a positive timedelta of at most "
            f"{LONGEST_WINDOW.days} days, not {short_repr(window)}"
        )
        raise ConfigurationError(msg)
    return window
