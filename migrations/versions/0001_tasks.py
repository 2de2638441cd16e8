"""Tasks: one table of tenants, and the walls around it."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create schema `app`: the caller's identity, the table of tasks, its policy and its grants."""
    op.execute("""
do $$
begin
    if current_setting('server_version_num')::int < 150000 then
        raise exception 'Partywall needs PostgreSQL 15 or later; this server is %', current_setting('server_version');
    end if;
end
$$""")
    op.execute("""
comment on schema app is
    'Tenant tables. Every row belongs to one user, and row-level security shows it to that user alone.'""")
    op.execute("alter default privileges revoke execute on functions from public")

    # ---- who is calling ---------------------------------------------------------------------------
    op.execute("""
create function app.current_user_id() returns text
language sql stable parallel safe
return nullif(current_setting('app.user_id', true), '')""")
    op.execute("""
comment on function app.current_user_id() is
    'The caller, as the API set it with "set local app.user_id" in this transaction; null when nobody did, and
null equals no row. An unset setting reads as null before the first "set local" on a connection and as the empty
string after it, hence nullif. STABLE, never IMMUTABLE: an immutable function would be folded into a cached
plan together with the previous caller.'""")

    # ---- keys: PostgreSQL 18 has uuidv7(), older servers get one ----------------------------------
    op.execute("""
do $$
begin
    if to_regprocedure('pg_catalog.uuidv7()') is not null then
        return;
    end if;
    create function app.uuidv7() returns uuid
    language sql volatile parallel safe
    begin atomic
        select encode(
            substring(int8send(us / 1000) from 3)
            || int2send((28672 + us % 1000 * 4096 / 1000)::int2)
            || substring(uuid_send(gen_random_uuid()) from 9),
            'hex')::uuid
        from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as us) as clock;
    end;
    comment on function app.uuidv7() is
        'What PostgreSQL 18 has built in, for this older server. RFC 9562, 5.7: 48 bits of Unix milliseconds, the
version 7 (28672 is hexadecimal 7000), 12 bits of the millisecond''s fraction (6.2, method 3), the variant and
62 random bits.';
    grant execute on function app.uuidv7() to app_api;
end
$$""")

    # ---- the table --------------------------------------------------------------------------------
    # `uuidv7()` is looked up when the default is created: the server's own, or the one above.
    op.execute("set local search_path = pg_catalog, app")
    op.execute(r"""
create table app.tasks (
    id uuid not null default uuidv7(),
    user_id text not null default app.current_user_id(),
    text text not null,
    completed boolean not null default false,
    "order" integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz,
    constraint tasks_pkey primary key (user_id, id),
    constraint tasks_user_id_valid check (char_length(user_id) between 1 and 255 and user_id !~ '[\x01-\x1f\x7f-\x9f]'),
    constraint tasks_text_length check (char_length(text) between 1 and 500),
    constraint tasks_text_not_blank check (text ~ '\S'),
    constraint tasks_completed_at_if_completed check (completed = (completed_at is not null))
)""")
    op.execute("set local search_path = default")
    op.execute('create index tasks_by_order on app.tasks (user_id, "order", id)')
    for statement in COMMENTS:
        op.execute(statement)

    # ---- timestamps are the database's ------------------------------------------------------------
    op.execute("""
create function app.keep_task_timestamps() returns trigger
language plpgsql
as $$
begin
    if tg_op = 'UPDATE' then
        new.updated_at := now();
    end if;
    new.completed_at := case when new.completed then coalesce(new.completed_at, now()) end;
    return new;
end
$$""")
    op.execute("""
comment on function app.keep_task_timestamps() is
    'updated_at moves with every update; completed_at is set when completed turns true, cleared when it turns
false.'""")
    op.execute("""
create trigger tasks_timestamps before insert or update on app.tasks
for each row execute function app.keep_task_timestamps()""")

    # ---- the wall ---------------------------------------------------------------------------------
    op.execute("alter table app.tasks enable row level security")
    op.execute("alter table app.tasks force row level security")
    op.execute("""
create policy tasks_belong_to_their_user on app.tasks
for all to app_api
using (user_id = app.current_user_id())
with check (user_id = app.current_user_id())""")
    op.execute("""
comment on policy tasks_belong_to_their_user on app.tasks is
    'A caller reads, adds, changes and deletes its own tasks. No caller, no rows: null equals nothing.'""")

    # ---- the doors --------------------------------------------------------------------------------
    # Not granted, and why: id, user_id and the timestamps are the database's to set, so nobody can
    # plant a row next door or backdate one; truncate and references ignore row-level security.
    op.execute("grant usage on schema app to app_api")
    op.execute("grant execute on function app.current_user_id() to app_api")
    op.execute("""
grant select, delete, insert (text, completed, "order"), update (text, completed, "order")
on app.tasks to app_api""")
    # The API's health check and the auditor say which revision this database has.
    op.execute("grant usage on schema migrations to app_api, app_auditor")
    op.execute("grant select on migrations.alembic_version to app_api, app_auditor")


COMMENTS = (
    "comment on table app.tasks is 'To-do items. Each belongs to one user; nobody else can tell that it exists.'",
    "comment on column app.tasks.id is 'UUID version 7: sorts by the time of creation.'",
    """comment on column app.tasks.user_id is
    'The owner: "sub" of the JWT. Leads every key, so no key can tell a stranger that a row exists.'""",
    "comment on column app.tasks.text is 'What to do: 1 to 500 characters, not only white space.'",
    "comment on column app.tasks.completed is 'Whether it is done.'",
    """comment on column app.tasks."order" is
    'The position in the owner''s list, smallest first. Ties are allowed; id breaks them.'""",
    "comment on column app.tasks.created_at is 'When the row was added.'",
    "comment on column app.tasks.updated_at is 'When the row was last changed; created_at if never.'",
    "comment on column app.tasks.completed_at is 'When completed last turned true; null while it is false.'",
    "comment on constraint tasks_pkey on app.tasks is 'Serves the policy and the point read.'",
    "comment on index app.tasks_by_order is 'Serves the list: one range of one user, in order, page by page.'",
)


def downgrade() -> None:
    """Drop every task. The two schemas stay, empty: they are not this revision's."""
    op.execute("revoke select on migrations.alembic_version from app_api, app_auditor")
    op.execute("revoke usage on schema migrations from app_api, app_auditor")
    op.execute("revoke usage on schema app from app_api")
    op.execute("drop table app.tasks")
    op.execute("drop function app.keep_task_timestamps()")
    op.execute("drop function if exists app.uuidv7()")
    op.execute("drop function app.current_user_id()")
    op.execute("alter default privileges grant execute on functions to public")
