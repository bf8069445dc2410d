"""``GP_*`` environment variables and ``.env``, and what is built from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from gp_aiogram.attribution import LONGEST_WINDOW, SESSION_PATTERN, Attribution, Touch
from gp_aiogram.destinations.base import Ambiguous, Destination
from gp_aiogram.destinations.grampixel import GramPixel
from gp_aiogram.destinations.http import checked_secret, checked_url
from gp_aiogram.errors import ConfigurationError
from gp_aiogram.stores import from_url
from gp_aiogram.stores.base import Store

_PREFIX = "GP_"
_DELIMITER = "__"


def _judged_by(judge: Callable[[Any], object]) -> AfterValidator:
    """Have a value judged at once by what takes it later, which raises ConfigurationError."""

    def judged(value: Any) -> Any:
        judge(value)
        return value

    return AfterValidator(judged)


_Key = Annotated[SecretStr, _judged_by(lambda key: checked_secret("it", key.get_secret_value()))]
_URL = Annotated[str, _judged_by(lambda url: checked_url("it", url))]
_Days = Annotated[float, _judged_by(lambda days: Attribution(window=timedelta(days=days)))]
_Pattern = Annotated[str, _judged_by(lambda pattern: Attribution(pattern=pattern))]
_StoreURL = Annotated[str, _judged_by(from_url)]


class GramPixelSettings(BaseModel):
    """``GP_GRAMPIXEL__*``: arguments of :class:`~gp_aiogram.GramPixel`."""

    model_config = ConfigDict(extra="forbid")

    api_key: _Key = Field(
        description="the API key of your GramPixel workspace, without white space",
    )
    workspace_id: UUID = Field(
        description="a UUID such as 0f8fad5b-d9cb-469f-a165-70867728950e",
    )
    base_url: _URL = Field(
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
    window_days: _Days = Field(
        default=30,
        gt=0,
        le=LONGEST_WINDOW.days,
        description=f"a positive number of days, at most {LONGEST_WINDOW.days}",
    )
    pattern: _Pattern = Field(default=SESSION_PATTERN, description="a regular expression")

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
        env_file_encoding="utf-8-sig",  # as Notepad writes it, too
        extra="ignore",
    )

    store: _StoreURL = Field(
        default="sqlite:///gp.sqlite3",
        description="a URL such as sqlite:///gp.sqlite3 or memory://",
    )
    attribution: AttributionSettings = Field(
        default=AttributionSettings(),
        description="variables such as GP_ATTRIBUTION__TOUCH, or a JSON object",
    )
    grampixel: GramPixelSettings | None = Field(
        default=None,
        description="variables such as GP_GRAMPIXEL__API_KEY, or a JSON object",
    )

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
        if self.grampixel is None:
            msg = (
                "no destination is configured: set GP_GRAMPIXEL__API_KEY (the API key of your "
                "GramPixel workspace) and GP_GRAMPIXEL__WORKSPACE_ID (its UUID)"
            )
            raise ConfigurationError(msg)
        return [self.grampixel.build()]

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
