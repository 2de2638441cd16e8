"""Runs the migrations, as an ordinary login that becomes app_owner.

One transaction per revision; one pipeline at a time; no statement waits long for a lock that the running
API would then queue behind. `alembic upgrade head --sql` prints the same statements for a DBA to run.
Whatever arrives at the newest revision installs the audit of this version.
"""

import asyncio
import io
import logging
import re
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import TypeVar, cast

import asyncpg
from alembic import command, context
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import AdaptedConnection, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db import audit, drift, schema
from db.connect import DatabaseUnavailableError, connect, url_from_environment
from db.revision import (
    BrokenChainError,
    ForeignSchemaError,
    read_migrations,
    read_schema,
    record,
    require_ours,
)

Result = TypeVar("Result")

log = logging.getLogger("partywall.migrations")
reached: set[str] = set()  # the revisions of the schema after the last step of this run, if there was one

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
        process_revision_directives=report_drift,
        on_version_apply=record_revisions,  # type: ignore[arg-type]  # it is called with keywords
        **target,  # type: ignore[arg-type]  # either of two keyword arguments
    )
    for statement in PREAMBLE:
        execute(statement)


def record_revisions(*, ctx: MigrationContext, heads: Collection[str], **_: object) -> None:
    """Record in the database which revisions the schema includes now, in the transaction of the step."""
    reached.clear()
    reached.update(heads)
    included = [script.revision for script in context.script.iterate_revisions(tuple(heads), "base")] if heads else []
    ctx.execute(record(reversed(included)))


def report_drift(migration_context: MigrationContext, _revision: object, scripts: list[MigrationScript]) -> None:
    """Print how the database and db/schema.py differ, for `alembic check`. Raises CommandError if they do."""
    (operations,) = scripts[0].upgrade_ops_list
    blocks = drift.differences(operations, migration_context.dialect)
    if blocks:
        context.config.print_stdout("%s", "\n\n".join(blocks))
        raise CommandError(f"{len(blocks)} objects differ between the database and db/schema.py: see above")


def arrived() -> bool:
    """Return whether the run leaves the schema at the newest revision. If it was to go elsewhere, say so."""
    try:
        context.get_revision_argument()
    except KeyError:  # the command has no destination: check, current
        return False
    revisions = reached or context.get_context().get_current_heads()
    heads = context.script.get_heads()
    if set(revisions) == set(heads):
        return True
    log.info(
        "stopped at %s: the audit is left as it was, and installed when %s is reached: alembic upgrade head",
        ", ".join(sorted(revisions)) or "base",
        ", ".join(heads),
    )
    return False


def run(connection: Connection, work: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
    """Return what `work` returns on the driver's connection, outside of any transaction."""
    connection.commit()
    adapted = cast("AdaptedConnection", connection.connection.dbapi_connection)
    return adapted.run_async(work)


def require_our_schema(connection: Connection) -> None:
    """Return if the migrations may change the schema. Raises CommandError."""
    try:
        ours = read_migrations(Path(__file__).with_name("versions"))
        if not context.get_context().purge:  # `alembic stamp --purge` overrules what the database says
            require_ours(run(connection, read_schema), ours)
    except (BrokenChainError, ForeignSchemaError) as error:
        raise CommandError(f"{error}; nothing was done") from error


def migrate(connection: Connection) -> None:
    """Run what the alembic command asks for. Raises CommandError with what PostgreSQL said."""
    # The prose of the schema stands once, in `comment on`; the metadata does not repeat it.
    connection.dialect.supports_comments = False
    try:
        configure(connection.exec_driver_sql, connection=connection)
        require_our_schema(connection)
        with context.begin_transaction():
            context.run_migrations()
        if arrived():
            # One message, hence all of it or nothing.
            run(connection, lambda driver: driver.execute(audit.installation()))
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


def offline() -> None:
    """Print the SQL of what the alembic command asks for."""
    configure(context.execute, dialect_name="postgresql", dialect_opts={"paramstyle": "named"})
    context.run_migrations()
    if arrived():
        context.execute(f"begin;\n{audit.installation()}\ncommit")


def makes_a_file() -> bool:
    """Return whether the alembic command is `revision` or `merge`, which need no database."""
    return getattr(context.config.cmd_opts, "cmd", [None])[0] in {command.revision, command.merge}


def make_a_file() -> None:
    """Let Alembic make the file of a new revision, numbered if it can be."""
    if getattr(context.config.cmd_opts, "autogenerate", False):
        raise CommandError("migrations are SQL, written by hand: without --autogenerate")
    context.configure(
        dialect_name="postgresql", as_sql=True, output_buffer=io.StringIO(), process_revision_directives=give_number
    )
    context.run_migrations()


def give_number(_context: object, _revision: object, scripts: list[MigrationScript]) -> None:
    """Give a new revision the next number as its id. One that has an id keeps it; hashes are followed by a hash."""
    (script,) = scripts
    if not script.message:
        raise CommandError('say what the revision is for: alembic revision -m "add notes"')
    ids = [revision.revision for revision in context.script.walk_revisions()]
    followed = context.script.get_revisions(script.head or "head")
    if not getattr(context.config.cmd_opts, "rev_id", None) and all(is_number(one.revision) for one in followed):
        script.rev_id = f"{max((int(id_) for id_ in ids if is_number(id_)), default=0) + 1:04}"


def is_number(revision: str) -> bool:
    """Return whether a revision's id is a number as we give them: 0001."""
    return re.fullmatch(r"[0-9]{4}", revision) is not None


logging.basicConfig(format="%(message)s")
log.setLevel(logging.INFO)
if makes_a_file():
    make_a_file()
else:
    logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
    offline() if context.is_offline_mode() else asyncio.run(online())
