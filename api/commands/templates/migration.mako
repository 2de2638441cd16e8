"""${Plural}."""

from alembic import op

revision = ${revision}
down_revision = ${down_revision}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table with its trigger, policy and grants."""
    # `uuidv7()` is looked up when the default is created: the server's own, or app.uuidv7().
    op.execute("set local search_path = pg_catalog, app")
    op.execute(r"""
create table app.${plural} (
    id uuid not null default uuidv7(),
    user_id text not null default app.current_user_id(),
% for field in fields:
    ${field.column} ${field.sql}${"" if field.optional else " not null"},
% endfor
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ${plural}_pkey primary key (user_id, id),
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
    op.execute("""
create policy ${plural}_belong_to_their_user on app.${plural}
for all to app_api
using (user_id = app.current_user_id())
with check (user_id = app.current_user_id())""")

    # ---- who may do what --------------------------------------------------------------------------
    # Not granted, and why: id, user_id and the timestamps are the database's to set, so nobody can add a row for
    # another user or backdate one; truncate and references ignore row-level security.
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
    """table app.${plural} is
    '${Plural}. Each belongs to one user; nobody else can tell that it exists.'""",
    """column app.${plural}.id is
    'UUID version 7: sorts by the time of creation.'""",
    """column app.${plural}.user_id is
    'The owner: "sub" of the JWT. Leads every key, so that no key can tell another user that a row exists.'""",
% for field in fields:
    """column app.${plural}.${field.column} is
    '${field.comment}'""",
% endfor
    """column app.${plural}.created_at is
    'When the row was added.'""",
    """column app.${plural}.updated_at is
    'When the row was last changed; created_at if never. Strictly increasing: the API''s version of the row.'""",
    """constraint ${plural}_pkey on app.${plural} is
    'Serves the policy, the point read and the list by age.'""",
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
    """policy ${plural}_belong_to_their_user on app.${plural} is
    'A caller reads, adds, changes and deletes its own rows. No caller, no rows: null equals nothing.'""",
)


def downgrade() -> None:
    """Drop the table and every row in it."""
    op.execute("drop table app.${plural}")
