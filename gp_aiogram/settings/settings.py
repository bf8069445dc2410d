"""``GP_*`` environment variables and ``.env``, and what is built from them."""

from __future__ import annotations

from inspect import isclass
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from gp_aiogram.destinations.base import Destination
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.model.event import AUTO_NAMES, validate_auto
from gp_aiogram.settings.groups import (
    AttributionGroup,
    DestinationGroup,
    GramPixelGroup,
    LeadSailGroup,
    MetaGroup,
    RetentionGroup,
    StarsGroup,
    TikTokGroup,
    split_names,
    validated_by,
)
from gp_aiogram.stores import from_url
from gp_aiogram.stores.contract import Store

_PREFIX = "GP_"
_DELIMITER = "__"


_Auto = Annotated[
    frozenset[str], NoDecode, BeforeValidator(split_names), AfterValidator(validate_auto)
]
_StoreURL = Annotated[str, validated_by(from_url)]


def _group(example: str, default: Any = None) -> Any:
    return Field(default=default, description=f"variables such as {example}, or a JSON object")


class Settings(BaseSettings):
    """Everything that can be set from outside.

    Values given here win over environment variables, and those over the file ``.env``.

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
        default="sqlite:///gp.sqlite3",
        description="a URL such as sqlite:///gp.sqlite3 or memory://",
    )
    journal: str = Field(
        default="gp.journal",
        description="the path of a file that exists only while the store is away",
    )
    attribution: AttributionGroup = _group("GP_ATTRIBUTION__TOUCH", AttributionGroup())
    stars: StarsGroup = _group("GP_STARS__RATE", StarsGroup())
    retention: RetentionGroup = _group("GP_RETENTION__EVENTS_DAYS", RetentionGroup())
    auto: _Auto = Field(
        default=frozenset(),
        description=f"names with commas between, of {', '.join(sorted(AUTO_NAMES))}",
    )
    grampixel: GramPixelGroup | None = _group("GP_GRAMPIXEL__API_KEY")
    leadsail: LeadSailGroup | None = _group("GP_LEADSAIL__API_KEY")
    meta: MetaGroup | None = _group("GP_META__PIXEL_ID")
    tiktok: TikTokGroup | None = _group("GP_TIKTOK__PIXEL_CODE")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigurationError(_explained(error)) from None
        except SettingsError as error:
            msg = f"a {_PREFIX}* variable should hold a JSON object and does not: {error}"
            raise ConfigurationError(msg) from None

    def destinations(self) -> list[Destination]:
        """Build the destinations that are configured.

        :raises ConfigurationError: when there is none.
        """
        groups = (getattr(self, name) for name in type(self).model_fields)
        built = [group.build() for group in groups if isinstance(group, DestinationGroup)]
        if not built:
            msg = (
                "no destination is configured: set GP_GRAMPIXEL__API_KEY (the API key of your "
                "GramPixel workspace) and GP_GRAMPIXEL__WORKSPACE_ID (its UUID), or the settings "
                "of GP_META__*, GP_TIKTOK__* or GP_LEADSAIL__*"
            )
            raise ConfigurationError(msg)
        return built

    def build_store(self) -> Store:
        """Build the store."""
        return from_url(self.store)


def _explained(error: ValidationError) -> str:
    """Say which variables are wrong and what they should be, without showing their values."""
    lines = ["these settings need attention:"]
    for problem in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in problem["loc"]]
        variable = _PREFIX + _DELIMITER.join(path).upper()
        what = _PROBLEMS.get(problem["type"], "malformed")
        expected = _description(path)
        lines.append(f"  {variable}: {what}" + (f"; expected {expected}" if expected else ""))
    return "\n".join(lines)


#: Nothing of pydantic's own messages: some quote a character of the value.
_PROBLEMS = {"missing": "missing", "extra_forbidden": "there is no such setting"}


def _description(path: list[str]) -> str | None:
    """Find the description of a field by its path through the nested models."""
    model: type[BaseModel] | None = Settings
    description: str | None = None
    for part in path:
        field = None if model is None else model.model_fields.get(part)
        description = field.description if field is not None else None
        model = None if field is None else _group_of(field)
    return description


def _group_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the group that a field of the settings holds, also where it is optional."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isclass(kind) and issubclass(kind, BaseModel)), None)
