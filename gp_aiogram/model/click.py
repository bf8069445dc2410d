"""One click on an ad: what the landing page saw of it, and what Meta wants of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gp_aiogram.model.clock import to_ms

#: ``fb.<subdomain index>.<creation, ms>.<fbclid>``, perhaps with the appendix of Meta's builder.
_FBC = re.compile(r"fb\.[0-9]\.[0-9]+\.(?P<fbclid>[^.\s]+)(\.[A-Za-z0-9_-]{2,8})?")

#: A browser's own id: ``fb.<subdomain index>.<creation, ms>.<random>``.
_FBP = re.compile(r"fb\.[0-9]\.[0-9]+\.[0-9]+(\.[A-Za-z0-9_-]{2,8})?")

#: The subdomain index of an fbc that a server makes without a cookie (Meta, "fbp and fbc").
_SERVER_MADE = 1


@dataclass(frozen=True)
class Click:
    """One click on an ad, as the landing page saw it. Nothing of it fits into ``/start``.

    :param at: when, in UTC.
    :param fbclid: Meta's click id from the query; its case matters.
    :param fbc: Meta's ``_fbc`` cookie.
    :param fbp: Meta's ``_fbp`` cookie.
    :param ttclid: TikTok's click id from the query, up to 1000 characters.
    :param ttp: TikTok's ``_ttp`` cookie.
    :param gclid: Google's click id from the query.
    :param utm: ``utm_source`` and its like, under their full names.
    :param ip: the visitor's address.
    :param user_agent: the visitor's browser.
    :param url: the full address of the landing page.
    :param referrer: the page that linked to it.
    """

    at: datetime
    fbclid: str | None = None
    fbc: str | None = None
    fbp: str | None = None
    ttclid: str | None = None
    ttp: str | None = None
    gclid: str | None = None
    utm: Mapping[str, str] = field(default_factory=dict)
    ip: str | None = None
    user_agent: str | None = None
    url: str | None = None
    referrer: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is known, as JSON values; :meth:`from_dict` reads it back."""
        fields = {name: value for name, value in vars(self).items() if value}
        return {**fields, "at": self.at.isoformat()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Click:
        """Read what :meth:`to_dict` returned."""
        return cls(**{**fields, "at": datetime.fromisoformat(fields["at"])})

    def meta_ids(self) -> tuple[str | None, str | None]:
        """Return ``fbc`` and ``fbp`` as Meta wants them; None in place of a malformed one.

        Source: Meta, "ClickID and the fbp and fbc parameters". A cookie of another click gives way
        to an fbc that is made of the fbclid, whose case is kept, with the time of this click in
        milliseconds.
        """
        cookie = _FBC.fullmatch(self.fbc or "")
        fbc = self.fbc if cookie else None
        if self.fbclid and (cookie is None or cookie["fbclid"] != self.fbclid):
            fbc = f"fb.{_SERVER_MADE}.{to_ms(self.at)}.{self.fbclid}"
        return fbc, self.fbp if _FBP.fullmatch(self.fbp or "") else None

    def with_fbc(self) -> Click:
        """Return the click with :meth:`meta_ids` in place of its own ``fbc`` and ``fbp``."""
        fbc, fbp = self.meta_ids()
        changes = (fbc, fbp) != (self.fbc, self.fbp)
        return replace(self, fbc=fbc, fbp=fbp) if changes else self
