"""``GP_*`` environment variables and ``.env``, and what is built from them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from gp_aiogram.attribution import SESSION_PATTERN, Attribution, Touch
from gp_aiogram.destinations.base import Ambiguous, Destination
from gp_aiogram.destinations.grampixel import GramPixel
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.stores import from_url
from gp_aiogram.stores.base import Store

_PREFIX = "GP_"
_DELIMITER = "__"


class GramPixelSettings(BaseModel):
    """``GP_GRAMPIXEL__*``: arguments of :class:`~gp_aiogram.GramPixel`."""

    model_config = ConfigDict(extra="forbid")

    api_key: SecretStr = Field(description="the API key of your GramPixel workspace")
    workspace_id: UUID = Field(
        description="a UUID such as 0f8fad5b-d9cb-469f-a165-70867728950e",
    )
    base_url: str = Field(
        default="https://api.grampixel.com",
        description="an http or https URL",
    )
    ambiguous: Ambiguous = Field(default="retry", description="retry or hold")

    def build(self) -> GramPixel:
        """Build the destination."""
        return GramPixel(
            self.api_key.get_secret_value(),
            self.workspace_id,
            base_url=self.base_url,
            ambiguous=self.ambiguous,
        )


class AttributionSettings(BaseModel):
    """``GP_ATTRIBUTION__*``: arguments of :class:`~gp_aiogram.Attribution`."""

    model_config = ConfigDict(extra="forbid")

    touch: Touch = Field(default="last", description="first or last")
    window_days: float = Field(default=30, gt=0, description="a positive number of days")
    pattern: str = Field(default=SESSION_PATTERN, description="a regular expression")

    def build(self) -> Attribution:
        """Build the attribution policy."""
        return Attribution(
            touch=self.touch,
            window=timedelta(days=self.window_days),
            pattern=self.pattern,
        )


class Settings(BaseSettings):
    """Everything that can be set from outside.

    Values given here win over environment variables, and those over the file ``.env``.

    :raises ConfigurationError: names every variable that is missing or malformed, at once.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter=_DELIMITER,
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
    )

    store: str = Field(
        default="sqlite:///gp.sqlite3",
        description="a URL such as sqlite:///gp.sqlite3 or memory://",
    )
    attribution: AttributionSettings = AttributionSettings()
    grampixel: GramPixelSettings | None = None

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigurationError(_explained(error)) from None

    def destinations(self) -> list[Destination]:
        """Build the destinations that are configured.

        :raises ConfigurationError: when there is none.
        """
        if self.grampixel is None:
            msg = (
                "no destination is configured: set GP_GRAMPIXEL__API_KEY (the API key of your "
                "GramPixel workspace) and GP_GRAMPIXEL__WORKSPACE_ID (its UUID)"
            )
            raise ConfigurationError(msg)
        return [self.grampixel.build()]

    def build_store(self) -> Store:
        """Build the store.

        :raises ConfigurationError: when no store has such a URL.
        """
        try:
            return from_url(self.store)
        except ConfigurationError as error:
            msg = f"GP_STORE: {error}"
            raise ConfigurationError(msg) from None


def _explained(error: ValidationError) -> str:
    """Say which variables are wrong and what they should be, without showing their values."""
    lines = ["these settings need attention:"]
    for problem in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in problem["loc"]]
        variable = _PREFIX + _DELIMITER.join(path).upper()
        what = "missing" if problem["type"] == "missing" else problem["msg"]
        expected = _description(path)
        lines.append(f"  {variable}: {what}" + (f"; expected {expected}" if expected else ""))
    return "\n".join(lines)


def _description(path: list[str]) -> str | None:
    """Find the description of a field by its path through the nested models."""
    model: type[BaseModel] = Settings
    description: str | None = None
    nested: dict[str, type[BaseModel]] = {
        "attribution": AttributionSettings,
        "grampixel": GramPixelSettings,
    }
    for part in path:
        field = model.model_fields.get(part)
        description = field.description if field is not None else None
        model = nested.get(part, model)
    return description
