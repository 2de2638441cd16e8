"""The checks of keys and indexes: each starts with the tenant column."""

import psycopg
import pytest

from tests.support.twins import (
    ERROR,
    PARTITION_WITH_RLS,
    PARTITIONED,
    Bad,
    Good,
    Twins,
    findings,
    parametrized,
    run,
    tenant_table,
)

LISTS = tenant_table("scratch.lists")


def coloured(action: str) -> str:
    return f"""
        create table scratch.colours (code int primary key);
        alter table scratch.colours owner to app_owner;
        alter table scratch.notes
            add colour int, add constraint by_body foreign key (colour) references scratch.colours {action};
    """


VECTOR = ("select from pg_available_extensions where name = 'vector'", "this server has no pgvector")
# A table without tenants is a finding until it is accepted.
SHARED = "rls_disabled tenant_column_missing"

# fmt: off
# A twin is two or three lines.
TWINS: Twins = {
    "primary_key_missing": [
        Bad("alter table scratch.notes drop constraint notes_pkey", "scratch.notes"),
        Bad("alter table scratch.notes drop constraint notes_pkey, add unique (user_id, id)", "scratch.notes"),
        Bad("alter table scratch.notes drop id", "scratch.notes"),
        Bad(f"{PARTITION_WITH_RLS} alter table scratch.events drop constraint events_pkey", "scratch.events"),
        Bad("""
            create table scratch.child () inherits (scratch.notes);
            alter table scratch.child enable row level security, force row level security""", "scratch.child"),
        Bad(f"""
            {PARTITION_WITH_RLS}
            alter table scratch.events drop constraint events_pkey;
            alter table only scratch.events add primary key (user_id, id)""", "scratch.events",
            fix="alter table scratch.events_a add constraint by_body primary key (user_id, id);"
                "alter index scratch.events_pkey attach partition scratch.by_body"),
        Good("alter table scratch.notes drop constraint notes_pkey, add primary key (user_id, body)"),
        Good("alter table scratch.notes drop constraint notes_pkey, add primary key (user_id, id) deferrable"),
        Good(PARTITION_WITH_RLS),
        Good("create table hidden.words (user_id text)"),
    ],
    "key_without_tenant": [
        Bad("alter table scratch.notes add constraint by_body unique (body)", "scratch.by_body"),
        Bad("alter table scratch.notes add constraint by_body unique nulls not distinct (body, due_at)",
            "scratch.by_body"),
        Bad("alter table scratch.notes add constraint by_body unique (body, user_id) include (due_at)"
            " deferrable initially deferred", "scratch.by_body"),
        Bad("create unique index by_body on scratch.notes (lower(body)) where due_at is null", "scratch.by_body"),
        Bad("alter table scratch.notes drop constraint notes_pkey, add constraint by_body primary key (id, user_id)",
            "scratch.by_body"),
        Bad("alter table scratch.notes drop constraint notes_pkey, add constraint by_body primary key (id)",
            "scratch.by_body"),
        Bad("alter table scratch.notes add constraint by_body exclude (body with =) where (due_at is null)",
            "scratch.by_body"),
        Bad("alter table scratch.notes add place circle,"
            " add constraint by_body exclude using gist (place with &&) deferrable", "scratch.by_body"),
        Bad(f"{PARTITION_WITH_RLS} alter table scratch.events add constraint by_body unique (id, user_id)",
            "scratch.by_body"),
        Good("alter table scratch.notes add unique (user_id, body)"),
        Good("create unique index on scratch.notes (user_id, lower(body))"),
        Good("alter table scratch.notes add exclude (user_id with =, body with =)"),
        Good(f"{PARTITION_WITH_RLS} alter table scratch.events add unique (user_id, body)"),
    ],
    "foreign_key_to_shared_table": [
        Bad(coloured("on delete cascade") + "grant delete on scratch.colours to app_api",
            "scratch.notes.by_body", ERROR, also=SHARED),
        Bad(coloured("on delete set null") + "grant delete on scratch.colours to public",
            "scratch.notes.by_body", ERROR, also=f"{SHARED} grant_to_public"),
        Bad(coloured("on update cascade") + "grant readers to app_api; grant update on scratch.colours to readers",
            "scratch.notes.by_body", ERROR, also=SHARED),
        Bad(coloured("") + "grant delete, update (code) on scratch.colours to app_api",
            "scratch.notes.by_body", also=SHARED),
        Bad(coloured("on delete cascade") + """
            alter table scratch.colours set schema hidden; alter table hidden.colours owner to readers;
            grant delete on hidden.colours to public""",
            "scratch.notes.by_body", ERROR, also=f"{SHARED} grant_to_public", advice=True),
        Bad(f"""
            create table scratch.colours (id int primary key);
            {PARTITIONED} alter table scratch.events_a set schema hidden;
            alter table scratch.events add colour int,
                add constraint by_body foreign key (colour) references scratch.colours on delete cascade;
            grant delete on scratch.colours to app_api""",
            "scratch.events.by_body", ERROR, also=SHARED),
        Good(coloured("on delete cascade") + "grant select on scratch.colours to app_api", also=SHARED),
        Good(coloured("on delete cascade") + "grant insert (code) on scratch.colours to app_api", also=SHARED),
        Good(coloured("on delete cascade") + "grant delete on scratch.colours to readers", also=SHARED),
        Good(f"""{LISTS} alter table scratch.notes add list_id uuid,
            add foreign key (user_id, list_id) references scratch.lists on delete cascade"""),
    ],
    "foreign_key_without_tenant": [
        Bad(f"""{LISTS}
            alter table scratch.lists add unique (id);
            alter table scratch.notes add list_id uuid, add constraint by_body foreign key (list_id)
                references scratch.lists (id) on delete set null on update cascade deferrable initially deferred""",
            "scratch.notes.by_body", also="key_without_tenant"),
        Bad(f"""{LISTS}
            alter table scratch.lists drop constraint lists_pkey, add primary key (id);
            alter table scratch.notes add list_id uuid,
                add constraint by_body foreign key (list_id) references scratch.lists""",
            "scratch.notes.by_body", also="key_without_tenant"),
        Bad(f"""{LISTS}
            alter table scratch.lists add unique (id, user_id);
            alter table scratch.notes add list_id uuid, add constraint by_body foreign key (list_id, user_id)
                references scratch.lists (id, user_id) match full""", "scratch.notes.by_body",
            also="key_without_tenant"),
        Bad(f"""{LISTS}
            alter table scratch.lists add unique (body, user_id);
            alter table scratch.notes add constraint by_body foreign key (user_id, body)
                references scratch.lists (body, user_id)""", "scratch.notes.by_body", also="key_without_tenant",
            advice=True),
        Bad("""
            alter table scratch.notes add unique (id);
            create table scratch.colours (id int primary key, note_id uuid references scratch.notes (id))""",
            "scratch.colours.colours_note_id_fkey", advice=True,
            also="key_without_tenant rls_disabled tenant_column_missing"),
        Bad(f"""{PARTITIONED} {LISTS}
            alter table scratch.lists add unique (id);
            alter table scratch.events add list_id uuid, add constraint by_body foreign key (list_id)
                references scratch.lists (id)""", "scratch.events.by_body",
            also="key_without_tenant"),
        Good(f"""{LISTS}
            alter table scratch.notes add list_id uuid, add foreign key (user_id, list_id)
                references scratch.lists on delete set null (list_id)"""),
        Good("alter table scratch.notes add answers uuid, add foreign key (user_id, answers) references scratch.notes"),
        Good(f"""{PARTITIONED} alter table scratch.events_a set schema hidden;
            alter table scratch.notes add event_id uuid,
                add foreign key (user_id, event_id) references scratch.events"""),
        Good("""
            create table scratch.colours (id int primary key);
            grant select on scratch.colours to app_api;
            alter table scratch.notes add colour int references scratch.colours""",
            also="tenant_column_missing rls_disabled"),
    ],
    "index_without_tenant": [
        Bad("create index by_body on scratch.notes (body)", "scratch.by_body"),
        Bad("create index by_body on scratch.notes (lower(body) desc nulls last) where body <> 'a) USING b ('",
            "scratch.by_body", advice=True),
        Bad("create index by_body on scratch.notes (body, user_id) include (due_at) with (fillfactor = 70)",
            "scratch.by_body"),
        Bad('create index by_body on scratch.notes (body collate "C" text_pattern_ops)', "scratch.by_body"),
        Bad("create index by_body on scratch.notes using hash (body)", "scratch.by_body"),
        Bad("create index by_body on scratch.notes using gin (to_tsvector('english', body))",
            "scratch.by_body", advice=True),
        Bad("alter table scratch.notes add place point; create index by_body on scratch.notes using gist (place)",
            "scratch.by_body", advice=True),
        Bad("create index by_body on scratch.notes (body) where due_at is null", "scratch.by_body", advice=True),
        Bad(f"{PARTITION_WITH_RLS} create index by_body on scratch.events (body)", "scratch.by_body"),
        Good("create index on scratch.notes using brin (created_at)"),
        Good("alter table scratch.notes add place point; create index on scratch.notes using spgist (place)"),
        Good("create extension vector with schema scratch; alter table scratch.notes add embedding scratch.vector(3);"
            "create index on scratch.notes using hnsw (embedding scratch.vector_l2_ops);"
            "create index on scratch.notes using ivfflat (embedding scratch.vector_l2_ops)", needs=VECTOR),
        Good("create index on scratch.notes (user_id, body) include (due_at)"),
        Good("create index on scratch.notes (user_id, lower(body)) where due_at is null"),
        Good(f"{PARTITION_WITH_RLS} create index on scratch.events (user_id, body)"),
        Good("create table hidden.words (word text); create index on hidden.words (word)"),
    ],
}
# fmt: on

test_a_bad_twin_is_reported_and_fixed, test_odd_names_are_quoted, test_a_good_twin_is_not_reported = parametrized(TWINS)


# A key or an index that is called by_body, and its definition after the findings were fixed.
FIXED = [
    (
        (
            f"{LISTS} alter table scratch.lists add unique (id);"
            "alter table scratch.notes add list_id uuid, add constraint by_body foreign key (list_id)"
            " references scratch.lists (id) on delete set null on update cascade deferrable initially deferred"
        ),
        (
            "FOREIGN KEY (user_id, list_id) REFERENCES scratch.lists(user_id, id)"
            " ON UPDATE CASCADE ON DELETE SET NULL (list_id) DEFERRABLE INITIALLY DEFERRED"
        ),
    ),
    (
        (
            f"{LISTS} alter table scratch.lists add unique (id, user_id);"
            "alter table scratch.notes add list_id uuid, add constraint by_body foreign key (list_id, user_id)"
            " references scratch.lists (id, user_id) match full not valid"
        ),
        "FOREIGN KEY (user_id, list_id) REFERENCES scratch.lists(user_id, id) MATCH FULL NOT VALID",
    ),
    (
        (
            "alter table scratch.notes add constraint by_body"
            " unique nulls not distinct (due_at, user_id, body) include (id) deferrable"
        ),
        "UNIQUE NULLS NOT DISTINCT (user_id, due_at, body) INCLUDE (id) DEFERRABLE",
    ),
    (
        """
        alter table scratch.notes add constraint by_body unique (id);
        alter table scratch.notes add answers uuid, add foreign key (answers) references scratch.notes (id)""",
        "UNIQUE (user_id, id)",
    ),
    (
        f"""{LISTS}
        alter table scratch.lists drop constraint lists_pkey, add primary key (id);
        create unique index on scratch.lists (user_id, id) where body <> '';
        alter table scratch.notes add list_id uuid,
            add constraint by_body foreign key (list_id) references scratch.lists""",
        "FOREIGN KEY (user_id, list_id) REFERENCES scratch.lists(user_id, id)",
    ),
    (
        "alter table scratch.notes drop constraint notes_pkey, add constraint by_body primary key (id)",
        "PRIMARY KEY (user_id, id)",
    ),
    (
        "alter table scratch.notes add constraint by_body exclude (body with =) where (due_at is null)",
        "EXCLUDE USING btree (user_id WITH =, body WITH =) WHERE ((due_at IS NULL))",
    ),
    (
        "create unique index by_body on scratch.notes (lower(body) desc) include (id) where due_at is null",
        (
            "CREATE UNIQUE INDEX by_body ON scratch.notes USING btree (user_id, lower(body) DESC) INCLUDE (id)"
            " WHERE (due_at IS NULL)"
        ),
    ),
    (
        "create index by_body on scratch.notes (body desc) include (due_at) with (fillfactor = 70)",
        (
            "CREATE INDEX by_body ON scratch.notes USING btree (user_id, body DESC) INCLUDE (due_at)"
            " WITH (fillfactor='70')"
        ),
    ),
    (
        'create index by_body on scratch.notes using hash (body collate "C")',
        'CREATE INDEX by_body ON scratch.notes USING btree (user_id, body COLLATE "C")',
    ),
]


@pytest.mark.parametrize(("statements", "definition"), FIXED)
def test_what_is_fixed_is_otherwise_as_it_was(scratch: psycopg.Connection, statements: str, definition: str) -> None:
    run(scratch, statements)
    for finding in findings(scratch):
        run(scratch, finding.remediation)

    assert findings(scratch) == []
    query = """
        select coalesce((select pg_get_constraintdef(oid) from pg_constraint where conname = 'by_body'),
            (select pg_get_indexdef(oid) from pg_class where relname = 'by_body'))"""
    assert scratch.execute(query).fetchone() == (definition,)
