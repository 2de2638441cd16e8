"""Tasks: what a user has to do."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table with its indexes, trigger, policies and grants."""
    # `uuidv7()` is looked up when the default is created: the server's own, or app.uuidv7().
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
    op.execute("set local search_path = ''")
    op.execute('create index tasks_by_order on app.tasks (user_id, "order", id)')
    op.execute('create index tasks_by_completed_order on app.tasks (user_id, completed, "order", id)')
    op.execute("create index tasks_by_completed_age on app.tasks (user_id, completed, id)")

    # ---- timestamps are the database's ------------------------------------------------------------
    op.execute("""
create function app.keep_task_timestamps() returns trigger
language plpgsql
as $$
begin
    if tg_op = 'UPDATE' then
        new.updated_at := greatest(now(), old.updated_at + interval '1 microsecond'); -- as app.keep_updated_at() does
    end if;
    new.completed_at := case when new.completed then coalesce(new.completed_at, new.updated_at) end;
    return new;
end
$$""")
    op.execute("""
create trigger tasks_timestamps before insert or update on app.tasks
for each row execute function app.keep_task_timestamps()""")

    # ---- who may see which rows -------------------------------------------------------------------
    op.execute("alter table app.tasks enable row level security, force row level security")
    op.execute("""
create policy tasks_belong_to_their_user on app.tasks
for all to app_api
using (user_id = app.current_user_id())
with check (user_id = app.current_user_id())""")
    # session_user, not current_user: app_api could set the setting and call a function that runs as app_owner.
    op.execute("""
create policy tasks_are_explained_by_their_owner on app.tasks
for select to app_owner
using (current_setting('audit.explaining', true) = 'on' and pg_has_role(session_user, 'app_owner', 'member'))""")

    # ---- who may do what --------------------------------------------------------------------------
    # Not granted, and why: id, user_id and the timestamps are the database's to set, so nobody can add a row for
    # another user or backdate one; truncate and references ignore row-level security.
    op.execute("""
grant select, delete, insert (text, completed, "order"), update (text, completed, "order")
on app.tasks to app_api""")
    for comment in COMMENTS:
        op.execute(f"comment on {comment}")


COMMENTS = (
    "table app.tasks is 'To-do items. Each belongs to one user; nobody else can tell that it exists.'",
    "column app.tasks.id is 'UUID version 7: sorts by the time of creation.'",
    """column app.tasks.user_id is
    'The owner: "sub" of the JWT. Leads every key, so that no key can tell another user that a row exists.'""",
    "column app.tasks.text is 'What to do: 1 to 500 characters, not only white space.'",
    "column app.tasks.completed is 'Whether it is done.'",
    """column app.tasks."order" is
    'The position in the owner''s list, smallest first. Ties are allowed; id breaks them.'""",
    "column app.tasks.created_at is 'When the row was added.'",
    """column app.tasks.updated_at is
    'When the row was last changed; created_at if never. Strictly increasing: the API''s version of the row.'""",
    "column app.tasks.completed_at is 'When completed last turned true; null while it is false.'",
    "constraint tasks_pkey on app.tasks is 'Serves the policy, the point read and the list by age.'",
    "constraint tasks_user_id_valid on app.tasks is 'What the API accepts as a user id: no control characters.'",
    "constraint tasks_text_length on app.tasks is 'The API checks it first; this holds whoever writes.'",
    "constraint tasks_text_not_blank on app.tasks is 'The API checks it first; this holds whoever writes.'",
    "constraint tasks_completed_at_if_completed on app.tasks is 'The trigger keeps it; this proves it.'",
    "index app.tasks_by_order is 'Serves the list by position: one range of one user, page by page.'",
    "index app.tasks_by_completed_order is 'Serves the list by position of what is done, or is not.'",
    """index app.tasks_by_completed_age is
    'Serves the list by age of what is done, or is not: ids are made at creation and sort by time.'""",
    """function app.keep_task_timestamps() is
    'updated_at moves forward with every update; completed_at is set to the same instant when completed turns true,
and cleared when it turns false.'""",
    "trigger tasks_timestamps on app.tasks is 'Keeps updated_at and completed_at, which nobody is granted to write.'",
    """policy tasks_belong_to_their_user on app.tasks is
    'A caller reads, adds, changes and deletes its own tasks. No caller, no rows: null equals nothing.'""",
    """policy tasks_are_explained_by_their_owner on app.tasks is
    'audit.explain_access() looks up the row that it explains. For logins that are members of app_owner and could drop
the policies anyway; without the setting the owner''s own statements see nothing, and a function that app_api calls
and that runs as app_owner sees nothing whatever is set.'""",
)


def downgrade() -> None:
    """Drop every task."""
    op.execute("drop table app.tasks")
    op.execute("drop function app.keep_task_timestamps()")
