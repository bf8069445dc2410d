"""The groups of settings of trackers, webhooks and Snapchat, one model each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from gp_aiogram.destinations.addresses import split_address
from gp_aiogram.destinations.arguments import validate_event_names
from gp_aiogram.destinations.base import Ambiguous, Destination
from gp_aiogram.destinations.postback import Postback
from gp_aiogram.destinations.postback.arguments import host_of, placeholder_of
from gp_aiogram.destinations.snapchat import Snapchat
from gp_aiogram.destinations.webhook import Webhook
from gp_aiogram.destinations.webhook.signing import read_keys
from gp_aiogram.model.money import currency_code
from gp_aiogram.settings.groups import (
    A_TOKEN,
    A_URL,
    AN_ID,
    RETRY_OR_HOLD,
    BaseURL,
    Code,
    DestinationGroup,
    Key,
    split_names,
    validated_by,
)


def _split_pairs(pairs: Any) -> Any:
    """Read ``REG=lead, FTD=sale``, as an environment variable has it."""
    if not isinstance(pairs, str) or pairs.lstrip().startswith("{"):
        return pairs
    return dict(pair.split("=", 1) for pair in split_names(pairs))


_Statuses = Annotated[
    Mapping[str, str],
    NoDecode,
    BeforeValidator(_split_pairs),
    validated_by(lambda words: validate_event_names("it", words)),
]
_Host = Annotated[str, validated_by(lambda host: host_of("it", host))]
_Placeholder = Annotated[str, validated_by(lambda name: placeholder_of("it", name))]
_Currency = Annotated[str, validated_by(currency_code)]
_Address = Annotated[
    SecretStr, validated_by(lambda url: split_address("it", url.get_secret_value()))
]
_Secrets = Annotated[
    tuple[SecretStr, ...],
    NoDecode,
    BeforeValidator(split_names),
    validated_by(lambda given: read_keys("it", [each.get_secret_value() for each in given])),
]

_A_HOST = "the tracker's host, such as tracker.example.com"
_PAIRS = "the tracker's words for your events, such as REG=lead,FTD=sale"


class PostbackGroup(DestinationGroup):
    """``GP_POSTBACK__<NAME>__*``: arguments of :class:`~gp_aiogram.Postback`."""

    destination = Postback

    url: _Address = Field(
        description="an http or https URL such as https://tracker.example.com/?cid={clickid}",
    )
    key: Key = Field(default=SecretStr(""), description="what {key} stands for in the URL")
    statuses: _Statuses = Field(default={}, min_length=1, description=_PAIRS)
    method: Literal["GET", "POST"] = Field(default="GET", description="GET or POST")
    currency: _Currency = Field(default="USD", description="an ISO 4217 code")
    ambiguous: Ambiguous = Field(default="retry", description=RETRY_OR_HOLD)

    def named(self, name: str) -> Destination:
        """Build the destination under a name."""
        return Postback(name=name, **self.arguments())


class _TrackerGroup(DestinationGroup):
    """What every ready tracker may be told."""

    click_id: _Placeholder = Field(default="", description="the name of the click's id")
    statuses: _Statuses = Field(default={}, min_length=1, description=_PAIRS)
    currency: _Currency = Field(default="USD", description="an ISO 4217 code")
    ambiguous: Ambiguous = Field(default="retry", description=RETRY_OR_HOLD)


class _HostedGroup(_TrackerGroup):
    """A tracker that has an address of its own for each customer."""

    host: _Host = Field(description=_A_HOST)


class KeitaroGroup(_HostedGroup):
    """``GP_KEITARO__*``: arguments of ``Postback.keitaro``."""

    destination = Postback.keitaro

    key: Key = Field(description="the part of the postback URL between host and /postback")


class BinomGroup(_HostedGroup):
    """``GP_BINOM__*``: arguments of ``Postback.binom``."""

    destination = Postback.binom


class BinomV2Group(_HostedGroup):
    """``GP_BINOM_V2__*``: arguments of ``Postback.binom_v2``."""

    destination = Postback.binom_v2


class VoluumGroup(_HostedGroup):
    """``GP_VOLUUM__*``: arguments of ``Postback.voluum``."""

    destination = Postback.voluum


class RedTrackGroup(_HostedGroup):
    """``GP_REDTRACK__*``: arguments of ``Postback.redtrack``."""

    destination = Postback.redtrack


class PeerClickGroup(_HostedGroup):
    """``GP_PEERCLICK__*``: arguments of ``Postback.peerclick``."""

    destination = Postback.peerclick

    host: _Host = Field(description="the tracker's host, such as pstb.peerclick.com")


class AdnessGroup(_HostedGroup):
    """``GP_ADNESS__*``: arguments of ``Postback.adness``."""

    destination = Postback.adness

    host: _Host = Field(description="the network's host, such as s2s.adness.co")


class RichAdsGroup(_HostedGroup):
    """``GP_RICHADS__*``: arguments of ``Postback.richads``."""

    destination = Postback.richads

    host: _Host = Field(description="the network's host, such as us.ahows.co")


class AdsGramGroup(_TrackerGroup):
    """``GP_ADSGRAM__*``: arguments of ``Postback.adsgram``."""

    destination = Postback.adsgram

    token: Key = Field(description="the token that the dashboard shows, without white space")


class TappadsGroup(_TrackerGroup):
    """``GP_TAPPADS__*``: arguments of ``Postback.tappads``."""

    destination = Postback.tappads

    advert_id: Code = Field(description="the id of your account")
    offer_id: Code = Field(description="the id of your offer")
    is_old: bool = Field(
        description="false where only new users have such events; else set it up in code",
    )


class WebhookGroup(DestinationGroup):
    """``GP_WEBHOOK__*``: arguments of :class:`~gp_aiogram.Webhook`."""

    destination = Webhook

    url: _Address = Field(description=A_URL)
    secret: _Secrets = Field(
        description="whsec_ and base64; two of them with a comma while one replaces the other",
    )
    batch: int = Field(default=1, ge=1, le=1000, description="a number from 1 to 1000")
    traits: bool = Field(default=False, description="true or false")
    ambiguous: Ambiguous = Field(default="retry", description=RETRY_OR_HOLD)


class SnapchatGroup(DestinationGroup):
    """``GP_SNAPCHAT__*``: arguments of :class:`~gp_aiogram.Snapchat`."""

    destination = Snapchat

    pixel_id: Code = Field(description=AN_ID)
    access_token: Key = Field(description=A_TOKEN)
    base_url: BaseURL = Field(default="", description=A_URL)
    action_source: str = Field(
        default="WEB", pattern="^[A-Za-z_]+$", description="a word such as WEB"
    )
    page_url: str = Field(default="", pattern="^https?://", description=A_URL)
    validate_only: bool = Field(default=False, description="true or false")
    batch_size: int = Field(default=100, ge=1, le=2000, description="a number from 1 to 2000")
