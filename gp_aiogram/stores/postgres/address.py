"""Where a store's schema is, as a DSN tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from gp_aiogram.errors import ConfigurationError, short_repr

SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")

#: Lower case, so that nobody has to quote it in psql; short enough for names made of it.
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")


@dataclass(frozen=True)
class Address:
    """A schema of a database on a server.

    :param dsn: for asyncpg, with the password; never shown.
    :param user: as far as the DSN names it.
    :param host: with its port, as far as the DSN names them.
    :param database: as far as the DSN names it.
    :param statement_cache_size: None leaves it to asyncpg.
    """

    dsn: str = field(repr=False)
    schema: str
    user: str
    host: str
    database: str
    statement_cache_size: int | None = None

    @property
    def url(self) -> str:
        """What may be shown, without password and options."""
        user = f"{self.user}@" if self.user else ""
        return f"postgresql://{user}{self.host}/{self.database}"

    def __str__(self) -> str:
        return f"{self.url}?schema={self.schema}"


def address_of(dsn: str, schema: str, statement_cache_size: int | None) -> Address:
    """Read a DSN; what it says of the schema and the statement cache wins.

    :raises ConfigurationError: when it is none; the text does not show it.
    """
    given: object = dsn
    if not isinstance(given, str) or urlsplit(given).scheme not in SCHEMES:
        msg = "PostgresStore takes a DSN such as 'postgresql://user:password@host:5432/database'"
        raise ConfigurationError(msg)
    parts = urlsplit(dsn)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    schema = options.pop("schema", schema)
    cache = options.pop("statement_cache_size", statement_cache_size)
    login, _, hosts = parts.netloc.rpartition("@")
    return Address(
        dsn=urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(options), "")),
        schema=_validated_schema(schema),
        user=unquote(login.partition(":")[0]) or options.get("user", ""),
        host=hosts or options.get("host", ""),
        database=unquote(parts.path.removeprefix("/")) or options.get("database", ""),
        statement_cache_size=_validated_size(cache),
    )


def _validated_schema(schema: object) -> str:
    if isinstance(schema, str) and _SCHEMA.fullmatch(schema) and not schema.startswith("pg_"):
        return schema
    msg = (
        "schema= must be a name of lower-case letters, digits and underscores, at most 48 and not "
        f"beginning with pg_, such as 'gp'; not {short_repr(schema)}"
    )
    raise ConfigurationError(msg)


def _validated_size(size: object) -> int | None:
    if size is None:
        return None
    if not isinstance(size, bool) and re.fullmatch(r"\d{1,6}", str(size)):
        return int(str(size))
    msg = f"statement_cache_size= must be a number of statements, 0 for none, not {size!r}"
    raise ConfigurationError(msg)
