"""Functions that a Citus cluster can copy to its workers and run there.

A body that PostgreSQL has parsed depends on the tables that it reads, and their policies depend on the function: Citus
copies no objects that depend on each other in a circle. A body that is a string depends on nothing. A statement that
writes several tables, or that inserts what it selects, is refused under row-level security: PL/pgSQL runs them one by
one.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the bodies, and the result of app.current_memberships(), which was a row of app.members."""
    op.execute("""
create or replace function app.current_workspace_id(at_least text) returns uuid
language sql stable parallel safe security definer cost 1000000
set search_path = ''
as $$
    select m.workspace_id from app.members as m
    where m.workspace_id = app.requested_workspace_id() and m.user_id = app.current_user_id()
        and case at_least
            when 'viewer' then m.role in ('viewer', 'editor', 'owner')
            when 'editor' then m.role in ('editor', 'owner')
            when 'owner' then m.role = 'owner'
        end
$$""")
    op.execute("""
create or replace function app.current_workspace_ids() returns uuid[]
language sql stable parallel safe cost 1000000
set search_path = ''
as $$ select array(select m.workspace_id from app.current_memberships() as m) $$""")
    op.execute("drop function app.current_memberships()")
    op.execute("""
create function app.current_memberships()
returns table (workspace_id uuid, user_id text, role text, updated_at timestamptz)
language sql stable parallel safe security definer rows 10
set search_path = ''
as $$
    select m.workspace_id, m.user_id, m.role, m.updated_at from app.members as m
    where m.user_id = app.current_user_id() and m.workspace_id = coalesce(app.requested_workspace_id(), m.workspace_id)
$$""")
    describe_memberships()
    # `uuidv7()`: the server's own, or app.uuidv7().
    op.execute("""
create or replace function app.create_workspace(called text)
returns table (id uuid, name text, role text, created_at timestamptz, updated_at timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, app, pg_temp
as $$
declare
    new_id uuid := uuidv7();
begin
    insert into app.workspaces (workspace_id, name) values (new_id, called);
    insert into app.members (workspace_id, user_id, role) values (new_id, app.current_user_id(), 'owner');
    return query select new_id, called, 'owner', now(), now();
end
$$""")
    # Not set_config(): only a statement reaches the workers.
    op.execute("""
create or replace function app.accept_invitation(token_hash bytea) returns uuid
language plpgsql volatile security definer
set search_path = ''
as $$
declare
    invitation record;
begin
    execute format('set local app.invitation = %L', encode(accept_invitation.token_hash, 'hex'));
    update app.invitations as i set accepted_at = now(), accepted_by = app.current_user_id()
    where i.token_hash = accept_invitation.token_hash and i.accepted_at is null and i.expires_at > now()
    returning i.workspace_id, i.role into invitation;
    if found then
        insert into app.members (workspace_id, user_id, role)
        values (invitation.workspace_id, app.current_user_id(), invitation.role);
    end if;
    return invitation.workspace_id;
end
$$""")


def describe_memberships() -> None:
    """Give app.current_memberships() its rights and its comment again: it was dropped."""
    op.execute("revoke execute on function app.current_memberships() from public")
    op.execute("grant execute on function app.current_memberships() to app_api")
    op.execute("""
comment on function app.current_memberships() is
    'The caller''s own memberships; while the caller acts in a workspace, only the one in it. SECURITY DEFINER for the
same reason as app.current_workspace_id(), and no more is visible to it.'""")


def downgrade() -> None:
    """Restore the bodies of revision 0004."""
    op.execute("""
create or replace function app.current_workspace_id(at_least text) returns uuid
language sql stable parallel safe security definer cost 1000000
set search_path = ''
return (
    select m.workspace_id from app.members as m
    where m.workspace_id = app.requested_workspace_id() and m.user_id = app.current_user_id()
        and case at_least
            when 'viewer' then m.role in ('viewer', 'editor', 'owner')
            when 'editor' then m.role in ('editor', 'owner')
            when 'owner' then m.role = 'owner'
        end
)""")
    op.execute("drop function app.current_memberships()")
    op.execute("""
create function app.current_memberships() returns setof app.members
language sql stable parallel safe security definer rows 10
set search_path = ''
begin atomic
    select m.* from app.members as m
    where m.user_id = app.current_user_id() and m.workspace_id = coalesce(app.requested_workspace_id(), m.workspace_id);
end""")
    describe_memberships()
    op.execute("""
create or replace function app.current_workspace_ids() returns uuid[]
language sql stable parallel safe cost 1000000
return array(select m.workspace_id from app.current_memberships() as m)""")
    op.execute("set local search_path = pg_catalog, app")
    op.execute("""
create or replace function app.create_workspace(called text)
returns table (id uuid, name text, role text, created_at timestamptz, updated_at timestamptz)
language sql volatile security definer
set search_path = ''
begin atomic
    with new as (
        select uuidv7() as workspace_id
    ), workspace as (
        insert into app.workspaces (workspace_id, name) select new.workspace_id, called from new
    ), first_owner as (
        insert into app.members (workspace_id, user_id, role)
        select new.workspace_id, app.current_user_id(), 'owner' from new
    )
    select new.workspace_id, called, 'owner', now(), now() from new;
end""")
    op.execute("set local search_path = ''")
    op.execute("""
create or replace function app.accept_invitation(token_hash bytea) returns uuid
language sql volatile security definer
set search_path = ''
begin atomic
    select set_config('app.invitation', encode(accept_invitation.token_hash, 'hex'), true);
    with accepted as (
        update app.invitations as i set accepted_at = now(), accepted_by = app.current_user_id()
        where i.token_hash = accept_invitation.token_hash and i.accepted_at is null and i.expires_at > now()
        returning i.workspace_id, i.role
    ), joined as (
        insert into app.members (workspace_id, user_id, role)
        select a.workspace_id, app.current_user_id(), a.role from accepted as a
    )
    select a.workspace_id from accepted as a;
end""")
