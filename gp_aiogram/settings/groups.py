"""The groups of settings: ``GP_<GROUP>__<NAME>``, one model each, and what is built from it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
)
from pydantic_settings import NoDecode

from gp_aiogram.destinations.arguments import (
    validate_code,
    validate_only,
    validate_secret,
    validate_url,
)
from gp_aiogram.destinations.base import Ambiguous, Destination
from gp_aiogram.destinations.grampixel import GramPixel
from gp_aiogram.destinations.leadsail import LeadSail
from gp_aiogram.destinations.meta import MetaCAPI
from gp_aiogram.destinations.proxies import validate_proxy
from gp_aiogram.destinations.tiktok import TikTokEvents
from gp_aiogram.model.money import Stars
from gp_aiogram.model.retention import Retention
from gp_aiogram.model.session import LONGEST_WINDOW, SESSION_PATTERN, Attribution, Touch


def validated_by(validate: Callable[[Any], object]) -> AfterValidator:
    """Validate a value at once by what takes it later, which raises ConfigurationError."""

    def validated(value: Any) -> Any:
        validate(value)
        return value

    return AfterValidator(validated)


def split_names(names: Any) -> Any:
    """Split what an environment variable holds."""
    return names.replace(",", " ").split() if isinstance(names, str) else names


_Key = Annotated[
    SecretStr, validated_by(lambda key: validate_secret("it", key.get_secret_value()))
]
_Code = Annotated[str, validated_by(lambda code: validate_code("it", code))]
_Proxy = Annotated[
    SecretStr, validated_by(lambda proxy: validate_proxy("it", proxy.get_secret_value()))
]
_Names = Annotated[
    frozenset[str],
    NoDecode,
    BeforeValidator(split_names),
    validated_by(lambda names: validate_only("it", names)),
]
_URL = Annotated[str, validated_by(lambda url: validate_url("it", url))]
_Days = Annotated[float, validated_by(lambda days: Attribution(window=timedelta(days=days)))]
_Pattern = Annotated[str, validated_by(lambda pattern: Attribution(pattern=pattern))]

_Rate = Annotated[Decimal, validated_by(lambda rate: Stars(rate=rate))]
_Currency = Annotated[str, validated_by(lambda code: Stars(currency=code))]

_AN_ID = "the id that the platform's Events Manager shows"
_A_TOKEN = "an access token, without white space"  # noqa: S105 - no secret
_A_TEST_CODE = "the code under Test Events; unset it when the test is over"
_A_URL = "an http or https URL"
_RETRY_OR_HOLD = "retry or hold"


def _days_kept(default: float) -> Any:
    return Field(
        default=default,
        gt=0,
        le=LONGEST_WINDOW.days,
        description=f"a positive number of days, at most {LONGEST_WINDOW.days}",
    )


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DestinationGroup(_Group):
    """The arguments of a destination, by their own names; what is not set keeps its default."""

    #: What is built.
    destination: ClassVar[Callable[..., Destination]]

    only: _Names = Field(
        default=frozenset(),
        min_length=1,
        description="names of events with commas between, such as FTD,DEP",
    )
    proxy: _Proxy = Field(
        default=SecretStr(""),
        description="the URL of an HTTP proxy such as http://user:password@proxy.example.com:3128",
    )

    def build(self) -> Destination:
        """Build the destination."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).destination(
            **{
                name: value.get_secret_value() if isinstance(value, SecretStr) else value
                for name, value in given.items()
            }
        )


class GramPixelGroup(DestinationGroup):
    """``GP_GRAMPIXEL__*``: arguments of :class:`~gp_aiogram.GramPixel`."""

    destination = GramPixel

    api_key: _Key = Field(
        description="the API key of your GramPixel workspace, without white space",
    )
    workspace_id: UUID = Field(
        description="a UUID such as 0f8fad5b-d9cb-469f-a165-70867728950e",
    )
    base_url: _URL = Field(default="", description=_A_URL)
    ambiguous: Ambiguous = Field(default="retry", description=_RETRY_OR_HOLD)


class LeadSailGroup(DestinationGroup):
    """``GP_LEADSAIL__*``: arguments of :class:`~gp_aiogram.LeadSail`."""

    destination = LeadSail

    api_key: _Key = Field(description="the API key of your dashboard, without white space")
    pixel_id: _Code = Field(description=_AN_ID)
    platform: Literal["facebook", "tiktok"] = Field(description="facebook or tiktok")
    base_url: _URL = Field(default="", description=_A_URL)
    test_event_code: _Code = Field(default="", description=_A_TEST_CODE)
    ambiguous: Ambiguous = Field(default="retry", description=_RETRY_OR_HOLD)


class MetaGroup(DestinationGroup):
    """``GP_META__*``: arguments of :class:`~gp_aiogram.MetaCAPI`."""

    destination = MetaCAPI

    pixel_id: _Code = Field(description=_AN_ID)
    access_token: _Key = Field(description=_A_TOKEN)
    base_url: _URL = Field(default="", description=_A_URL)
    api_version: str = Field(
        default="",
        pattern=r"^v[0-9]{1,3}\.[0-9]{1,2}$",
        description="a version such as v26.0",
    )
    test_event_code: _Code = Field(default="", description=_A_TEST_CODE)
    app_secret: _Key = Field(default=SecretStr(""), description="the secret of your app")


class TikTokGroup(DestinationGroup):
    """``GP_TIKTOK__*``: arguments of :class:`~gp_aiogram.TikTokEvents`."""

    destination = TikTokEvents

    pixel_code: _Code = Field(description=_AN_ID)
    access_token: _Key = Field(description=_A_TOKEN)
    base_url: _URL = Field(default="", description=_A_URL)
    event_source: Literal["web", "app"] = Field(default="web", description="web or app")
    page_url: str = Field(default="", description=_A_URL)
    test_event_code: _Code = Field(default="", description=_A_TEST_CODE)


class AttributionGroup(_Group):
    """``GP_ATTRIBUTION__*``: arguments of :class:`~gp_aiogram.Attribution`."""

    touch: Touch = Field(default="last", description="first or last")
    window_days: _Days = Field(
        default=30,
        gt=0,
        le=LONGEST_WINDOW.days,
        description=f"a positive number of days, at most {LONGEST_WINDOW.days}",
    )
    pattern: _Pattern = Field(default=SESSION_PATTERN, description="a regular expression")
    invites_first: bool = Field(default=True, description="true or false")

    def build(self) -> Attribution:
        """Build the attribution policy."""
        return Attribution(
            touch=self.touch,
            window=timedelta(days=self.window_days),
            pattern=self.pattern,
            invites_first=self.invites_first,
        )


class StarsGroup(_Group):
    """``GP_STARS__*``: arguments of :class:`~gp_aiogram.Stars`."""

    rate: _Rate = Field(default=Stars().rate, description="what a star is worth, such as 0.013")
    currency: _Currency = Field(default=Stars().currency, description="an ISO 4217 code")

    def build(self) -> Stars:
        """Build the rate of exchange."""
        return Stars(rate=self.rate, currency=self.currency)


class RetentionGroup(_Group):
    """``GP_RETENTION__*``: arguments of :class:`~gp_aiogram.Retention`, in days."""

    sessions_days: float = _days_kept(90)
    events_days: float = _days_kept(30)
    dead_letters_days: float = _days_kept(30)

    def build(self) -> Retention:
        """Build the rule of what is kept how long."""
        return Retention(
            sessions=timedelta(days=self.sessions_days),
            events=timedelta(days=self.events_days),
            dead_letters=timedelta(days=self.dead_letters_days),
        )
