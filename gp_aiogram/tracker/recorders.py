"""What records events, deposits and refunds, in transactions of its own or in the caller's."""

from __future__ import annotations

from typing import NamedTuple

from gp_aiogram.stores.contract import Store
from gp_aiogram.tracker.deposits import Deposits
from gp_aiogram.tracker.recording import Recording
from gp_aiogram.tracker.refunds import Refunds


class Recorders(NamedTuple):
    """The three of a tracker.

    :param store: where they store.
    """

    store: Store
    events: Recording
    deposits: Deposits
    refunds: Refunds

    def within(self, connection: object | None) -> Recorders:
        """Return those that record in the transaction of a connection; these where there is none.

        :raises ConfigurationError: when the store cannot, or does not know such a connection.
        """
        if connection is None:
            return self
        store = self.store.within(connection)
        events = self.events.within(store)
        return Recorders(
            store, events, self.deposits.within(events, store), self.refunds.within(events, store)
        )
