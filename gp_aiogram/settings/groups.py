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
    PlainValidator,
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
from gp_aiogram.destinations.clickhouse import ClickHouse
from gp_aiogram.destinations.clickhouse.table import Table, validate_identifier
from gp_aiogram.destinations.grampixel import GramPixel
from gp_aiogram.destinations.leadsail import LeadSail
from gp_aiogram.destinations.meta import MetaCAPI
from gp_aiogram.destinations.metrica import YandexMetrica
from gp_aiogram.destinations.metrica.options import (
    MOST_ROWS,
    validate_counter,
    validate_counter_currency,
)
from gp_aiogram.destinations.proxies import validate_proxy
from gp_aiogram.destinations.tiktok import TikTokEvents
from gp_aiogram.model import codec
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


Key = Annotated[SecretStr, validated_by(lambda key: validate_secret("it", key.get_secret_value()))]
Code = Annotated[str, validated_by(lambda code: validate_code("it", code))]
_Token = Annotated[Key, Field(min_length=16)]
_Path = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]*$")]
_Proxy = Annotated[
    SecretStr, validated_by(lambda proxy: validate_proxy("it", proxy.get_secret_value()))
]
_Names = Annotated[
    frozenset[str],
    NoDecode,
    BeforeValidator(split_names),
    validated_by(lambda names: validate_only("it", names)),
]
_Identifier = Annotated[str, validated_by(lambda name: validate_identifier("it", name))]
_Table = Annotated[str, validated_by(lambda name: Table("default", name, "it"))]
_Counter = Annotated[str, validated_by(validate_counter)]
_CounterCurrency = Annotated[str, validated_by(validate_counter_currency)]
BaseURL = Annotated[str, validated_by(lambda url: validate_url("it", url))]
_Days = Annotated[float, validated_by(lambda days: Attribution(window=timedelta(days=days)))]
_Pattern = Annotated[str, validated_by(lambda pattern: Attribution(pattern=pattern))]
_Own = Annotated[
    frozenset[str],
    NoDecode,
    BeforeValidator(split_names),
    validated_by(lambda own: Attribution(own=own)),
]

_Rate = Annotated[Decimal, validated_by(lambda rate: Stars(rate=rate))]
_Currency = Annotated[str, validated_by(lambda code: Stars(currency=code))]

AN_ID = "the id that the platform's Events Manager shows"
A_TOKEN = "an access token, without white space"  # noqa: S105 - no secret
_A_TEST_CODE = "the code under Test Events; unset it when the test is over"
_A_NUMBER_OF_ROWS = f"a number of rows, 1 to {MOST_ROWS}"
_SECONDS_GATHERING = "seconds, 0 to 3600"
A_URL = "an http or https URL"
RETRY_OR_HOLD = "retry or hold"


def _days_kept(default: float) -> Any:
    return Field(
        default=default,
        gt=0,
        le=LONGEST_WINDOW.days,
        description=f"a positive number of days, at most {LONGEST_WINDOW.days}",
    )


def _disclosed(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_disclosed(each) for each in value]
    return value.get_secret_value() if isinstance(value, SecretStr) else value


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
        return type(self).destination(**self.arguments())

    def arguments(self) -> dict[str, Any]:
        """Return what is given, with secrets as they are."""
        return {name: _disclosed(getattr(self, name)) for name in self.model_fields_set}


class GramPixelGroup(DestinationGroup):
    """``GP_GRAMPIXEL__*``: arguments of :class:`~gp_aiogram.GramPixel`."""

    destination = GramPixel

    api_key: Key = Field(
        description="the API key of your GramPixel workspace, without white space",
    )
    workspace_id: UUID = Field(
        description="a UUID such as 0f8fad5b-d9cb-469f-a165-70867728950e",
    )
    base_url: BaseURL = Field(default="", description=A_URL)
    ambiguous: Ambiguous = Field(default="retry", description=RETRY_OR_HOLD)


class LeadSailGroup(DestinationGroup):
    """``GP_LEADSAIL__*``: arguments of :class:`~gp_aiogram.LeadSail`."""

    destination = LeadSail

    api_key: Key = Field(description="the API key of your dashboard, without white space")
    pixel_id: Code = Field(description=AN_ID)
    platform: Literal["facebook", "tiktok"] = Field(description="facebook or tiktok")
    base_url: BaseURL = Field(default="", description=A_URL)
    test_event_code: Code = Field(default="", description=_A_TEST_CODE)
    ambiguous: Ambiguous = Field(default="retry", description=RETRY_OR_HOLD)


class MetaGroup(DestinationGroup):
    """``GP_META__*``: arguments of :class:`~gp_aiogram.MetaCAPI`."""

    destination = MetaCAPI

    pixel_id: Code = Field(description=AN_ID)
    access_token: Key = Field(description=A_TOKEN)
    base_url: BaseURL = Field(default="", description=A_URL)
    api_version: str = Field(
        default="",
        pattern=r"^v[0-9]{1,3}\.[0-9]{1,2}$",
        description="a version such as v26.0",
    )
    test_event_code: Code = Field(default="", description=_A_TEST_CODE)
    app_secret: Key = Field(default=SecretStr(""), description="the secret of your app")


class TikTokGroup(DestinationGroup):
    """``GP_TIKTOK__*``: arguments of :class:`~gp_aiogram.TikTokEvents`."""

    destination = TikTokEvents

    pixel_code: Code = Field(description=AN_ID)
    access_token: Key = Field(description=A_TOKEN)
    base_url: BaseURL = Field(default="", description=A_URL)
    event_source: Literal["web", "app"] = Field(default="web", description="web or app")
    page_url: str = Field(default="", description=A_URL)
    test_event_code: Code = Field(default="", description=_A_TEST_CODE)


class MetricaGroup(DestinationGroup):
    """``GP_METRICA__*``: arguments of :class:`~gp_aiogram.YandexMetrica`."""

    destination = YandexMetrica

    counter_id: _Counter = Field(description="the number of the counter")
    token: Key = Field(
        description="an OAuth token, or the counter's token of the Measurement Protocol"
    )
    mode: Literal["offline", "measurement"] = Field(
        default="offline", description="offline or measurement"
    )
    currency: _CounterCurrency = Field(
        default="RUB", description="the ISO 4217 code of the counter's currency"
    )
    batch_size: int = Field(default=0, gt=0, le=MOST_ROWS, description=_A_NUMBER_OF_ROWS)
    gather_for: float = Field(default=0, ge=0, le=3600, description=_SECONDS_GATHERING)
    page_url: BaseURL = Field(default="", description=A_URL)
    base_url: BaseURL = Field(default="", description=A_URL)
    ambiguous: Ambiguous = Field(default="retry", description=RETRY_OR_HOLD)


class ClickHouseGroup(DestinationGroup):
    """``GP_CLICKHOUSE__*``: arguments of :class:`~gp_aiogram.ClickHouse`."""

    destination = ClickHouse

    url: BaseURL = Field(
        description="the HTTP interface, such as https://clickhouse.example.com:8443"
    )
    table: _Table = Field(
        default="", description="a table such as gp_events or analytics.gp_events"
    )
    database: _Identifier = Field(default="", description="a database such as analytics")
    user: _Identifier = Field(default="", description="a user of letters, digits and underscores")
    password: Key = Field(default=SecretStr(""), description="the user's password")
    create: bool = Field(default=False, description="true or false")
    async_insert: bool = Field(default=False, description="true or false")
    batch_size: int = Field(default=0, gt=0, le=MOST_ROWS, description=_A_NUMBER_OF_ROWS)
    gather_for: float = Field(default=0, ge=0, le=3600, description=_SECONDS_GATHERING)


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
    own: _Own = Field(
        default=frozenset(),
        description="payloads, sources and invite links with commas between",
    )

    def build(self) -> Attribution:
        """Build the attribution policy."""
        return Attribution(
            touch=self.touch,
            window=timedelta(days=self.window_days),
            pattern=self.pattern,
            invites_first=self.invites_first,
            own=self.own,
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


def _read_keys(keys: Any) -> dict[SecretStr, UUID]:
    """Read ``key=workspace`` pairs with commas between, or a JSON object.

    In one piece: an error of pydantic's own would name the key that it is about.
    """
    if isinstance(keys, str) and keys.lstrip().startswith("{"):
        keys = codec.decode(keys)
    elif isinstance(keys, str):
        keys = dict(pair.rsplit("=", 1) for pair in keys.replace(",", " ").split())
    if not isinstance(keys, dict) or not keys:
        msg = "no keys"
        raise ValueError(msg)
    return {
        SecretStr(validate_secret("it", key)): UUID(str(workspace))
        for key, workspace in keys.items()
    }


_Keys = Annotated[dict[SecretStr, UUID], NoDecode, PlainValidator(_read_keys)]


class GatewayGroup(_Group):
    """``GP_GATEWAY__*``: where ``gp-aiogram serve`` listens, to whom, and its limits."""

    keys: _Keys = Field(
        description=(
            "API keys and their workspaces with commas between, such as "
            "a-long-random-key=0f8fad5b-d9cb-469f-a165-70867728950e, or a JSON object of them"
        ),
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="an address to listen at")
    port: int = Field(default=8080, ge=0, le=65535, description="a port to listen at")
    bot_id: int | None = Field(
        default=None, gt=0, description="the id of the bot, where there is one only"
    )
    max_body: int = Field(default=1024 * 1024, gt=0, description="bytes of a request's body")
    max_batch: int = Field(default=500, gt=0, description="events in one batch")
    per_minute: float | None = Field(
        default=6000, gt=0, description="events per minute and key, or null for any number"
    )
    body_timeout: float = Field(default=10.0, gt=0, description="seconds for a body to arrive")
    store_timeout: float = Field(default=5.0, gt=0, description="seconds for the store")
    max_connections: int = Field(default=200, gt=0, description="connections open at once")

    @property
    def plain_keys(self) -> dict[str, UUID]:
        """Workspaces by the keys themselves."""
        return {key.get_secret_value(): workspace for key, workspace in self.keys.items()}


class InspectorGroup(_Group):
    """``GP_INSPECTOR__*``: who may look at the inspector of ``gp-aiogram serve``, and where."""

    token: _Token | None = Field(
        default=None, description="a secret of 16 characters or more that people log in by"
    )
    open_on_loopback: bool = Field(
        default=False, description="true lets in whoever comes from this machine without a token"
    )
    path: _Path = Field(default="/inspector", description="a path such as /inspector")
    trusted_proxies: Annotated[frozenset[str], NoDecode, BeforeValidator(split_names)] = Field(
        default=frozenset(),
        description="addresses or networks of the proxies in front, with commas between, or unix",
    )

    @property
    def plain_token(self) -> str | None:
        """The token itself."""
        return None if self.token is None else self.token.get_secret_value()
