"""The one place where a URL becomes a connection, and where it is said what an unavailable database is."""

import os

import asyncpg
from asyncpg import Connection
from dotenv import dotenv_values

SECONDS_TO_CONNECT = 10.0

# No name is looked up where another role could have created what hides PostgreSQL's own. Temporary objects come last:
# an empty search_path would find them first. https://www.postgresql.org/docs/18/runtime-config-client.html#GUC-SEARCH-PATH
OWN_NAMES_ONLY = "set local search_path = pg_catalog, pg_temp"

# What says nothing about a request: the server cannot be reached, starts, stops, is full, or ended the session.
UNAVAILABLE = (
    OSError,  # TimeoutError too
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)


class DatabaseUnavailableError(Exception):
    """The database cannot be used right now. The message and the cause say why."""


def environment() -> dict[str, str]:
    """Return the environment variables, and what `.env` in the working directory says of those that are not set."""
    from_file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return {**from_file, **os.environ}


def url_from_environment(*names: str) -> str | None:
    """Return the first of these variables that is set and not empty, as `plain_url` makes it; else None."""
    values = environment()
    return next((plain_url(values[name]) for name in names if values.get(name)), None)


def plain_url(url: str) -> str:
    """Return a URL as libpq spells it. SQLAlchemy's prefix is accepted, so that one URL serves every tool."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


async def connect(
    url: str, *, application_name: str, statement_cache_size: int = 0, seconds: float = SECONDS_TO_CONNECT
) -> Connection:
    """Return a connection to `url`, which is read as libpq reads it: sslmode, a unix socket as host, PGPASSWORD.

    Timestamps come in UTC. `statement_cache_size` counts prepared statements. Raises DatabaseUnavailableError when
    there is no connection within `seconds`, whatever the reason.
    """
    try:
        connection: Connection = await asyncpg.connect(
            url,
            timeout=seconds,
            statement_cache_size=statement_cache_size,
            # PgBouncer knows both parameters.
            server_settings={"application_name": application_name, "timezone": "UTC"},
        )
    except Exception as error:  # asyncpg raises anything when it meets what is not PostgreSQL
        raise DatabaseUnavailableError(str(error) or type(error).__name__) from error
    return connection
