"""Functions that a Citus cluster can copy to its workers and run there.

A body that PostgreSQL has parsed depends on the tables that it reads, and their policies depend on the function: Citus
copies no objects that depend on each other in a circle. A body that is a string depends on nothing. A statement that
writes several tables, or that inserts what it selects, is refused under row-level security: PL/pgSQL runs them one by
one. A trigger of a table that each node has a copy of fires on each node, and can write to that node's copies only.

PL/pgSQL looks up the types of variables and casts by name, so pg_temp comes last: an empty search_path finds a caller's
temporary type first, and the check of a domain would run with the rights of app_owner.
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
    # Its result changes. The statements of the API of revision 0004 read no column that it has no more.
    op.execute("""
-- squawk-ignore ban-drop-function
drop function app.current_memberships()""")
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
    op.execute("""
create or replace function app.create_workspace(called text)
returns table (id uuid, name text, role text, created_at timestamptz, updated_at timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    new_id uuid;
begin
    if to_regprocedure('pg_catalog.uuidv7()') is null then -- before PostgreSQL 18
        new_id := app.uuidv7();
    else
        new_id := pg_catalog.uuidv7();
    end if;
    insert into app.workspaces (workspace_id, name) values (new_id, called);
    insert into app.members (workspace_id, user_id, role) values (new_id, app.current_user_id(), 'owner');
    return query select new_id, called, 'owner', now(), now();
end
$$""")
    # Not set_config(): only a statement reaches the workers.
    op.execute("""
create or replace function app.accept_invitation(token_hash bytea) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    invitation record;
begin
    execute format('set local app.invitation = %L', coalesce(encode(accept_invitation.token_hash, 'hex'), ''));
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

    replace_triggers()


def replace_triggers() -> None:
    """Let the triggers of members and invitations write where they fire."""
    op.execute("""
create function app.on_this_node(relation regclass) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    name text;
begin
    if to_regclass('pg_catalog.pg_dist_shard') is not null then
        execute 'select format(''%I.%I'', n.nspname, c.relname || ''_'' || s.shardid)
            from pg_catalog.pg_dist_shard as s
            join pg_catalog.pg_class as c on c.oid = s.logicalrelid
            join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
            where s.logicalrelid = $1' into name using relation;
    end if;
    return coalesce(name, relation::text);
end
$$""")
    op.execute("revoke execute on function app.on_this_node(regclass) from public")
    op.execute("grant execute on function app.on_this_node(regclass) to app_api")
    op.execute("""
comment on function app.on_this_node(regclass) is
    'The name of a table; on a Citus cluster, that of the copy which this node has of a reference table. A trigger fires
on each node, and writes there.'""")
    op.execute("""
create or replace function app.keep_an_owner() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_workspaces bigint;
begin
    -- Changed, not only locked: of two owners who leave at the same time, the second waits here and then sees that the
    -- first has left, or fails to serialize.
    execute format('update %s set name = name where workspace_id = $1', app.on_this_node('app.workspaces'))
        using old.workspace_id;
    get diagnostics found_workspaces = row_count;
    if found_workspaces = 0 and not row_security_active('app.workspaces') then
        return old; -- nothing hides it: the workspace itself is being deleted
    end if;
    if row_security_active('app.workspaces')
            and app.current_workspace_id('owner') is distinct from old.workspace_id then
        raise serialization_failure using message = 'the caller has ceased to be an owner';
    end if;
    if not exists (
        select from app.members
        where workspace_id = old.workspace_id and role = 'owner' and user_id <> old.user_id
    ) then
        raise check_violation using
            message = 'a workspace has at least one owner: constraint "members_keep_an_owner"', table = 'members',
            schema = 'app', constraint = 'members_keep_an_owner';
    end if;
    -- Who was an owner must not come back by an invitation of their own.
    execute format('delete from %s where workspace_id = $1 and user_id = $2 and accepted_at is null',
        app.on_this_node('app.invitations')) using old.workspace_id, old.user_id;
    return coalesce(new, old);
end
$$""")
    op.execute("""
create or replace function app.keep_invitations_of_owners() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The same change as in app.keep_an_owner(): one of the two waits for the other, and sees what it did.
    execute format('update %s set name = name where workspace_id = $1', app.on_this_node('app.workspaces'))
        using new.workspace_id;
    if row_security_active('app.workspaces')
            and app.current_workspace_id('owner') is distinct from new.workspace_id then
        raise serialization_failure using message = 'the caller has ceased to be an owner';
    end if;
    return null;
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
    op.execute("""
create or replace function app.keep_an_owner() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    -- Changed, not only locked: of two owners who leave at the same time, the second waits here and then sees that the
    -- first has left, or fails to serialize.
    update app.workspaces set name = name where workspace_id = old.workspace_id;
    if not found and not row_security_active('app.workspaces') then
        return old; -- nothing hides it: the workspace itself is being deleted
    end if;
    if row_security_active('app.workspaces')
            and app.current_workspace_id('owner') is distinct from old.workspace_id then
        raise serialization_failure using message = 'the caller has ceased to be an owner';
    end if;
    if not exists (
        select from app.members
        where workspace_id = old.workspace_id and role = 'owner' and user_id <> old.user_id
    ) then
        raise check_violation using
            message = 'a workspace has at least one owner', table = 'members', schema = 'app',
            constraint = 'members_keep_an_owner';
    end if;
    -- Who was an owner must not come back by an invitation of their own.
    delete from app.invitations
    where workspace_id = old.workspace_id and user_id = old.user_id and accepted_at is null;
    return coalesce(new, old);
end
$$""")
    op.execute("""
create or replace function app.keep_invitations_of_owners() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    -- The same change as in app.keep_an_owner(): one of the two waits for the other, and sees what it did.
    update app.workspaces set name = name where workspace_id = new.workspace_id;
    if row_security_active('app.workspaces')
            and app.current_workspace_id('owner') is distinct from new.workspace_id then
        raise serialization_failure using message = 'the caller has ceased to be an owner';
    end if;
    return null;
end
$$""")
    op.execute("drop function app.on_this_node(regclass)")
