"""Runs the migrations, as an ordinary login that becomes app_owner.

One transaction per revision; one pipeline at a time; no statement waits long for a lock that the running
API would then queue behind. `alembic upgrade head --sql` prints the same statements for a DBA to run.
Whatever arrives at the newest revision installs the audit of this version.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import TypeVar, cast

import asyncpg
from alembic import context
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import AdaptedConnection, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db import audit, schema
from db.citus import ON_WORKER, is_worker
from db.connect import DatabaseUnavailableError, connect, url_from_environment
from db.libpq.url import InvalidUrlError
from db.revision import BrokenChainError, ForeignSchemaError, read_migrations, read_schema, record, require_ours
from migrations import drift, new_revision, preamble, session

Result = TypeVar("Result")

log = logging.getLogger("partywall.migrations")
steps: list[Collection[str]] = []  # the revisions of the schema after each step of this run


def is_ours(name: str | None, type_: str, _parents: object) -> bool:
    """Return whether `alembic check` compares an object: schema `app` is ours."""
    return type_ != "schema" or name == schema.metadata.schema


def defaults_differ(*arguments: object) -> bool:
    """Return whether a column's default drifted; our uuidv7() on servers before 18 is not a drift."""
    _context, _inspected_column, _column, inspected, _default, expected = arguments
    return str(inspected).replace("app.uuidv7()", "uuidv7()") != str(expected)


def report_drift(migration_context: MigrationContext, _revision: object, scripts: list[MigrationScript]) -> None:
    """Print how the database and db/schema.py differ, for `alembic check`. Raises CommandError if they do."""
    (operations,) = scripts[0].upgrade_ops_list
    if blocks := drift.differences(operations, migration_context.dialect):
        context.config.print_stdout("%s", "\n\n".join(blocks))
        raise CommandError("the database differs from db/schema.py: see above")


def record_step(*, ctx: MigrationContext, heads: Collection[str], **_: object) -> None:
    """Record in the database, in the transaction of a step, which revisions the schema includes after it."""
    steps.append(heads)
    included = [script.revision for script in context.script.iterate_revisions(tuple(heads), "base")] if heads else []
    ctx.execute(record(reversed(included)))


def configure(execute: Callable[[str], object], **target: object) -> None:
    """Configure Alembic for `target`, a connection or a dialect, and prepare its session."""
    context.configure(
        target_metadata=schema.metadata,
        transaction_per_migration=True,
        version_table_schema="migrations",
        include_schemas=True,
        include_name=is_ours,
        compare_server_default=defaults_differ,
        process_revision_directives=report_drift,
        on_version_apply=record_step,  # type: ignore[arg-type]  # it is called with keywords
        **target,  # type: ignore[arg-type]  # either of two keyword arguments
    )
    for statement in preamble.STATEMENTS:
        execute(statement)


def arrived() -> bool:
    """Return whether the run leaves the schema at the newest revision. If it was to go elsewhere, say so."""
    try:
        context.get_revision_argument()
    except KeyError:  # the command has no destination: check, current
        return False
    revisions = steps[-1] if steps else context.get_context().get_current_heads()
    if set(revisions) == {ours.head}:
        return True
    at = ", ".join(revisions) or "base"
    log.info("stopped at %s: the audit stays as it is until %s is reached: alembic upgrade head", at, ours.head)
    return False


def run(connection: Connection, work: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
    """Return what `work` returns on the driver's connection, outside of any transaction."""
    connection.commit()
    adapted = cast("AdaptedConnection", connection.connection.dbapi_connection)
    return adapted.run_async(work)


def migrate(connection: Connection) -> None:
    """Run what the alembic command asks for. Raises CommandError with what PostgreSQL said."""
    # The prose of the schema stands once, in `comment on`; the metadata does not repeat it.
    connection.dialect.supports_comments = False
    try:
        if run(connection, is_worker):
            raise CommandError(f"{ON_WORKER} Nothing was done.")
        configure(connection.exec_driver_sql, connection=connection)
        if not context.get_context().purge:  # `alembic stamp --purge` overrules what the database says
            require_ours(run(connection, read_schema), ours)
        with context.begin_transaction():
            context.run_migrations()
        if arrived():
            # One message, hence all of it or nothing.
            run(connection, lambda driver: driver.execute(audit.installation()))
    except ForeignSchemaError as error:
        raise CommandError(f"{error}: nothing was done") from error
    except asyncpg.PostgresError as error:
        raise CommandError(f"the audit cannot be installed: {error}") from error
    except DBAPIError as error:
        reason = error.orig.__cause__ if error.orig else error  # asyncpg's own error has the detail and the hint
        hint = "\nOne statement per op.execute." if "multiple commands" in str(reason) else ""
        if error.statement == preamble.BECOME_OWNER:
            hint = "\nRun db/roles.sql as an administrator, then: grant app_owner to the login."
        statement = "" if error.statement in preamble.STATEMENTS else f"\nThe statement was: {error.statement}"
        raise CommandError(f"{reason}{hint}{statement}") from error


async def online() -> None:
    """Migrate the database of MIGRATION_DATABASE_URL. Raises CommandError when it cannot be reached."""
    # A session of its own, by a login that is a member of app_owner: what the preamble sets outlives a transaction.
    try:
        url = url_from_environment("MIGRATION_DATABASE_URL", "DATABASE_URL")
    except InvalidUrlError as error:
        raise CommandError(str(error)) from error
    if url is None:
        raise CommandError("MIGRATION_DATABASE_URL is not set (nor DATABASE_URL): nothing to migrate")

    open_another = partial(connect, url, application_name="partywall migrations")

    async def open_connection() -> asyncpg.Connection:
        try:
            connection = await open_another()
            is_own = await session.is_own(connection, open_another)
        except (DatabaseUnavailableError, asyncpg.PostgresError) as error:
            raise CommandError(f"cannot connect to MIGRATION_DATABASE_URL or else DATABASE_URL: {error}") from error
        if not is_own:
            raise CommandError(session.NOT_OWN)
        await connection.execute(preamble.OWN_NAMES_ONLY)  # SQLAlchemy's first statements come before the preamble
        return connection

    engine = create_async_engine("postgresql+asyncpg://", async_creator=open_connection, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)


def offline() -> None:
    """Print the SQL of what the alembic command asks for."""
    configure(context.execute, dialect_name="postgresql", dialect_opts={"paramstyle": "named"})
    context.run_migrations()
    if arrived():
        context.execute(f"begin;\n{audit.installation()}\ncommit")


logging.basicConfig(format="%(message)s")
if new_revision.is_wanted():
    new_revision.make()
else:
    for logger in (log, logging.getLogger("alembic.runtime.migration")):
        logger.setLevel(logging.INFO)
    try:
        ours = read_migrations()
    except BrokenChainError as error:
        raise CommandError(str(error)) from error
    if context.is_offline_mode():
        offline()
    else:
        asyncio.run(online())
