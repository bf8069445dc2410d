"""How many touches of a user the stores keep."""

from __future__ import annotations

import logging

logger = logging.getLogger("gp_aiogram")

#: Touches of one user, far more than people make. Beyond, the oldest go that are neither the
#: first nor the last of their bot, so that both attributions stay right.
MAX_TOUCHES = 1000


class TouchLimit:
    """Tells once of each user who exceeds the limit."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def tell(self, telegram_id: int) -> None:
        """Tell that touches of a user are dropped."""
        if telegram_id in self._told:
            return
        self._told.add(telegram_id)
        logger.warning(
            "user %d has more than %d touches: the oldest between the first and the last of a bot "
            "are dropped",
            telegram_id,
            MAX_TOUCHES,
        )
