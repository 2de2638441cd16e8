"""Designs of tables on which --prove is tried: each is SQL that is run and rolled back."""

import asyncio

import asyncpg

from db.audit.prove import Proof, prove
from tests.support.database import Url
from tests.support.twins import OWN, tenant_table

NOTES = f"""
    create schema scratch authorization app_owner;
    grant usage on schema scratch to app_api;
    {tenant_table("scratch.notes")}
"""
# Rows of others, for what names no tenant.
REAL = "insert into scratch.notes (user_id, body) select 'user ' || n % 9, 'real' from generate_series(1, 99) as n;"
MINE = f"to app_api using ({OWN}) with check ({OWN})"


def protect(table: str, grants: str, policy: str = MINE) -> str:
    """Return the SQL that gives a table the policy of every tenant table, and privileges."""
    return f"""
        alter table {table} owner to app_owner;
        alter table {table} enable row level security, force row level security;
        create policy own on {table} {policy};
        grant {grants} on {table} to app_api;
    """


def accept(*keys: str) -> str:
    """Return the SQL that accepts findings."""
    rows = ", ".join(f"('{key}', '', 'For this test.')" for key in keys)
    return f"create or replace view audit.accepted (key, fingerprint, reason) as values {rows};"


def example(table: str, row: str) -> str:
    """Return the SQL that tells values of a row of a table."""
    return f"create or replace view audit.examples as select '{table}' as \"table\", '{row}'::jsonb as \"row\";"


# What all tenants share.
KIND = """
    create table scratch.kinds (code text primary key, label text); insert into scratch.kinds values ('a', 'A');
    alter table scratch.kinds owner to app_owner; grant select on scratch.kinds to app_api;
"""
# References that are to name the tenant: it is filled in, or it is not. Each tenant can have one row only.
TREE = f"""
    create table scratch.tree (
        user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(), parent uuid,
        name text not null check (name in ('only')), primary key (user_id, id), unique (user_id, name), unique (id),
        foreign key ({{}}parent) references scratch.tree ({{}}id));
    {protect("scratch.tree", "select, delete, insert (parent, name), update (name)")}
"""
# The same in a circle.
CYCLE = f"""
    create table scratch.teams (
        user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(), lead uuid,
        primary key (user_id, id), unique (id));
    create table scratch.people (
        user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(),
        team uuid not null, primary key (user_id, id), unique (id),
        foreign key ({{}}team) references scratch.teams ({{}}id));
    alter table scratch.teams add foreign key ({{}}lead) references scratch.people ({{}}id);
    {protect("scratch.teams", "select, delete, insert (lead), update (lead)")}
    {protect("scratch.people", "select, delete, insert (team), update (team)")}
"""


def proof_of(url: Url, design: str) -> Proof:
    """Return what --prove says of a design, which is rolled back."""

    async def run() -> Proof:
        connection = await asyncpg.connect(url("postgres"), statement_cache_size=0)
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(NOTES + design)
            return await prove(connection)
        finally:
            await transaction.rollback()
            await connection.close()

    return asyncio.run(run())
