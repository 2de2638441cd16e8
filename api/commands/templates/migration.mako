"""${Plural}."""

from alembic import op

revision = ${revision}
down_revision = ${down_revision}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table with its trigger, ${"policies" if shared else "policy"} and grants."""
    # `uuidv7()` is looked up when the default is created: the server's own, or app.uuidv7().
    op.execute("set local search_path = pg_catalog, app")
    op.execute(r"""
create table app.${plural} (
% if shared:
    workspace_id uuid not null default app.current_workspace_id('viewer'),
% endif
    id uuid not null default uuidv7(),
    user_id text not null default app.current_user_id(),
% for field in fields:
    ${field.column} ${field.sql}${"" if field.optional else " not null"},
% endfor
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ${plural}_pkey primary key (${tenant}, id),
% if shared:
    constraint ${plural}_workspace_id_fkey
        foreign key (workspace_id) references app.workspaces on delete cascade,
% endif
    constraint ${plural}_user_id_valid
        check (char_length(user_id) between 1 and 255 and user_id !~ '[\x01-\x1f\x7f-\x9f]')${"," if texts else ""}
% for field in texts:
    constraint ${plural}_${field.name}_length check (char_length(${field.column}) between 1 and 500),
    constraint ${plural}_${field.name}_not_blank check (${field.column} ~ '\S')${"" if loop.last else ","}
% endfor
)""")
    op.execute("set local search_path = ''")
    op.execute("""
create trigger ${plural}_updated_at before update on app.${plural}
for each row execute function app.keep_updated_at()""")

    # ---- who may see which rows -------------------------------------------------------------------
    op.execute("alter table app.${plural} enable row level security, force row level security")
% if shared:
    # One policy per command: each names the role that the caller needs in the workspace, at least.
    op.execute("""
create policy ${plural}_are_read_by_members on app.${plural}
for select to app_api
using (workspace_id = app.current_workspace_id('viewer'))""")
    op.execute("""
create policy ${plural}_are_added_by_editors on app.${plural}
for insert to app_api
with check (workspace_id = app.current_workspace_id('editor'))""")
    op.execute("""
create policy ${plural}_are_changed_by_editors on app.${plural}
for update to app_api
using (workspace_id = app.current_workspace_id('editor'))
with check (workspace_id = app.current_workspace_id('editor'))""")
    op.execute("""
create policy ${plural}_are_deleted_by_editors on app.${plural}
for delete to app_api
using (workspace_id = app.current_workspace_id('editor'))""")
% else:
    op.execute("""
create policy ${plural}_belong_to_their_user on app.${plural}
for all to app_api
using (user_id = app.current_user_id())
with check (user_id = app.current_user_id())""")
% endif

    # ---- who may do what --------------------------------------------------------------------------
% if shared:
    # Not granted, and why: workspace_id, id, user_id and the timestamps are the database's to set, so nobody can move a
    # row to another workspace, add one in somebody else's name or backdate one; truncate and references ignore
    # row-level security.
% else:
    # Not granted, and why: id, user_id and the timestamps are the database's to set, so nobody can add a row for
    # another user or backdate one; truncate and references ignore row-level security.
% endif
    op.execute("""
grant
    select,
    delete,
    insert (${columns(4)}),
    update (${columns(4)})
on app.${plural} to app_api""")
    for comment in COMMENTS:
        op.execute(f"comment on {comment}")


COMMENTS = (
% if shared:
    """table app.${plural} is
    '${Plural} that the members of a workspace share.'""",
    """column app.${plural}.workspace_id is
    'The workspace. Leads every key, so that no key can tell another workspace that a row exists.'""",
% else:
    """table app.${plural} is
    '${Plural}. Each belongs to one user; nobody else can tell that it exists.'""",
% endif
    """column app.${plural}.id is
    'UUID version 7: sorts by the time of creation.'""",
    """column app.${plural}.user_id is
% if shared:
    'Who added it: "sub" of the JWT. They may have left since.'""",
% else:
    'The owner: "sub" of the JWT. Leads every key, so that no key can tell another user that a row exists.'""",
% endif
% for field in fields:
    """column app.${plural}.${field.column} is
    '${field.comment}'""",
% endfor
    """column app.${plural}.created_at is
    'When the row was added.'""",
    """column app.${plural}.updated_at is
    'When the row was last changed; created_at if never. Strictly increasing: the API''s version of the row.'""",
    """constraint ${plural}_pkey on app.${plural} is
    'Serves the ${"policies" if shared else "policy"}, the point read and the list by age.'""",
% if shared:
    """constraint ${plural}_workspace_id_fkey on app.${plural} is
    'Whoever deletes a workspace deletes these with it.'""",
% endif
    """constraint ${plural}_user_id_valid on app.${plural} is
    'What the API accepts as a user id: no control characters.'""",
% for field in texts:
    """constraint ${plural}_${field.name}_length on app.${plural} is
    'The API checks it first; this holds whoever writes.'""",
    """constraint ${plural}_${field.name}_not_blank on app.${plural} is
    'The API checks it first; this holds whoever writes.'""",
% endfor
    """trigger ${plural}_updated_at on app.${plural} is
    'Keeps updated_at, which nobody is granted to write.'""",
% if shared:
    """policy ${plural}_are_read_by_members on app.${plural} is
    'Every member of the workspace it acts in.'""",
    """policy ${plural}_are_added_by_editors on app.${plural} is
    'Editors and owners.'""",
    """policy ${plural}_are_changed_by_editors on app.${plural} is
    'Editors and owners, before and after.'""",
    """policy ${plural}_are_deleted_by_editors on app.${plural} is
    'Editors and owners.'""",
% else:
    """policy ${plural}_belong_to_their_user on app.${plural} is
    'A caller reads, adds, changes and deletes its own rows. No caller, no rows: null equals nothing.'""",
% endif
)


def downgrade() -> None:
    """Drop the table and every row in it."""
    op.execute("drop table app.${plural}")
