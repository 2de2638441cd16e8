"""The one place where a URL becomes a connection, and where it is said what an unavailable database is."""

import os

import asyncpg
from asyncpg import Connection
from dotenv import dotenv_values

from db.libpq.driver import open_connection
from db.libpq.target import read_target
from db.libpq.url import InvalidUrlError, plain_url

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
    """Return the first of these variables that is set and not empty, else None. Raises InvalidUrlError, naming it."""
    values = environment()
    for name in names:
        if url := values.get(name):
            try:
                read_target(url)
            except InvalidUrlError as error:
                raise InvalidUrlError(f"{name} {error}") from error
            return plain_url(url)
    return None


async def connect(
    url: str, *, application_name: str, statement_cache_size: int = 0, seconds: float | None = None
) -> Connection:
    """Return a connection to `url`, which means what it means to libpq: `db.libpq.target` says how far.

    Timestamps come in UTC. `statement_cache_size` counts prepared statements; the URL can say 0 itself. Raises
    DatabaseUnavailableError when there is no connection within `seconds`, whatever the reason. If they are not given,
    each host has the URL's connect_timeout, or 10 seconds.
    """
    try:
        return await open_connection(
            read_target(url),
            application_name=application_name,
            statement_cache_size=statement_cache_size,
            seconds=seconds,
        )
    except Exception as error:  # asyncpg raises anything when it meets what is not PostgreSQL
        raise DatabaseUnavailableError(str(error) or type(error).__name__) from error
