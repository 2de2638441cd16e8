"""Everything in our schemas has a comment: what psql shows with \\d+ and \\dd is the documentation of the database."""

import psycopg
import pytest

UNCOMMENTED = """
    with relations as (
        select oid, relkind from pg_class where relnamespace = %(schema)s::regnamespace and not relispartition
    ), objects (catalog, object, part) as (
        select 'pg_namespace'::regclass, %(schema)s::regnamespace::oid, 0
        union all
        select 'pg_class', oid, 0 from relations
        where relkind in ('r', 'p', 'v', 'm', 'f')
            or relkind in ('i', 'I') and not exists (select from pg_constraint where conindid = relations.oid)
        union all
        select 'pg_class', attrelid, attnum from pg_attribute join relations on relations.oid = attrelid
        where relkind in ('r', 'p', 'f') and attnum > 0 and not attisdropped
        union all
        select 'pg_constraint', c.oid, 0 from pg_constraint as c join relations on relations.oid = conrelid
        where contype <> 'n'  -- NOT NULL
        union all
        select 'pg_trigger', t.oid, 0 from pg_trigger as t join relations on relations.oid = tgrelid
        where not tgisinternal
        union all
        select 'pg_policy', p.oid, 0 from pg_policy as p join relations on relations.oid = polrelid
        union all
        select 'pg_proc', oid, 0 from pg_proc where pronamespace = %(schema)s::regnamespace
        union all
        select 'pg_type', t.oid, 0 from pg_type as t
        where typnamespace = %(schema)s::regnamespace and typtype in ('d', 'e', 'r')
    )
    select o.type || ' ' || o.identity
    from objects cross join pg_identify_object(catalog, object, part) as o
    where not exists (select from pg_description where (classoid, objoid, objsubid) = (catalog, object, part))
"""


def uncommented(admin: psycopg.Connection, schema: str) -> set[str]:
    """Return everything in a schema that has no comment, as PostgreSQL identifies it."""
    return {identity for (identity,) in admin.execute(UNCOMMENTED, {"schema": schema})}


@pytest.mark.parametrize("schema", ["app", "audit"])
def test_everything_has_a_comment(admin: psycopg.Connection, schema: str) -> None:
    assert uncommented(admin, schema) == set()


def test_whatever_has_no_comment_is_found(admin: psycopg.Connection) -> None:
    admin.execute("""
        create schema scratch;
        create domain scratch.title as text;
        create table scratch.notes (id int primary key, title scratch.title not null, task_id int check (task_id > 0));
        create index by_title on scratch.notes (title);
        create view scratch.titles as select title from scratch.notes;
        create policy own on scratch.notes using (true);
        create function scratch.keep() returns trigger language plpgsql as 'begin return new; end';
        create trigger keep before update on scratch.notes for each row execute function scratch.keep();
    """)
    assert uncommented(admin, "scratch") == {
        "schema scratch",
        "type scratch.title",
        "table scratch.notes",
        *(f"table column scratch.notes.{column}" for column in ("id", "title", "task_id")),
        "table constraint notes_pkey on scratch.notes",
        "table constraint notes_task_id_check on scratch.notes",
        "index scratch.by_title",
        "view scratch.titles",
        "policy own on scratch.notes",
        "function scratch.keep()",
        "trigger keep on scratch.notes",
    }
    admin.execute("comment on policy own on scratch.notes is 'Everybody.'; comment on column scratch.notes.id is 'Id.'")
    assert not {"policy own on scratch.notes", "table column scratch.notes.id"} & uncommented(admin, "scratch")
