"""What trackers and ad networks want a postback to look like, one entry each.

A name that no document of the vendor confirms is marked with ``[?]``; ``params=`` replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Preset(NamedTuple):
    """How one tracker is told of conversions.

    :param url: ``{click_id}`` stands for the placeholder of the click's id.
    :param click_id: name of that id among the ids of a click.
    :param statuses: the tracker's words for our events; None where it has none.
    :param only: the events that it gets; None for all.
    :param currency: the only one that it takes; None where the URL says which.
    :param keeps: parameters without which it would count something else.
    """

    url: str
    click_id: str
    statuses: Mapping[str, str] | None = None
    only: frozenset[str] | None = None
    currency: str | None = None
    keeps: frozenset[str] = frozenset()


#: Keitaro's own words (docs.keitaro.io, "Postback"). A postback without one is a sale.
_KEITARO = {
    "REG": "lead",
    "Subscribe": "lead",
    "FTD": "sale",
    "Purchase": "sale",
    "DEP": "rebill",
    "Refund": "rejected",
}

#: For trackers that take any word, or those that the customer has set up.
_OUR_NAMES = {name: name for name in ("REG", "Subscribe", "FTD", "DEP", "Purchase")}

#: docs.adsgram.ai, "Telegram tracking links": registration, first deposit, repeated deposit.
_ADSGRAM = {"REG": "1", "FTD": "2", "DEP": "3"}

#: gitbook of Tappads, "Server-to-server integration (multi-step tasks)": any lower-case word.
_LOWER_CASE = {name: name.lower() for name in _OUR_NAMES}

PRESETS: Mapping[str, Preset] = {
    # docs.keitaro.io/en/conversions/postback; a repeated tid changes the conversion.
    "keitaro": Preset(
        "{host}/{key}/postback?subid={click_id}&status={status}&payout={value}"
        "&currency={currency}&tid={tid}",
        "subid",
        _KEITARO,
        keeps=frozenset({"subid", "status"}),
    ),
    # docs.binom.org/postback-url.php; the two statuses are any text.
    "binom": Preset(
        "{host}/click.php?cnv_id={click_id}&payout={value}&cnv_status={status}"
        "&cnv_status2={name}&cnv_currency={currency}",
        "clickid",
        _OUR_NAMES,
        keeps=frozenset({"cnv_id"}),
    ),
    # [?] varies by version: the panel shows the address.
    "binom_v2": Preset(
        "{host}/postback?clickid={click_id}&payout={value}&cnv_status={status}"
        "&cnv_currency={currency}",
        "clickid",
        _OUR_NAMES,
        keeps=frozenset({"clickid"}),
    ),
    # doc.voluum.com, "Parameters in Postback URLs"; et is a custom conversion, case-sensitive.
    "voluum": Preset(
        "{host}/postback?cid={click_id}&payout={value}&txid={tid}&currency={currency}&et={status}",
        "cid",
        _OUR_NAMES,
        keeps=frozenset({"cid"}),
    ),
    # help.redtrack.io for clickid and rdtk_event_id; sum and type [?].
    "redtrack": Preset(
        "{host}/postback?clickid={click_id}&sum={value}&type={status}&rdtk_event_id={tid}",
        "clickid",
        _OUR_NAMES,
        currency="USD",
        keeps=frozenset({"clickid"}),
    ),
    # help-center.peerclick.com, "Setting up a Standard Postback to PeerClick".
    "peerclick": Preset(
        "{host}/postback?cid={click_id}&payout={value}&status={status}&txid={tid}"
        "&currency={currency}",
        "cid",
        _OUR_NAMES,
        keeps=frozenset({"cid"}),
    ),
    # docs.adness.co/campaigns-postback; the currency of revenue [?].
    "adness": Preset(
        "{host}/v1/conversion?clickid={click_id}&revenue={value}&type={status}&id={tid}",
        "clickid",
        _OUR_NAMES,
        currency="USD",
        keeps=frozenset({"clickid"}),
    ),
    # docs.adsgram.ai/advertiser/telegram-tracking-links; by the user alone.
    "adsgram": Preset(
        "{host}/confirm_conversion?token={key}&tgid={click_id}&goaltype={status}"
        "&campaignid={campaignid?}",
        "telegram_id",
        _ADSGRAM,
        keeps=frozenset({"token", "tgid", "goaltype"}),
    ),
    # docs.adsgram.ai/advertiser/web-tracking-links.
    "adsgram_web": Preset(
        "{host}/confirm_conversion?token={key}&record={click_id}&goaltype={status}",
        "record",
        _ADSGRAM,
        keeps=frozenset({"token", "record", "goaltype"}),
    ),
    # docs.richads.com/advertiser: one kind of conversion, and no word for others.
    "richads": Preset(
        "{host}/log?action=conversion&key={click_id}",
        "clickid",
        only=frozenset({"REG"}),
        keeps=frozenset({"action", "key"}),
    ),
    # tappadsdocs.gitbook.io, "Server-to-server integration (multi-step tasks)".
    "tappads": Preset(
        "{host}/v1/tapp-cpa?pubid={publisher}&m=2&advert_id={advert_id}&click_id={click_id}"
        "&offer_id={offer_id}&telegram_id={telegram_id}&startapp={session_id}&is_old={is_old}"
        "&event_name={status}",
        "clickid",
        _LOWER_CASE,
        keeps=frozenset({"pubid", "click_id", "is_old"}),
    ),
}
