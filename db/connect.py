"""The one place where a URL becomes a connection, and where it is said what an unavailable database is."""

import asyncio
import logging
import os

import asyncpg
from dotenv import dotenv_values

from db.connection import BROKEN, Connection, works
from db.libpq.driver import open_connection
from db.libpq.target import read_target
from db.libpq.url import InvalidUrlError, plain_url
from db.pooler import open_caching

log = logging.getLogger("partywall.connect")

# No name is looked up where another role could have created what hides PostgreSQL's own. Temporary objects come last:
# an empty search_path would find them first. https://www.postgresql.org/docs/18/runtime-config-client.html#GUC-SEARCH-PATH
OWN_NAMES_ONLY = "set local search_path = pg_catalog, pg_temp"

# What says nothing about a request: the server cannot be reached, starts, stops, is full, or ended the session.
UNAVAILABLE = (
    OSError,  # TimeoutError too
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
)

TRIES = 2  # of a pipeline, until it counts that it does not work: one connection may have been lost by chance

_without_pipelines: set[str] = set()  # URLs of which the log says so


class DatabaseUnavailableError(Exception):
    """The database cannot be used right now. The message and the cause say why."""


class DatabaseReadOnlyError(DatabaseUnavailableError):
    """The database can be read but not written right now: a standby, a demoted primary, a freeze."""


def is_lost(error: BaseException, connection: Connection) -> bool:
    """Return whether `error`, raised by a statement on `connection`, means that the connection is of no more use.

    The server's last words arrive before the end of the connection does: asyncpg then raises InternalClientError for
    the next statement. It raises that and InterfaceError for mistakes of ours, too, but keeps the connection open.
    """
    if connection.is_closed():
        return isinstance(error, BROKEN)
    # A pooler may say so and stay. https://www.postgresql.org/docs/18/runtime-config-logging.html#RUNTIME-CONFIG-SEVERITY-LEVELS
    return isinstance(error, asyncpg.PostgresError) and error.severity_en in {"FATAL", "PANIC"}


def is_unavailable(error: BaseException, connection: Connection) -> bool:
    """Return whether `error`, raised in a transaction on `connection`, says that the database is unavailable."""
    refused = isinstance(error, asyncpg.PostgresError) and isinstance(error, UNAVAILABLE)
    return refused or is_lost(error, connection)


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


def sqlstate(error: BaseException | None) -> str:
    """Return the SQLSTATE that PostgreSQL gave for `error` or for what caused it; else an empty string.

    asyncpg gives some of its own errors a SQLSTATE too, and hides the server's last words behind them.
    """
    while error is not None:
        if isinstance(error, asyncpg.PostgresError) and error.severity is not None:
            return error.sqlstate or ""
        error = error.__cause__
    return ""


async def connect(
    url: str,
    *,
    application_name: str,
    statement_cache_size: int = 0,
    pipelining: bool = False,
    seconds: float | None = None,
) -> Connection:
    """Return a connection to `url`, which means what it means to libpq: `db.libpq.target` says how far.

    Timestamps come in UTC. `statement_cache_size` counts prepared statements; the URL can say 0 itself, and behind a
    pooler that cannot hold any it is 0. With `pipelining` it has a pipeline, if that works. Raises
    DatabaseUnavailableError when there is no connection within `seconds`, whatever the reason. If they are not given,
    each host has the URL's connect_timeout, or 10 seconds.
    """

    async def open_with(cache_size: int) -> Connection:
        return await open_connection(
            target, application_name=application_name, statement_cache_size=cache_size, seconds=seconds
        )

    try:
        target = read_target(url)
        cache_size = statement_cache_size if target.caches_statements else 0
        async with asyncio.timeout(seconds):
            for _ in range(TRIES if pipelining else 0):
                connection = await open_caching(url, open_with, cache_size)
                if await _can_pipeline(connection):
                    return connection
            connection = await open_caching(url, open_with, cache_size)
            connection.pipeline = None
            if pipelining:
                _tell_once(url)
            return connection
    except Exception as error:  # asyncpg raises anything when it meets what is not PostgreSQL
        raise DatabaseUnavailableError(str(error) or type(error).__name__) from error


async def _can_pipeline(connection: Connection) -> bool:
    """Return whether the connection has a pipeline that works; else it is closed, also if nobody waits any more."""
    can = False
    try:
        can = await works(connection)
    finally:
        if not can:
            connection.terminate()
    return can


def _tell_once(url: str) -> None:
    if url not in _without_pipelines:
        log.warning("a transaction cannot be sent at once: it takes three round trips")
        _without_pipelines.add(url)
