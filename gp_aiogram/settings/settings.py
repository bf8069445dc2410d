"""``GP_*`` environment variables and ``.env``, and what is built from them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import lru_cache
from inspect import isclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.identity.phones import validate_phone_region
from gp_aiogram.model.event import AUTO_NAMES, validate_auto
from gp_aiogram.settings.groups import (
    AttributionGroup,
    ClickHouseGroup,
    DestinationGroup,
    GatewayGroup,
    GramPixelGroup,
    InspectorGroup,
    LeadSailGroup,
    MetaGroup,
    MetricaGroup,
    RetentionGroup,
    StarsGroup,
    TikTokGroup,
    split_names,
    validated_by,
)
from gp_aiogram.settings.near_names import near_name
from gp_aiogram.settings.receivers import (
    AdnessGroup,
    AdsGramGroup,
    BinomGroup,
    BinomV2Group,
    KeitaroGroup,
    PeerClickGroup,
    PostbackGroup,
    RedTrackGroup,
    RichAdsGroup,
    SnapchatGroup,
    TappadsGroup,
    VoluumGroup,
    WebhookGroup,
)
from gp_aiogram.stores import from_url, reader_from_url, sessions_from_url
from gp_aiogram.stores.contract import Store

logger = logging.getLogger("gp_aiogram")

_PREFIX = "GP_"
_DELIMITER = "__"

_Auto = Annotated[
    frozenset[str], NoDecode, BeforeValidator(split_names), AfterValidator(validate_auto)
]
#: It may hold a password.
_StoreURL = Annotated[SecretStr, validated_by(lambda url: from_url(url.get_secret_value()))]
_SessionsURL = Annotated[
    SecretStr, validated_by(lambda url: sessions_from_url(url.get_secret_value()))
]
_Region = Annotated[str, validated_by(validate_phone_region)]


def _group(example: str, default: Any = None) -> Any:
    return Field(default=default, description=f"variables such as {example}, or a JSON object")


class Settings(BaseSettings):
    """The settings of a tracker, from ``GP_*`` environment variables and ``.env``.

    Arguments take precedence over environment variables, and those over the file ``.env``. A
    variable that looks like a misspelt setting is not an error, because it may belong to another
    program: the log names both.

    :raises ConfigurationError: names every variable that is missing or malformed, at once.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter=_DELIMITER,
        env_file=".env",
        env_file_encoding="utf-8-sig",  # as Notepad writes it, too
        extra="ignore",
    )

    store: _StoreURL = Field(
        default=SecretStr("sqlite:///gp.sqlite3"),
        description="a URL such as sqlite:///gp.sqlite3, memory://, or with gp-aiogram[postgres] "
        "installed postgresql://user:password@host:5432/database (of Redis: GP_SESSIONS)",
    )
    sessions: _SessionsURL | None = Field(
        default=None,
        description=(
            "a URL such as redis://user:password@localhost:6379/0 for sessions and profiles, and "
            "gp_aiogram[redis] installed"
        ),
    )
    journal: str = Field(
        default="gp.journal",
        min_length=1,
        description="the path of a file that exists only while the store is away",
    )
    phone_region: _Region | None = Field(
        default=None,
        description="an ISO 3166-1 code such as RU, and gp-aiogram[phone] installed",
    )
    payments_identify: bool = Field(default=False, description="true or false")
    deliver: bool = Field(default=True, description="true, or false where workers deliver")
    attribution: AttributionGroup = _group("GP_ATTRIBUTION__TOUCH", AttributionGroup())
    stars: StarsGroup = _group("GP_STARS__RATE", StarsGroup())
    retention: RetentionGroup = _group("GP_RETENTION__EVENTS_DAYS", RetentionGroup())
    auto: _Auto = Field(
        default=frozenset(),
        description=f"names with commas between, of {', '.join(sorted(AUTO_NAMES))}",
    )
    gateway: GatewayGroup | None = _group("GP_GATEWAY__KEYS")
    inspector: InspectorGroup | None = _group("GP_INSPECTOR__TOKEN")
    grampixel: GramPixelGroup | None = _group("GP_GRAMPIXEL__API_KEY")
    leadsail: LeadSailGroup | None = _group("GP_LEADSAIL__API_KEY")
    meta: MetaGroup | None = _group("GP_META__PIXEL_ID")
    tiktok: TikTokGroup | None = _group("GP_TIKTOK__PIXEL_CODE")
    metrica: MetricaGroup | None = _group("GP_METRICA__COUNTER_ID")
    clickhouse: ClickHouseGroup | None = _group("GP_CLICKHOUSE__URL")
    snapchat: SnapchatGroup | None = _group("GP_SNAPCHAT__PIXEL_ID")
    webhook: WebhookGroup | None = _group("GP_WEBHOOK__URL")
    keitaro: KeitaroGroup | None = _group("GP_KEITARO__HOST")
    binom: BinomGroup | None = _group("GP_BINOM__HOST")
    binom_v2: BinomV2Group | None = _group("GP_BINOM_V2__HOST")
    voluum: VoluumGroup | None = _group("GP_VOLUUM__HOST")
    redtrack: RedTrackGroup | None = _group("GP_REDTRACK__HOST")
    peerclick: PeerClickGroup | None = _group("GP_PEERCLICK__HOST")
    adness: AdnessGroup | None = _group("GP_ADNESS__HOST")
    adsgram: AdsGramGroup | None = _group("GP_ADSGRAM__TOKEN")
    richads: RichAdsGroup | None = _group("GP_RICHADS__HOST")
    tappads: TappadsGroup | None = _group("GP_TAPPADS__ADVERT_ID")
    postback: dict[str, PostbackGroup] = _group("GP_POSTBACK__MYTRACKER__URL", {})

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigurationError(_explained(error)) from None
        except SettingsError as error:
            msg = f"a {_PREFIX}* variable should hold a JSON object and does not: {error}"
            raise ConfigurationError(msg) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what is read by default, and look for misspelt names in it."""
        for source in (env_settings, dotenv_settings):
            if isinstance(source, EnvSettingsSource):
                _warn_of_misspelt(source.env_vars)
        return init_settings, env_settings, dotenv_settings, file_secret_settings

    def destinations(self) -> list[Destination]:
        """Build the destinations that are configured.

        :raises ConfigurationError: when none is configured.
        """
        groups = (getattr(self, name) for name in type(self).model_fields)
        built = [group.build() for group in groups if isinstance(group, DestinationGroup)]
        built += [group.named(name) for name, group in self.postback.items()]
        if not built:
            msg = (
                "no destination is configured: set GP_GRAMPIXEL__API_KEY (the API key of your "
                "GramPixel workspace) and GP_GRAMPIXEL__WORKSPACE_ID (its UUID), or the settings "
                "of GP_META__*, GP_TIKTOK__*, GP_KEITARO__* or another one"
            )
            raise ConfigurationError(msg)
        return built

    def build_store(self) -> Store:
        """Build the store."""
        return self._with_sessions(from_url(self.store.get_secret_value()))

    def build_reader(self) -> Store:
        """Build a reader, which looks into the store of a running bot and changes nothing.

        :raises ConfigurationError: when other processes cannot read this store.
        """
        return self._with_sessions(reader_from_url(self.store.get_secret_value()))

    def _with_sessions(self, store: Store) -> Store:
        if self.sessions is None:
            return store
        return Store.of(sessions_from_url(self.sessions.get_secret_value()), store)


def _explained(error: ValidationError) -> str:
    """Say which variables are wrong and what they should be, without showing their values."""
    lines = ["these settings need attention:"]
    for problem in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in problem["loc"]]
        variable = _PREFIX + _DELIMITER.join(path).upper()
        what = _PROBLEMS.get(problem["type"], "malformed")
        advice = _advice(path, variable)
        lines.append(f"  {variable}: {what}" + (f"; {advice}" if advice else ""))
    return "\n".join(lines)


#: Nothing of pydantic's own messages: some quote a character of the value.
_PROBLEMS = {"missing": "missing", "extra_forbidden": "there is no such setting"}


def _advice(path: list[str], variable: str) -> str | None:
    """Say what a variable should be; of one that there is not, which may have been meant."""
    if expected := _description(path):
        return f"expected {expected}"
    near = near_name(variable, _variables())
    return f"did you mean {near}?" if near else None


def _warn_of_misspelt(variables: Iterable[str]) -> None:
    """Name the settings that unknown variables resemble."""
    for variable, near in misspelt(variables).items():
        logger.warning("there is no setting %s, did you mean %s?", variable, near)


def destination_groups() -> dict[str, type[DestinationGroup]]:
    """Return the destinations that settings know, by the names of their groups."""
    groups = {name: _group_of(field) for name, field in Settings.model_fields.items()}
    return {
        name: group
        for name, group in groups.items()
        if group is not None and issubclass(group, DestinationGroup) and name != "postback"
    }


def misspelt(variables: Iterable[str]) -> dict[str, str]:
    """Return the settings that unknown variables resemble, by these.

    :param variables: names in any case; those that resemble no setting are left out.
    """
    unknown = [
        name
        for name in sorted(variable.upper() for variable in variables)
        if name.startswith(_PREFIX) and name not in _variables() and not _is_of_group(name)
    ]
    return {name: near for name in unknown if (near := near_name(name, _variables()))}


def _is_of_group(variable: str) -> bool:
    """Return whether a variable belongs to a group, which takes no names but its own."""
    name, delimiter, _ = variable.removeprefix(_PREFIX).partition(_DELIMITER)
    field = Settings.model_fields.get(name.lower())
    return bool(delimiter) and field is not None and _group_of(field) is not None


@lru_cache(maxsize=1)
def _variables() -> frozenset[str]:
    """Return every variable that is read, in upper case."""
    names: list[str] = []
    for name, field in Settings.model_fields.items():
        group = None if _holds_named_groups(field) else _group_of(field)
        parts = () if group is None else group.model_fields
        names += [name, *(f"{name}{_DELIMITER}{part}" for part in parts)]
    return frozenset(f"{_PREFIX}{name}".upper() for name in names)


def _description(path: list[str]) -> str | None:
    """Find the description of a field by its path through the nested models."""
    model: type[BaseModel] | None = Settings
    description: str | None = None
    follows_name = False
    for part in path:
        if follows_name:  # what the owner calls it
            follows_name = False
            continue
        field = None if model is None else model.model_fields.get(part)
        description = field.description if field is not None else None
        model = None if field is None else _group_of(field)
        follows_name = field is not None and _holds_named_groups(field)
    return description


def _holds_named_groups(field: FieldInfo) -> bool:
    """Return whether a field holds groups under names of the owner's choice."""
    return get_origin(field.annotation) is dict


def _group_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the group that a field of the settings holds, also where it is optional."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isclass(kind) and issubclass(kind, BaseModel)), None)
