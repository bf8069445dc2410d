"""One click on an ad: what the landing page saw of it, and what of that is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gp_aiogram.errors import EventError
from gp_aiogram.model.click_ids import FBC, click_id, holds_macro, usable_id
from gp_aiogram.model.clock import to_ms
from gp_aiogram.model.page_url import holds_personal_data, without_personal_data
from gp_aiogram.model.pii import is_personal_key

#: The subdomain index of an fbc that a server makes without a cookie (Meta, "fbp and fbc").
_SERVER_MADE = 1

#: The fields that are ids, and all that are texts.
_IDS = ("fbclid", "fbc", "fbp", "ttclid", "ttp", "gclid")
_TEXTS = (*_IDS, "ip", "user_agent", "url", "referrer")

#: The fields that tell one click from all others. A cookie tells a browser.
_CLICK_IDS = ("fbclid", "ttclid", "gclid")


@dataclass(frozen=True, init=False)
class Click:
    """One click on an ad, as the landing page saw it: what does not fit into ``/start``.

    :param at: when, with time zone; None means the moment at which the click is registered.
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
    :param ids: ids of other systems, under names that you choose, such as the ``subid`` of a
        tracker or Yandex's ``yclid``.
    :raises EventError: when an argument has the wrong type; the text names it.
    """

    at: datetime | None
    fbclid: str | None
    fbc: str | None
    fbp: str | None
    ttclid: str | None
    ttp: str | None
    gclid: str | None
    utm: Mapping[str, str]
    ip: str | None
    user_agent: str | None
    url: str | None
    referrer: str | None
    ids: Mapping[str, str]

    # What dataclass makes for a frozen class sets field by field, which is slow.
    def __init__(  # noqa: PLR0917 - the fields in their order
        self,
        at: datetime | None = None,
        fbclid: str | None = None,
        fbc: str | None = None,
        fbp: str | None = None,
        ttclid: str | None = None,
        ttp: str | None = None,
        gclid: str | None = None,
        utm: Mapping[str, str] | None = None,
        ip: str | None = None,
        user_agent: str | None = None,
        url: str | None = None,
        referrer: str | None = None,
        ids: Mapping[str, str] | None = None,
    ) -> None:
        fields = {
            "at": at,
            "fbclid": fbclid,
            "fbc": fbc,
            "fbp": fbp,
            "ttclid": ttclid,
            "ttp": ttp,
            "gclid": gclid,
            "utm": {} if utm is None else utm,
            "ip": ip,
            "user_agent": user_agent,
            "url": url,
            "referrer": referrer,
            "ids": {} if ids is None else ids,
        }
        _validate(fields)
        self.__dict__.update(fields)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set, as JSON values; :meth:`from_dict` reads them back."""
        known = {name: value for name, value in vars(self).items() if value}
        if self.at is not None:
            known["at"] = self.at.isoformat()
        return known

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Click:
        """Read what :meth:`to_dict` returned."""
        at = fields.get("at")
        moment = None if at is None else datetime.fromisoformat(at)
        return _unchecked({"utm": {}, "ids": {}, **fields, "at": moment})

    @classmethod
    def of_ids(cls, at: datetime, ids: Mapping[str, str]) -> Click:
        """Make a click from ids alone; an id that has its own field is stored in that field."""
        return cls(
            at,
            fbclid=ids.get("fbclid"),
            ttclid=ids.get("ttclid"),
            gclid=ids.get("gclid"),
            ids={name: value for name, value in ids.items() if name not in _CLICK_IDS},
        ).normalized(at)

    @property
    def moment(self) -> datetime:
        """When it happened.

        :raises EventError: when the click has no time, because it was not registered.
        """
        if self.at is None:
            msg = "Click(at=...) is needed: only register_click fills in the present moment"
            raise EventError(msg)
        return self.at

    def normalized(self, now: datetime) -> Click:
        """Return the click as it is stored: with its time, and without unusable values.

        Left out are malformed ids, macros that the ad platform did not replace, and personal data
        in the addresses and in ``utm``. ``fbc`` and ``fbp`` are those of :meth:`meta_ids`.

        :param now: the time for a click that has none.
        """
        fields = vars(self) | {"at": self.at or now}
        for name in _IDS:
            if fields[name] is not None:
                fields[name] = click_id(name, fields[name])
        fields["fbc"] = _fbc(fields["at"], fields["fbclid"], fields["fbc"])
        fields["utm"] = {name: text for name, text in self.utm.items() if _is_usable(name, text)}
        usable = {name: usable_id(value) for name, value in self.ids.items()}
        fields["ids"] = {name: value for name, value in usable.items() if value is not None}
        fields["url"] = _usable_url(self.url)
        fields["referrer"] = _usable_url(self.referrer)
        return _unchecked(fields)

    def click_ids(self) -> dict[str, str]:
        """Return, by name, every id that identifies this click."""
        named = {name: getattr(self, name) for name in _CLICK_IDS}
        return {name: value for name, value in named.items() if value} | dict(self.ids)

    def meta_ids(self) -> tuple[str | None, str | None]:
        """Return ``fbc`` and ``fbp`` as Meta requires them; None replaces a malformed one.

        Source: Meta, "ClickID and the fbp and fbc parameters". If the cookie
        belongs to another click, fbc is built from the fbclid, with its case kept, and the time
        of this click in milliseconds.
        """
        fbc = _fbc(self.at, click_id("fbclid", self.fbclid), click_id("fbc", self.fbc))
        return fbc, click_id("fbp", self.fbp)


def _unchecked(fields: Mapping[str, Any]) -> Click:
    """Make a click of fields whose types are known to be right."""
    click = object.__new__(Click)
    click.__dict__.update(_NOTHING, **fields)
    return click


def _fbc(at: datetime | None, fbclid: str | None, cookie: str | None) -> str | None:
    if fbclid is None or at is None:
        return cookie
    match = FBC.fullmatch(cookie) if cookie else None
    if match and match["fbclid"] == fbclid:
        return cookie
    return f"fb.{_SERVER_MADE}.{to_ms(at)}.{fbclid}"


def _validate(fields: Mapping[str, object]) -> None:
    at = fields["at"]
    if at is not None and not (isinstance(at, datetime) and at.utcoffset() is not None):
        kind = "one without" if isinstance(at, datetime) else type(at).__name__
        msg = f"Click(at=...) must be a datetime with time zone, not {kind}"
        raise EventError(msg)
    for name in ("utm", "ids"):
        texts = fields[name]
        if not isinstance(texts, Mapping) or not (
            _are_texts(texts) and _are_texts(texts.values())
        ):
            msg = f"Click({name}=...) must be a mapping of texts to texts"
            raise EventError(msg)
    for name in _TEXTS:
        value = fields[name]
        if value is not None and not isinstance(value, str):
            msg = f"Click({name}=...) must be a text, not {type(value).__name__}"
            raise EventError(msg)


def _are_texts(values: Iterable[object]) -> bool:
    return all([isinstance(value, str) for value in values])  # noqa: C419 - a list is faster


def _is_usable(name: str, text: str) -> bool:
    return not (is_personal_key(name) or holds_personal_data(text) or holds_macro(text))


def _usable_url(url: str | None) -> str | None:
    return without_personal_data(url) or None if url else None


_NOTHING: dict[str, Any] = vars(Click())
