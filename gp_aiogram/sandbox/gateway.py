"""What the stand-ins of GramPixel and LeadSail are made of: a gateway on a tracker in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from gp_aiogram.destinations.base import Destination
from gp_aiogram.sandbox.server import DestinationSandbox
from gp_aiogram.stores.memory import MemoryStore
from gp_aiogram.tracker import Tracker
from gp_aiogram.web.gateway import GatewayLimits

if TYPE_CHECKING:
    from typing_extensions import Self

E = TypeVar("E")

#: A stand-in does not slow its tests down, and has the time that a busy machine needs.
UNLIMITED = GatewayLimits(per_minute=None, store_timeout=30.0)


class GatewaySandbox(DestinationSandbox[E]):
    """A stand-in that is a gateway: what it takes, its own tracker records and sends on.

    :param destinations: where it sends events on to; nowhere when there are none.
    :param clock: returns unix seconds.
    :ivar tracker: records what comes in.
    """

    def __init__(self, destinations: Sequence[Destination], clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.clock = SandboxClock(clock)
        self.tracker = Tracker(
            list(destinations) or [_Nowhere()],
            store=MemoryStore(clock=self.clock),
            journal=None,
            clock=self.clock,
        )
        self.tracker.announce_emission()  # no bot of its own, whose decorators need an emitter

    async def __aenter__(self) -> Self:
        await self.tracker.start()
        try:
            return await super().__aenter__()
        except BaseException:
            await self.tracker.close(grace=0)
            raise

    async def __aexit__(self, *exc_info: object) -> None:
        await super().__aexit__(*exc_info)
        await self.tracker.close(grace=0)


class SandboxClock:
    """The clock of a stand-in, as the library wants clocks.

    :param time: returns unix seconds.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self.time = time

    def monotonic(self) -> float:
        """Seconds since some moment; it never goes back."""
        return time.monotonic()


class _Nowhere(Destination):
    """Takes every event, and sends it nowhere."""

    name = "sandbox"
    batch_size = 1000

    async def send(self, batch: Sequence[Any]) -> None:
        """Take events."""
