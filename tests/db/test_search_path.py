"""Names that somebody else created in front of PostgreSQL's own: no statement of ours finds them.

Mallory may create in schema `public`, and in one that the search_path of roles and database names first.
"""

import asyncio
import re
from uuid import UUID

import httpx2
import psycopg
import pytest
from psycopg import errors, sql

from api.health.readiness import Reason, find_reasons
from db.audit import find
from db.audit.prove import prove
from db.connect import connect
from db.pool import Pool
from db.session import Session
from tests.support.database import Url, alembic, url_to
from tests.support.routes import COLLECTIONS, NEEDS_TOKEN, call, create

# Each function is found before PostgreSQL's own wherever search_path leads to it: by a better match, or by its place.
TRAP = "{} language plpgsql as $$begin raise exception 'fell into the trap: {}'; end$$;"
FUNCTIONS = (
    "to_json(app.tasks) returns json",
    "to_json(timestamptz) returns json",
    "quote_ident(name) returns text",
    "coalesce(text, text) returns text",
    "concat(text, text, text) returns text",
    "count() returns bigint",
    "now() returns timestamptz",
    "current_setting(text, boolean) returns text",
    "json_build_object(text, text) returns json",
    "json_to_recordset(json) returns setof record",
    "obj_description(oid, text) returns text",
    "format(text, text) returns text",
    "uuidv7() returns uuid",
    "set_config(text, text, boolean) returns text",
    "has_schema_privilege(oid, oid, text) returns boolean",
)
OPERATORS = [
    (operator, *operands)
    for operator in ("=", "<", ">", "<>", "||", "+", "-", "~")
    for operands in (("text", "text"), ("name", "text"), ("name", "name"), ("uuid", "uuid"), ("oid", "oid"))
] + [("=", '"char"', '"char"'), ("->>", "jsonb", "text"), ("=", "boolean", "boolean"), ("=", "bytea", "bytea")]


def traps(schema: str) -> str:
    """Return the SQL that fills a schema."""
    made = "".join(f"create function {schema}.{TRAP.format(each, each)}" for each in FUNCTIONS)
    for place, (operator, left, right) in enumerate(OPERATORS):
        function = f"trap_{place}(a {left}, b {right}) returns boolean"
        made += f"create function {schema}.{TRAP.format(function, operator)}"
        operands = f"leftarg = {left}, rightarg = {right}"
        made += f"create operator {schema}.{operator} (function = {schema}.trap_{place}, {operands});"
    made += f"create function {schema}.{TRAP.format('step(a text, b text) returns text', 'an aggregate')}"
    for aggregate in ("array_agg(text)", "string_agg(text)", "max(text)", "min(text)"):
        made += f"create aggregate {schema}.{aggregate} (sfunc = {schema}.step, stype = text, initcond = '');"
    for name in ("text", "uuid", "boolean", "integer", "json", "jsonb", "regclass", "timestamptz"):
        made += f"create domain {schema}.{name} as pg_catalog.text check (false);"
    for name in ("pg_class", "pg_proc", "pg_namespace", "pg_roles", "pg_policy", "pg_database"):
        made += f"create view {schema}.{name} as select 1 as trapped;"
    # While the API may call a function that no release made, it does not serve. It may not, so to find one is an error.
    return f"""{made}
        grant usage on schema {schema} to public;
        revoke execute on all functions in schema {schema} from public;
        grant execute on all functions in schema {schema} to app_migrator, app_auditor;
    """


@pytest.fixture(params=["public", "evil"])
def trapped(admin: psycopg.Connection, request: pytest.FixtureRequest) -> psycopg.Connection:
    """Return the database, with traps in `public`, or in a schema in front of pg_catalog for everybody."""
    schema = request.param
    if schema == "evil":
        admin.execute("create schema evil")
    admin.execute(traps(schema).encode(), prepare=False)
    path = [sql.Identifier(name) for name in (admin.info.dbname, schema)]
    admin.execute(sql.SQL("alter database {} set search_path = {}, pg_catalog").format(*path))
    for role in ("app_api", "app_migrator", "app_auditor"):
        name = sql.Identifier(role)
        admin.execute(sql.SQL("alter role {} in database {} set search_path = {}, pg_catalog").format(name, *path))
    admin.commit()
    return admin


@pytest.mark.usefixtures("trapped")
def test_the_traps_work(url: Url) -> None:
    with (
        psycopg.connect(url("app_migrator")) as connection,
        pytest.raises(errors.RaiseException, match="fell into the trap"),
    ):
        connection.execute("select quote_ident('a'::name), 'a'::name = 'b'::text")


@pytest.mark.usefixtures("trapped")
def test_every_route_serves_as_ever(alice: httpx2.Client, bob: httpx2.Client) -> None:
    for collection, one in COLLECTIONS.items():
        key = {"Idempotency-Key": re.sub(r"\W", "-", collection)}
        row = create(alice, collection, **key)
        assert create(alice, collection, **key) == row
        for route in NEEDS_TOKEN:
            if route[1] in {collection, one}:
                create(bob, collection)
                assert call(alice, route, create(alice, collection)).status_code < 300, route
                assert call(bob, route, row).status_code < 500, route
    assert alice.get("/health").status_code == 200


@pytest.fixture
def trapped_before(trapped: psycopg.Connection, url: Url) -> psycopg.Connection:
    """Return the database with the traps, before any migration."""
    for schema in ("public", "evil"):  # it depends on the table
        trapped.execute(f"drop function if exists {schema}.to_json(app.tasks)".encode())
    trapped.commit()
    alembic(url("app_migrator"), "downgrade", "base")
    return trapped


def test_migrations_and_what_they_install_bind_to_no_trap(trapped_before: psycopg.Connection, url: Url) -> None:
    for arguments in (("upgrade", "head"), ("check",)):
        alembic(url("app_migrator"), *arguments)
    assert bound_to_traps(trapped_before) == []


def test_the_printed_migrations_bind_to_no_trap(trapped_before: psycopg.Connection, url: Url) -> None:
    trapped_before.execute("drop table migrations.alembic_version")
    trapped_before.commit()
    script = alembic(url("app_migrator"), "upgrade", "head", "--sql").stdout
    with psycopg.connect(url("app_migrator"), autocommit=True) as connection:
        connection.execute(script.encode(), prepare=False)
    assert bound_to_traps(trapped_before) == []


def bound_to_traps(admin: psycopg.Connection) -> list[tuple[str]]:
    """Return what of ours depends on what is in the schemas of the traps."""
    return admin.execute("""
        with traps as (
            select 'pg_catalog.pg_proc'::pg_catalog.regclass as catalog, oid from pg_catalog.pg_proc
            where pronamespace operator(pg_catalog.=) any (array(
                select oid from pg_catalog.pg_namespace
                where nspname operator(pg_catalog.=) any ('{public,evil}'::pg_catalog.name[])))
        )
        select pg_catalog.pg_describe_object(classid, objid, objsubid) from pg_catalog.pg_depend
        join traps on catalog operator(pg_catalog.=) refclassid and oid operator(pg_catalog.=) refobjid
        where pg_catalog.pg_describe_object(classid, objid, objsubid) operator(pg_catalog.~) '(app|audit|migrations)[.]'
    """).fetchall()


def test_a_superuser_who_reads_the_findings_calls_nothing_of_mallorys(admin: psycopg.Connection) -> None:
    """As it was: `alembic upgrade head` bound public.quote_ident(name) into a view of the audit."""
    admin.execute("create role mallory login")
    try:
        admin.execute("""
            grant create on schema public to mallory;
            grant usage on language plpgsql to mallory;
            set role mallory;
        """)
        admin.execute("""
            create function public.quote_ident(name) returns text language plpgsql as $$
            begin
                execute 'alter role mallory superuser';
                return pg_catalog.quote_ident($1::text);
            end $$
        """)
        admin.execute("reset role")
        admin.commit()
        for arguments in (("downgrade", "base"), ("upgrade", "head")):
            alembic(url_to(admin, "app_migrator"), *arguments)
        admin.execute("select * from audit.findings").fetchall()
        admin.execute("select * from audit.policies").fetchall()
        assert admin.execute("select rolsuper from pg_roles where rolname = 'mallory'").fetchone() == (False,)
    finally:
        admin.rollback()
        admin.execute("drop owned by mallory cascade")
        admin.execute("drop role mallory")
        admin.commit()


@pytest.mark.usefixtures("trapped")
def test_the_audit_and_the_proof_call_no_trap(url: Url) -> None:
    async def audit() -> list[str]:
        connection = await connect(url("app_api"), application_name="test")
        try:
            found = await find(connection)
            proof = await prove(connection)
            return [each.detail for each in (*found, *proof.findings) if "fell into" in each.detail]
        finally:
            await connection.close()

    assert asyncio.run(audit()) == []


def test_the_readiness_check_cannot_be_blinded(trapped: psycopg.Connection, url: Url) -> None:
    """As it was: an operator that returned false for `session_user <> 'app_api'`."""
    trapped.execute("grant usage on schema audit, migrations to app_migrator")
    trapped.commit()

    async def reasons() -> list[Reason]:
        connection = await connect(url("app_migrator"), application_name="test")
        try:
            return await find_reasons(connection)
        finally:
            await connection.close()

    assert asyncio.run(reasons())[0].startswith("DATABASE_URL logs in as app_migrator")


@pytest.mark.anyio
@pytest.mark.usefixtures("trapped")
async def test_temporary_objects_of_a_pooled_connection_hide_nothing(url: Url) -> None:
    """An injected statement may leave some behind: whoever gets the connection next is not to find them."""
    async with Pool(url("app_api"), size=1) as pool:
        mallory = Session(pool, "mallory", read_only=False)
        for statement in (
            "create domain pg_temp.uuid as text check (false)",
            "create domain pg_temp.text as int check (false)",
            "create table pg_temp.pg_class (id int)",
            "create table pg_temp.tasks (id int)",
        ):
            await mallory.fetch(statement)
        assert await mallory.fetchval("select pg_my_temp_schema()") != 0
        alice = Session(pool, "alice", read_only=True)
        assert await alice.fetchval("select $1::uuid::text::uuid", UUID(int=7)) == UUID(int=7)
        assert await alice.fetchval("select relkind from pg_class where oid = 'pg_proc'::regclass") == b"r"


def test_temporary_types_and_tables_of_a_caller_run_nothing_as_the_owner(url: Url) -> None:
    """The functions of workspaces run as app_owner, and so do triggers while a workspace is being deleted."""
    with psycopg.connect(url("app_api"), autocommit=True) as mallory:
        mallory.execute("""
            create table pg_temp.log (who name);
            grant all on pg_temp.log to public;
            create function pg_temp.note(anyelement) returns boolean language sql volatile
                as 'insert into pg_temp.log select current_user; select true';
            create table pg_temp.pg_dist_shard (logicalrelid regclass, shardid int);
            insert into pg_temp.pg_dist_shard values ('app.workspaces', 1), ('app.invitations', 2);
            grant all on pg_temp.pg_dist_shard to public;
        """)
        for name in ("text", "uuid", "bytea", "name", "record", "regclass", "int8"):
            base = "text" if name in {"record", "int8"} else name
            mallory.execute(f"create domain pg_temp.{name} as pg_catalog.{base} check (pg_temp.note(value))")
        act_in_a_workspace(mallory)
        assert mallory.execute("select distinct who from pg_temp.log").fetchall() == []


def act_in_a_workspace(mallory: psycopg.Connection) -> None:
    """Make a workspace, let another owner in and leave, delete it."""
    own, other = "mallory", "mallory again"

    def as_(user: str, statement: str, workspace: str = "") -> list[tuple[object, ...]]:
        with mallory.transaction():
            mallory.execute(f"set local app.user_id = '{user}'; set local app.workspace_id = '{workspace}'")
            cursor = mallory.execute(statement)
            return cursor.fetchall() if cursor.description else []

    [(workspace,)] = as_(own, "select id::pg_catalog.text from app.create_workspace('x')")
    as_(
        own,
        "insert into app.invitations (token_hash, role, expires_at) values (sha256('x'), 'owner', 'infinity')",
        str(workspace),
    )
    as_(other, "select app.accept_invitation(sha256('x'))")
    as_(own, "update app.members set role = 'editor' where user_id = 'mallory again'", str(workspace))
    as_(own, "delete from app.members where user_id = 'mallory again'", str(workspace))
    as_(own, "delete from app.workspaces", str(workspace))
