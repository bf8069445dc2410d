"""Finds the id by which Metrica knows the visitor of a click."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from gp_aiogram.errors import ConfigurationError, short_repr
from gp_aiogram.model.click import Click

#: The columns of Metrica's CSV that name a visitor, of those that a landing page can know.
IdKind = Literal["yclid", "ClientId"]

#: Metrica states no grammar; both are numbers in practice.
_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class Visitor(NamedTuple):
    """Whom Metrica is told of."""

    kind: IdKind
    id: str


class VisitorIds:
    """The names under which ``Click.ids`` holds Metrica's ids; the first that is there counts.

    :param yclids: of the id of a click on Yandex.Direct.
    :param client_ids: of the ClientID of a browser, which is the cookie ``_ym_uid``.
    """

    def __init__(self, yclids: Sequence[str], client_ids: Sequence[str]) -> None:
        self._yclids = yclids
        self._client_ids = client_ids

    def yclid(self, click: Click | None) -> Visitor | None:
        """Return the click on Direct."""
        found = _first(click, self._yclids)
        return None if found is None else Visitor("yclid", found)

    def client_id(self, click: Click | None) -> Visitor | None:
        """Return the browser."""
        found = _first(click, self._client_ids)
        return None if found is None else Visitor("ClientId", found)


def no_id(*names: str) -> str:
    """Return why a user without these ids is skipped."""
    return (
        f"no {' and no '.join(names)}: the user did not come from a page with Metrica's "
        "counter, or the landing page does not keep the id (Click.ids)"
    )


def validate_id_names(where: str, names: object) -> tuple[str, ...]:
    """Return the names of an id in ``Click.ids``.

    :param names: a name, or several of which the first that is there counts.
    :raises ConfigurationError: when they are none.
    """
    given = (names,) if isinstance(names, str) else names
    if not isinstance(given, (list, tuple)) or not all(
        isinstance(name, str) and name.strip() for name in given
    ):
        msg = (
            f"{where} must name ids of Click.ids, such as ('ClientID', '_ym_uid'), "
            f"not {short_repr(names)}"
        )
        raise ConfigurationError(msg)
    return tuple(given)


def _first(click: Click | None, names: Sequence[str]) -> str | None:
    if click is None:
        return None
    values = (click.ids.get(name) for name in names)
    return next((value for value in values if value and _ID.fullmatch(value)), None)
