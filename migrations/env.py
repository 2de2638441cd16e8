"""Runs the migrations, as an ordinary login that becomes app_owner.

One transaction per revision; one pipeline at a time; no statement waits long for a lock that the running
API would then queue behind. `alembic upgrade head --sql` prints the same statements for a DBA to run.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

import asyncpg
from alembic import context
from alembic.util import CommandError
from sqlalchemy import AdaptedConnection, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db import audit, schema
from db.connect import DatabaseUnavailableError, connect, url_from_environment

# Session-level, so that they span the revisions' transactions; they end with the connection.
# The wait for another pipeline may be long, a migration's wait for a table's lock may not:
# every request that comes after it queues behind it.
PREAMBLE = (
    "set lock_timeout = '10min'",
    "set statement_timeout = 0",
    "select pg_advisory_lock(hashtextextended('partywall migrations', 0))",
    "set lock_timeout = '5s'",
    "set statement_timeout = '5min'",
    """
do $$
begin
    if not exists (select from pg_roles where rolname = 'app_owner' and pg_has_role(oid, 'member')) then
        raise exception 'login "%" is not a member of app_owner', current_user
            using hint = 'Run db/roles.sql as an administrator, then: grant app_owner to the login.';
    end if;
end
$$""",
    # Before `set role`: the right to create schemas may be the login's, as the database's owner.
    """
do $$
declare
    name text;
begin
    foreach name in array array['app', 'audit', 'migrations'] loop
        if to_regnamespace(name) is null then
            execute format('create schema %I authorization app_owner', name);
        end if;
    end loop;
end
$$""",
    "set role app_owner",
    "comment on schema migrations is 'The revision of the schema, kept by Alembic.'",
)


def is_ours(name: str | None, type_: str, _parents: object) -> bool:
    """Return whether `alembic check` compares an object: schema `app` is ours."""
    return type_ != "schema" or name == schema.metadata.schema


def defaults_differ(*arguments: object) -> bool:
    """Return whether a column's default drifted; our uuidv7() on servers before 18 is not a drift."""
    _context, _inspected_column, _column, inspected, _default, expected = arguments
    return str(inspected).replace("app.uuidv7()", "uuidv7()") != str(expected)


def configure(execute: Callable[[str], object], **target: object) -> None:
    """Configure Alembic for `target`, a connection or a dialect, and prepare its session."""
    context.configure(
        target_metadata=schema.metadata,
        transaction_per_migration=True,
        version_table_schema="migrations",
        include_schemas=True,
        include_name=is_ours,
        compare_server_default=defaults_differ,
        **target,  # type: ignore[arg-type]  # either of two keyword arguments
    )
    for statement in PREAMBLE:
        execute(statement)


def upgrades_to_head() -> bool:
    """Return whether the alembic command is `upgrade head`: then the audit of this version is installed."""
    try:
        return context.get_revision_argument() == context.get_head_revision()
    except KeyError:  # it has no destination: check, current
        return False


def install_audit(connection: Connection) -> None:
    """Install the audit of this version. One message, hence all of it or nothing."""
    connection.commit()
    adapted = cast("AdaptedConnection", connection.connection.dbapi_connection)
    adapted.run_async(lambda driver: driver.execute(audit.installation()))


def migrate(connection: Connection) -> None:
    """Run what the alembic command asks for. Raises CommandError with what PostgreSQL said."""
    # The prose of the schema stands once, in `comment on`; the metadata does not repeat it.
    connection.dialect.supports_comments = False
    try:
        configure(connection.exec_driver_sql, connection=connection)
        connection.commit()
        with context.begin_transaction():
            context.run_migrations()
        if upgrades_to_head():
            install_audit(connection)
    except asyncpg.PostgresError as error:
        raise CommandError(f"the audit cannot be installed: {error}") from error
    except DBAPIError as error:
        reason = error.orig.__cause__ if error.orig else error  # asyncpg's own error has the detail and the hint
        statement = "" if error.statement in PREAMBLE else f"\nThe statement was: {error.statement}"
        raise CommandError(f"{reason}{statement}") from error


async def online() -> None:
    """Migrate the database of MIGRATION_DATABASE_URL. Raises CommandError when it cannot be reached."""
    # A direct connection, by a login that is a member of app_owner: the settings above outlive a transaction.
    if (url := url_from_environment("MIGRATION_DATABASE_URL", "DATABASE_URL")) is None:
        raise CommandError("MIGRATION_DATABASE_URL is not set (nor DATABASE_URL): nothing to migrate")

    async def open_connection() -> asyncpg.Connection:
        try:
            return await connect(url, application_name="partywall migrations")
        except DatabaseUnavailableError as error:
            raise CommandError(f"cannot connect to MIGRATION_DATABASE_URL: {error}") from error

    engine = create_async_engine("postgresql+asyncpg://", async_creator=open_connection, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)


logging.basicConfig(format="%(message)s")
logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
if context.is_offline_mode():
    configure(context.execute, dialect_name="postgresql", dialect_opts={"paramstyle": "named"})
    context.run_migrations()
    if upgrades_to_head():
        context.execute(f"begin;\n{audit.installation()}\ncommit")
else:
    asyncio.run(online())
