"""Healthy designs, on which --prove is silent: it makes up a row, or tries what it can without one."""

import json

import pytest

from db.audit.attempts import Attempt
from db.audit.prove import Proof
from tests.support.database import Url
from tests.support.designs import CYCLE, KIND, TREE, accept, example, proof_of, protect
from tests.support.twins import OWN, PARTITION_WITH_RLS, tenant_table

BODY = f"""
    create table scratch.things (
        user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(),
        body {{}}, primary key (user_id, id));
    {protect("scratch.things", "select, delete, insert (body), update (body)")}
"""
CHECKED = {
    "text that matches an expression": "text not null check (body ~ '^[A-Z]{3}-[0-9]+$')",
    "an address": "text not null check (body ~ '^[^@[:space:]]+@[^@]+[.][a-z]{2,}$' and char_length(body) <= 100)",
    "text of a length": "text not null check (char_length(body) between 8 and 20)",
    "text of a length that matches an expression": "text not null check (body ~ '^[a-z-]+$') check (length(body) > 5)",
    "text of a list": "text not null check (body in ('it''s a draft', 'done'))",
    "a number of a range": "integer not null check (body > 100 and body < 200)",
    "JSON that is an array": "jsonb not null check (jsonb_typeof(body) = 'array')",
    "JSON with a member": "jsonb not null check (body ? 'kind')",
    "JSON that has two members": "jsonb not null check (body ? 'kind' and body ? 'size')",
    "an array of a length": "integer[] not null check (array_length(body, 1) = 3)",
    "a network": "inet not null",
    "a range": "int4range not null",
    "ranges": "datemultirange not null",
    "a range that is not empty": "daterange not null check (not isempty(body))",
    "a point": "point not null",
    "bits": "bit(8) not null",
    "a hardware address": "macaddr not null",
    "money": "money not null",
}


def tenant_of(type_: str, caller: str) -> str:
    return tenant_table("scratch.things", type_, caller)


HEALTHY = {
    **{f"a column with {name}": BODY.format(definition) for name, definition in CHECKED.items()},
    "an enum": "create type scratch.colour as enum ('red'); " + BODY.format("scratch.colour not null"),
    "a domain of text": "create domain scratch.slug as text check (value ~ '^[a-z0-9-]{3,30}$'); "
    + BODY.format("scratch.slug not null"),
    "a vector": "create domain scratch.vector as real[] not null check (array_length(value, 1) = 3); "
    + BODY.format("scratch.vector"),
    "a domain of a domain": "create domain scratch.a as text check (value <> '1'); create domain scratch.b as scratch.a"
    " check (length(value) = 4); " + BODY.format("scratch.b not null"),
    "a tenant that is a bigint": tenant_of("bigint", "app.current_user_id()::bigint"),
    "a tenant that is an integer": tenant_of("integer", "app.current_user_id()::integer"),
    "a tenant that is a uuid": tenant_of("uuid", "app.current_user_id()::uuid"),
    "a tenant that is a short varchar": tenant_of("varchar(20)", "app.current_user_id()"),
    "a tenant that is a domain": "create domain scratch.user_id as text check (value ~ '^[a-z0-9-]{5,64}$'); "
    + tenant_of("scratch.user_id", "app.current_user_id()"),
    "a tenant that is a domain of bigint": "create domain scratch.user_id as bigint check (value > 0); "
    + tenant_of("scratch.user_id", "app.current_user_id()::bigint"),
    "a tenant with ids of its own form": "create domain scratch.user_id as text check (value ~ '^user_.{4}$'); "
    + tenant_of("scratch.user_id", "app.current_user_id()")
    + example("scratch.things", '{"user_id": ["user_aa\\u0027a", "user_bbbb", "user_cccc"]}'),
    "tables that refer to each other": CYCLE.format(*["user_id, "] * 6),
    "a table that refers to itself": TREE.format("user_id, ", "user_id, "),
    "a table without columns": f"create table scratch.nothing (); grant select on scratch.nothing to app_api; "
    f"{accept('tenant_column_missing:scratch.nothing')}",
    "a list by tenant": PARTITION_WITH_RLS + "insert into scratch.events (user_id, body) values ('alice', 'real');",
    "a hash of the tenant": f"""
        {tenant_table("scratch.events", more="partition by hash (user_id)")}
        create table scratch.events_0 partition of scratch.events for values with (modulus 2, remainder 0);
        create table scratch.events_1 partition of scratch.events for values with (modulus 2, remainder 1);""",
    "a range of days": f"""
        create table scratch.days (
            user_id text not null default app.current_user_id(), day date not null, primary key (user_id, day)
        ) partition by range (day);
        create table scratch.days_1 partition of scratch.days for values from ('2020-01-01') to ('2020-02-01');
        {protect("scratch.days", "select, delete, insert (day)")}""",
    "a list of kinds": f"""
        create table scratch.jobs (
            user_id text not null default app.current_user_id(), id int not null, kind text not null,
            primary key (user_id, id, kind)
        ) partition by list (kind);
        create table scratch.jobs_1 partition of scratch.jobs for values in ('mail', 'sms');
        {protect("scratch.jobs", "select, delete, insert (id, kind)")}""",
    "a table without a partition": f"""
        create table scratch.log (user_id text not null default app.current_user_id(), what text)
            partition by list (user_id);
        {protect("scratch.log", "select, delete, insert (what), update (what)")}""",
    "rows that are only added": f"""
        create table scratch.log (user_id text not null default app.current_user_id(), what text not null);
        {protect("scratch.log", "select, insert (what)")}""",
    "rows that are only added and never read": f"""
        create table scratch.log (user_id text not null default app.current_user_id(), what text not null);
        {protect("scratch.log", "insert (what)", f"for insert to app_api with check ({OWN})")}""",
    "rows that are only read": f"""
        create table scratch.bills (user_id text not null, id int, primary key (user_id, id));
        insert into scratch.bills select 'user ' || n, n from generate_series(1, 9) as n;
        {protect("scratch.bills", "select", f"for select to app_api using ({OWN})")}""",
    "a shared list that rows refer to": f"""
        {KIND} {accept("tenant_column_missing:scratch.kinds", "rls_disabled:scratch.kinds")}
        create table scratch.things (
            user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(),
            kind text not null references scratch.kinds, primary key (user_id, id));
        {protect("scratch.things", "select, delete, insert (kind), update (kind)")}""",
    "ids that the client makes": f"""
        create table scratch.parents (
            user_id text not null default app.current_user_id(), id uuid not null, primary key (user_id, id));
        create table scratch.children (
            user_id text not null default app.current_user_id(), id uuid not null, parent uuid not null,
            primary key (user_id, id), foreign key (user_id, parent) references scratch.parents);
        {protect("scratch.parents", "select, delete, insert (id)")}
        {protect("scratch.children", "select, delete, insert (id, parent)")}""",
    "a parent whose name sorts after its child's": f"""
        create table scratch.z (
            user_id text not null default app.current_user_id(), id bigint generated always as identity,
            primary key (user_id, id));
        create table scratch.y (
            user_id text not null default app.current_user_id(), z bigint not null, primary key (user_id, z),
            foreign key (user_id, z) references scratch.z);
        {protect("scratch.z", "select, delete, insert")} revoke insert on scratch.z from app_api;
        grant insert (id) on scratch.z to app_api;
        {protect("scratch.y", "select, delete, insert (z)")}""",
    "one of two parents": f"""
        create table scratch.files (
            user_id text not null default app.current_user_id(), id uuid not null default gen_random_uuid(), note uuid,
            task uuid, check (num_nonnulls(note, task) = 1), primary key (user_id, id),
            foreign key (user_id, note) references scratch.notes,
            foreign key (user_id, task) references app.tasks (user_id, id));
        {protect("scratch.files", "select, delete, insert (note, task), update (note)")}
        {example("scratch.files", '{"task": null}')}""",
    "a value that only an example tells": f"""
        {BODY.format("text not null check (md5(body) = md5('sesame'))").replace("'sesame'", "'s' || 'esame'")}
        {example("scratch.things", '{"body": "sesame"}')}""",
    "a group of the API": "create role readers; grant readers to app_api;"
    "grant usage on schema scratch to readers; grant select on scratch.notes to readers",
    "a table that nobody was granted": "create table scratch.internal (user_id text, id int)",
}


@pytest.mark.parametrize("name", HEALTHY)
def test_the_proof_is_silent_on_a_healthy_design(name: str, url: Url) -> None:
    proof = proof_of(url, HEALTHY[name])
    assert proof.findings == []
    assert [attempt for attempt in proof.attempts if attempt.blocked is not True] == []


def made(proof: Proof, table: str) -> set[str]:
    return {attempt.attempt for attempt in proof.attempts if attempt.table == table}


@pytest.mark.parametrize(
    ("name", "table"),
    [
        (name, "scratch.things")
        for name in HEALTHY
        if name.startswith(("a column", "a tenant", "an enum", "a domain", "a vector", "a shared list", "a value"))
    ]
    + [
        ("tables that refer to each other", "scratch.people"),
        ("a table that refers to itself", "scratch.tree"),
        ("a hash of the tenant", "scratch.events"),
        ("a range of days", "scratch.days"),
        ("a list of kinds", "scratch.jobs"),
        ("rows that are only added", "scratch.log"),
        ("ids that the client makes", "scratch.children"),
        ("a parent whose name sorts after its child's", "scratch.y"),
        ("one of two parents", "scratch.files"),
    ],
)
def test_rows_of_two_tenants_were_there(name: str, table: str, url: Url) -> None:
    """Silence is not that nothing was tried."""
    assert "delete another tenant's row" in made(proof_of(url, HEALTHY[name]), table)


def test_what_cannot_be_guessed_is_told_by_a_line_in_a_file(url: Url) -> None:
    design = BODY.format("text not null constraint sealed check (md5(body) = md5('s' || 'esame'))")

    proof = proof_of(url, design)

    [finding] = proof.findings
    assert (finding.name, finding.level, finding.object) == ("prove_seed", "warning", "scratch.things")
    assert 'violates check constraint "sealed"' in finding.detail
    assert "db/audit/schema/examples.sql" in finding.remediation
    assert "('scratch.things', '{\"body\": " in finding.remediation
    assert Attempt("scratch.things", "read without a condition", "SELECT 0", blocked=True) in proof.attempts


def test_a_role_of_the_api_that_gets_no_further_is_one_line(url: Url) -> None:
    attempts = proof_of(url, HEALTHY["a group of the API"]).attempts
    [line] = [each for each in attempts if "readers" in each.attempt]
    assert (line.table, line.attempt, line.blocked) == ("scratch.notes", "all of it as readers", True)
    assert json.dumps(line)
