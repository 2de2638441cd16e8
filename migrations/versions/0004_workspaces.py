"""Workspaces: tenants that people share. Membership and role decide who may do what."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

USER_ID_VALID = r"char_length({0}) between 1 and 255 and {0} !~ '[\x01-\x1f\x7f-\x9f]'"


def upgrade() -> None:
    """Create the tables of workspaces, and what decides who may act in one."""
    create_tables()
    create_functions()
    create_policies()
    create_triggers()
    grant()
    for comment in COMMENTS:
        op.execute(f"comment on {comment}")


def create_tables() -> None:
    """Create the tables with their keys and indexes."""
    # `uuidv7()` is looked up when the default is created: the server's own, or app.uuidv7().
    op.execute("set local search_path = pg_catalog, app")
    op.execute(r"""
create table app.workspaces (
    workspace_id uuid not null default uuidv7(),
    name text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint workspaces_pkey primary key (workspace_id),
    constraint workspaces_name_length check (char_length(name) between 1 and 100),
    constraint workspaces_name_not_blank check (name ~ '\S')
)""")
    op.execute(f"""
create table app.members (
    workspace_id uuid not null,
    user_id text not null,
    role text not null,
    joined_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint members_pkey primary key (workspace_id, user_id),
    constraint members_workspace_id_fkey
        foreign key (workspace_id) references app.workspaces on delete cascade,
    constraint members_user_id_valid check ({USER_ID_VALID.format("user_id")}),
    constraint members_role_known check (role in ('viewer', 'editor', 'owner'))
)""")
    op.execute("create index members_by_user on app.members (user_id, workspace_id)")
    # The functions repeat the conditions of app_owner's policies: FORCE does not apply while PostgreSQL enforces a
    # foreign key, be it one of a temporary table that the caller has made.

    # What the policies ask. The defaults and policies of the other tables need it.
    op.execute("""
create function app.requested_workspace_id() returns uuid
language sql stable parallel safe
return nullif(current_setting('app.workspace_id', true), '')::uuid""")
    op.execute("""
create function app.current_workspace_id(at_least text) returns uuid
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
    op.execute(f"""
create table app.invitations (
    workspace_id uuid not null default app.current_workspace_id('viewer'),
    id uuid not null default uuidv7(),
    user_id text not null default app.current_user_id(),
    role text not null,
    token_hash bytea not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    expires_at timestamptz not null,
    accepted_at timestamptz,
    accepted_by text,
    constraint invitations_pkey primary key (workspace_id, id),
    constraint invitations_token_hash_key unique (token_hash),
    constraint invitations_workspace_id_fkey
        foreign key (workspace_id) references app.workspaces on delete cascade,
    constraint invitations_user_id_valid check ({USER_ID_VALID.format("user_id")}),
    constraint invitations_role_known check (role in ('viewer', 'editor', 'owner')),
    constraint invitations_token_hash_is_sha256 check (octet_length(token_hash) = 32),
    constraint invitations_expire check (expires_at > created_at),
    constraint invitations_accepted_by_somebody check ((accepted_at is null) = (accepted_by is null))
)""")
    op.execute(rf"""
create table app.workspace_tasks (
    workspace_id uuid not null default app.current_workspace_id('viewer'),
    id uuid not null default uuidv7(),
    user_id text not null default app.current_user_id(),
    text text not null,
    completed boolean not null default false,
    "order" integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz,
    constraint workspace_tasks_pkey primary key (workspace_id, id),
    constraint workspace_tasks_workspace_id_fkey
        foreign key (workspace_id) references app.workspaces on delete cascade,
    constraint workspace_tasks_user_id_valid check ({USER_ID_VALID.format("user_id")}),
    constraint workspace_tasks_text_length check (char_length(text) between 1 and 500),
    constraint workspace_tasks_text_not_blank check (text ~ '\S'),
    constraint workspace_tasks_completed_at_if_completed check (completed = (completed_at is not null))
)""")
    op.execute("set local search_path = ''")
    op.execute('create index workspace_tasks_by_order on app.workspace_tasks (workspace_id, "order", id)')
    op.execute(
        'create index workspace_tasks_by_completed_order on app.workspace_tasks (workspace_id, completed, "order", id)'
    )
    op.execute("create index workspace_tasks_by_completed_age on app.workspace_tasks (workspace_id, completed, id)")


def create_functions() -> None:
    """Create what shows a caller its own memberships, and the two functions that make somebody a member."""
    op.execute("""
create function app.current_memberships() returns setof app.members
language sql stable parallel safe security definer rows 10
set search_path = ''
begin atomic
    select m.* from app.members as m
    where m.user_id = app.current_user_id() and m.workspace_id = coalesce(app.requested_workspace_id(), m.workspace_id);
end""")
    op.execute("""
create function app.current_workspace_ids() returns uuid[]
language sql stable parallel safe cost 1000000
return array(select m.workspace_id from app.current_memberships() as m)""")
    op.execute("set local search_path = pg_catalog, app")
    op.execute("""
create function app.create_workspace(called text)
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
create function app.accept_invitation(token_hash bytea) returns uuid
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


def create_policies() -> None:
    """Let the caller's role in the active workspace decide, one policy per command."""
    for table in ("workspaces", "members", "invitations", "workspace_tasks"):
        op.execute(f"alter table app.{table} enable row level security, force row level security")

    # ---- of app_api -------------------------------------------------------------------------------
    op.execute("""
create policy workspaces_are_read_by_members on app.workspaces
for select to app_api
using (workspace_id = any (app.current_workspace_ids()))""")
    op.execute("""
create policy workspaces_are_changed_by_owners on app.workspaces
for update to app_api
using (workspace_id = app.current_workspace_id('owner'))
with check (workspace_id = app.current_workspace_id('owner'))""")
    op.execute("""
create policy workspaces_are_deleted_by_owners on app.workspaces
for delete to app_api
using (workspace_id = app.current_workspace_id('owner'))""")
    op.execute("""
create policy members_are_read_by_members on app.members
for select to app_api
using (workspace_id = app.current_workspace_id('viewer'))""")
    op.execute("""
create policy members_are_changed_by_owners on app.members
for update to app_api
using (workspace_id = app.current_workspace_id('owner'))
with check (workspace_id = app.current_workspace_id('owner'))""")
    op.execute("""
create policy members_are_removed_by_owners_or_leave on app.members
for delete to app_api
using (
    workspace_id = app.current_workspace_id('viewer')
    and (user_id = app.current_user_id() or app.current_workspace_id('owner') is not null)
)""")
    op.execute("""
create policy invitations_are_read_by_owners on app.invitations
for select to app_api
using (workspace_id = app.current_workspace_id('owner'))""")
    op.execute("""
create policy invitations_are_made_by_owners on app.invitations
for insert to app_api
with check (workspace_id = app.current_workspace_id('owner'))""")
    op.execute("""
create policy invitations_are_revoked_by_owners on app.invitations
for delete to app_api
using (workspace_id = app.current_workspace_id('owner'))""")
    op.execute("""
create policy workspace_tasks_are_read_by_members on app.workspace_tasks
for select to app_api
using (workspace_id = app.current_workspace_id('viewer'))""")
    op.execute("""
create policy workspace_tasks_are_added_by_editors on app.workspace_tasks
for insert to app_api
with check (workspace_id = app.current_workspace_id('editor'))""")
    op.execute("""
create policy workspace_tasks_are_changed_by_editors on app.workspace_tasks
for update to app_api
using (workspace_id = app.current_workspace_id('editor'))
with check (workspace_id = app.current_workspace_id('editor'))""")
    op.execute("""
create policy workspace_tasks_are_deleted_by_editors on app.workspace_tasks
for delete to app_api
using (workspace_id = app.current_workspace_id('editor'))""")

    # ---- of app_owner, for the functions that run as it -------------------------------------------
    op.execute("""
create policy members_of_the_caller_decide on app.members
for select to app_owner
using (
    user_id = app.current_user_id()
    and workspace_id = coalesce(app.requested_workspace_id(), workspace_id)
)""")
    op.execute("""
create policy members_are_the_callers_who_join on app.members
for insert to app_owner
with check (user_id = app.current_user_id())""")
    op.execute("""
create policy workspaces_are_created_by_a_caller on app.workspaces
for insert to app_owner
with check (app.current_user_id() is not null)""")
    op.execute("""
create policy invitations_are_found_by_their_token on app.invitations
for select to app_owner
using (token_hash = decode(current_setting('app.invitation', true), 'hex'))""")
    op.execute("""
create policy invitations_are_accepted_once on app.invitations
for update to app_owner
using (
    token_hash = decode(current_setting('app.invitation', true), 'hex')
    and accepted_at is null and expires_at > now()
)
with check (accepted_by = app.current_user_id())""")
    # session_user, not current_user: app_api could set the setting and call a function that runs as app_owner.
    op.execute("""
create policy workspace_tasks_are_explained_by_their_owner on app.workspace_tasks
for select to app_owner
using (current_setting('audit.explaining', true) = 'on' and pg_has_role(session_user, 'app_owner', 'member'))""")


def create_triggers() -> None:
    """Keep the timestamps, and an owner in every workspace."""
    op.execute("""
create trigger workspaces_updated_at before update on app.workspaces
for each row when (new.name <> old.name) execute function app.keep_updated_at()""")
    for table in ("members", "invitations"):
        op.execute(f"""
create trigger {table}_updated_at before update on app.{table}
for each row execute function app.keep_updated_at()""")
    op.execute("""
create trigger workspace_tasks_timestamps before insert or update on app.workspace_tasks
for each row execute function app.keep_task_timestamps()""")
    # With a search_path of its own: while a workspace is being deleted this runs as app_owner, and resolves names then.
    op.execute("""
create function app.keep_an_owner() returns trigger
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
create trigger members_keep_an_owner_who_leaves before delete on app.members
for each row when (old.role = 'owner') execute function app.keep_an_owner()""")
    op.execute("""
create trigger members_keep_an_owner_who_steps_down before update on app.members
for each row when (old.role = 'owner' and new.role <> 'owner') execute function app.keep_an_owner()""")

    op.execute("""
create function app.keep_invitations_of_owners() returns trigger
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
    op.execute("""
create trigger invitations_are_of_owners after insert on app.invitations
for each row execute function app.keep_invitations_of_owners()""")


def grant() -> None:
    """Let app_api do what a policy is for."""
    # Not granted, and why: nobody inserts a member, only the two functions do; the hash of a token is never read; ids,
    # tenants and timestamps are the database's to set.
    op.execute("grant select, delete, update (name) on app.workspaces to app_api")
    op.execute("grant select, delete, update (role) on app.members to app_api")
    op.execute("""
grant select (workspace_id, id, user_id, role, created_at, updated_at, expires_at, accepted_at, accepted_by), delete,
insert (role, token_hash, expires_at)
on app.invitations to app_api""")
    op.execute("""
grant select, delete, insert (text, completed, "order"), update (text, completed, "order")
on app.workspace_tasks to app_api""")
    op.execute("""
grant execute on function
    app.requested_workspace_id(), app.current_workspace_id(text), app.current_memberships(),
    app.current_workspace_ids(), app.create_workspace(text), app.accept_invitation(bytea)
to app_api""")


COMMENTS = (
    """schema app is
    'Tenant tables. Every row belongs to one user or one workspace, and row-level security shows it to nobody else.'""",
    # ---- workspaces -------------------------------------------------------------------------------
    """table app.workspaces is
    'What people share: a name, its members, their invitations and their tasks. Deleting one deletes all of that.'""",
    "column app.workspaces.workspace_id is 'UUID version 7. Leads every key of what the workspace has.'",
    "column app.workspaces.name is 'What its members call it: 1 to 100 characters, not only white space.'",
    "column app.workspaces.created_at is 'When it was created, with its first owner.'",
    """column app.workspaces.updated_at is
    'When its name was last changed; created_at if never. Strictly increasing.'""",
    "constraint workspaces_pkey on app.workspaces is 'Serves the policies, and every foreign key.'",
    "constraint workspaces_name_length on app.workspaces is 'The API checks it first; this holds whoever writes.'",
    "constraint workspaces_name_not_blank on app.workspaces is 'The API checks it first; this holds whoever writes.'",
    "trigger workspaces_updated_at on app.workspaces is 'Keeps updated_at, which nobody is granted to write.'",
    """policy workspaces_are_read_by_members on app.workspaces is
    'A caller who acts in a workspace reads that one; one who acts in none reads all of its own, to choose.'""",
    "policy workspaces_are_changed_by_owners on app.workspaces is 'An owner renames the workspace it acts in.'",
    """policy workspaces_are_deleted_by_owners on app.workspaces is
    'An owner deletes the workspace it acts in, with everything in it.'""",
    """policy workspaces_are_created_by_a_caller on app.workspaces is
    'app.create_workspace() adds a workspace as app_owner, which sees and changes none.'""",
    # ---- members ----------------------------------------------------------------------------------
    """table app.members is
    'Who belongs to a workspace, and what they may do there. Every policy of a workspace asks it.'""",
    "column app.members.workspace_id is 'The workspace.'",
    "column app.members.user_id is 'The member: \"sub\" of the JWT.'",
    """column app.members.role is
    'viewer: reads. editor: also adds, changes and deletes tasks. owner: also changes the workspace, its members and its
invitations.'""",
    "column app.members.joined_at is 'When they created the workspace or accepted an invitation.'",
    """column app.members.updated_at is
    'When their role was last changed; joined_at if never. Strictly increasing: the API''s version of the row.'""",
    "constraint members_pkey on app.members is 'One role per member. Serves app.current_workspace_id() and the list.'",
    "constraint members_workspace_id_fkey on app.members is 'Nobody belongs to a workspace that is gone.'",
    "constraint members_user_id_valid on app.members is 'What the API accepts as a user id: no control characters.'",
    """constraint members_role_known on app.members is
    'The roles that app.current_workspace_id() knows. One that it does not know would give no right.'""",
    """index app.members_by_user is
    'Serves app.current_memberships(): of one user, in whichever workspaces. It cannot lead with workspace_id.'""",
    "trigger members_updated_at on app.members is 'Keeps updated_at, which nobody is granted to write.'",
    "trigger members_keep_an_owner_who_leaves on app.members is 'See app.keep_an_owner().'",
    "trigger members_keep_an_owner_who_steps_down on app.members is 'See app.keep_an_owner().'",
    """policy members_are_read_by_members on app.members is
    'A member sees who else is in the workspace it acts in. The function reads this table as app_owner, for whom another
policy holds: so this one does not call itself.'""",
    "policy members_are_changed_by_owners on app.members is 'An owner changes roles in the workspace it acts in.'",
    """policy members_are_removed_by_owners_or_leave on app.members is
    'A member leaves the workspace it acts in; an owner removes anybody from it. Whether the caller is an owner is asked
once more for each row of another member.'""",
    """policy members_of_the_caller_decide on app.members is
    'What functions that run as app_owner see of this table: the caller''s own memberships, whoever calls them.
While the caller acts in a workspace, only the one in it. It calls no function that reads this table: nothing
recurses.'""",
    """policy members_are_the_callers_who_join on app.members is
    'app.create_workspace() and app.accept_invitation() make the caller a member as app_owner, and nobody else.'""",
    # ---- invitations ------------------------------------------------------------------------------
    "table app.invitations is 'Whoever has the token of one may become a member, once, until it expires.'",
    "column app.invitations.workspace_id is 'The workspace that it invites to.'",
    "column app.invitations.id is 'UUID version 7: sorts by the time of creation.'",
    """column app.invitations.user_id is
    'The owner who made it: "sub" of the JWT. If they cease to be one before it is accepted, it is deleted.'""",
    "column app.invitations.role is 'What whoever accepts it becomes.'",
    """column app.invitations.token_hash is
    'SHA-256 of the token. The token has 256 random bits, so its hash needs no salt; it is kept nowhere. Not granted to
app_api: nobody reads it.'""",
    "column app.invitations.created_at is 'When it was made.'",
    """column app.invitations.updated_at is
    'When it was accepted; created_at if never. Strictly increasing: the API''s version of the row.'""",
    "column app.invitations.expires_at is 'From then on nobody can accept it. The API sets it: INVITATION_LIFETIME.'",
    "column app.invitations.accepted_at is 'When somebody accepted it; null if nobody did.'",
    "column app.invitations.accepted_by is 'Who accepted it: \"sub\" of the JWT.'",
    "constraint invitations_pkey on app.invitations is 'Serves the policies and the list.'",
    """constraint invitations_token_hash_key on app.invitations is
    'Serves app.accept_invitation(), which does not know the workspace. That a hash exists already can be found out only
by whoever knows it: it is that of 256 random bits.'""",
    "constraint invitations_workspace_id_fkey on app.invitations is 'Nobody is invited to a workspace that is gone.'",
    """constraint invitations_user_id_valid on app.invitations is
    'What the API accepts as a user id: no control characters.'""",
    "constraint invitations_role_known on app.invitations is 'The same as members_role_known.'",
    "constraint invitations_token_hash_is_sha256 on app.invitations is 'Not the token by mistake.'",
    "constraint invitations_expire on app.invitations is 'None is made that has expired already.'",
    "constraint invitations_accepted_by_somebody on app.invitations is 'Both are set together.'",
    "trigger invitations_updated_at on app.invitations is 'Keeps updated_at, which nobody is granted to write.'",
    "trigger invitations_are_of_owners on app.invitations is 'See app.keep_invitations_of_owners().'",
    "policy invitations_are_read_by_owners on app.invitations is 'An owner sees those of the workspace it acts in.'",
    "policy invitations_are_made_by_owners on app.invitations is 'An owner invites to the workspace it acts in.'",
    """policy invitations_are_revoked_by_owners on app.invitations is
    'An owner deletes those of the workspace it acts in. There is no policy for update: nothing of one is changed.'""",
    """policy invitations_are_found_by_their_token on app.invitations is
    'What app.accept_invitation() sees as app_owner: the one with the hash that it was given.'""",
    """policy invitations_are_accepted_once on app.invitations is
    'app.accept_invitation() marks it as accepted by the caller, if nobody has accepted it and it has not expired.'""",
    # ---- tasks ------------------------------------------------------------------------------------
    "table app.workspace_tasks is 'To-do items that the members of a workspace share.'",
    "column app.workspace_tasks.workspace_id is 'The workspace. Leads every key.'",
    "column app.workspace_tasks.id is 'UUID version 7: sorts by the time of creation.'",
    "column app.workspace_tasks.user_id is 'Who added it: \"sub\" of the JWT. They may have left since.'",
    "column app.workspace_tasks.text is 'What to do: 1 to 500 characters, not only white space.'",
    "column app.workspace_tasks.completed is 'Whether it is done.'",
    """column app.workspace_tasks."order" is
    'The position in the workspace''s list, smallest first. Ties are allowed; id breaks them.'""",
    "column app.workspace_tasks.created_at is 'When the row was added.'",
    """column app.workspace_tasks.updated_at is
    'When the row was last changed; created_at if never. Strictly increasing: the API''s version of the row.'""",
    "column app.workspace_tasks.completed_at is 'When completed last turned true; null while it is false.'",
    """constraint workspace_tasks_pkey on app.workspace_tasks is
    'Serves the policies, the point read and the list by age.'""",
    """constraint workspace_tasks_workspace_id_fkey on app.workspace_tasks is
    'No task is left of a workspace that is gone.'""",
    """constraint workspace_tasks_user_id_valid on app.workspace_tasks is
    'What the API accepts as a user id: no control characters.'""",
    """constraint workspace_tasks_text_length on app.workspace_tasks is
    'The API checks it first; this holds whoever writes.'""",
    """constraint workspace_tasks_text_not_blank on app.workspace_tasks is
    'The API checks it first; this holds whoever writes.'""",
    """constraint workspace_tasks_completed_at_if_completed on app.workspace_tasks is
    'The trigger keeps it; this proves it.'""",
    "index app.workspace_tasks_by_order is 'Serves the list by position: one range of one workspace, page by page.'",
    "index app.workspace_tasks_by_completed_order is 'Serves the list by position of what is done, or is not.'",
    "index app.workspace_tasks_by_completed_age is 'Serves the list by age of what is done, or is not.'",
    """trigger workspace_tasks_timestamps on app.workspace_tasks is
    'Keeps updated_at and completed_at, which nobody is granted to write.'""",
    "policy workspace_tasks_are_read_by_members on app.workspace_tasks is 'Every member of the workspace it acts in.'",
    "policy workspace_tasks_are_added_by_editors on app.workspace_tasks is 'Editors and owners.'",
    "policy workspace_tasks_are_changed_by_editors on app.workspace_tasks is 'Editors and owners, before and after.'",
    "policy workspace_tasks_are_deleted_by_editors on app.workspace_tasks is 'Editors and owners.'",
    """policy workspace_tasks_are_explained_by_their_owner on app.workspace_tasks is
    'audit.explain_access() looks up the row that it explains. For logins that are members of app_owner and could drop
the policies anyway; without the setting the owner''s own statements see nothing, and a function that app_api calls
and that runs as app_owner sees nothing whatever is set.'""",
    # ---- functions --------------------------------------------------------------------------------
    """function app.requested_workspace_id() is
    'The workspace in which the caller wants to act, as the API set it with "set local app.workspace_id" in this
transaction; null when it did not. It says nothing about membership: no policy of app_api compares a row
with it.'""",
    """function app.current_workspace_id(text) is
    'The workspace in which the caller acts, if the caller is a member with at least this role (viewer, editor, owner);
else null, and null equals no row. For policies: it takes no column of the row, so a statement that names its workspace
evaluates it once, before it reads any row, and one that does not, once per scan of an index: COST keeps the planner
from reading all rows and evaluating it for each, also when the indexes are much larger than the table. WITH CHECK
evaluates it for each row that is written. STABLE, never IMMUTABLE: it reads a setting and a table. SECURITY DEFINER,
because members are visible to members only, which is what it decides; as app_owner it sees the caller''s own membership
and no other, by members_of_the_caller_decide and by its own condition.'""",
    """function app.current_memberships() is
    'The caller''s own memberships; while the caller acts in a workspace, only the one in it. SECURITY DEFINER for the
same reason as app.current_workspace_id(), and no more is visible to it.'""",
    """function app.current_workspace_ids() is
    'The workspaces whose names the caller may read: those of app.current_memberships(). Only the policy of
app.workspaces compares with it. Everything else in a workspace is for callers who act in that one.'""",
    """function app.create_workspace(text) is
    'Creates a workspace of this name and makes the caller its first owner, in one statement: so there is none without.
SECURITY DEFINER, because nobody is granted to insert members. Safe: it takes nothing but a name, the workspace is
new, and app_owner can make nobody but the caller a member (members_are_the_callers_who_join). Without a caller it
fails.'""",
    """function app.accept_invitation(bytea) is
    'Makes the caller a member by the invitation whose token has this SHA-256, and returns the workspace; null if there
is none, or it was accepted, has expired or was revoked. Of two at the same moment the second waits for the first, and
finds it accepted. Fails with members_pkey, and leaves the invitation as it is, if the caller is a member already.
SECURITY DEFINER, because whoever is invited sees neither invitations nor members. Safe: the caller shows by the token
that an owner wants somebody to have this role; it sees one invitation, by its hash, and makes nobody but the caller a
member.'""",
    """function app.keep_an_owner() is
    'Before an owner leaves, is removed or steps down: refuses that to the last owner of a workspace, and deletes the
open invitations that this owner made. With the rights of the caller, who has to be an owner for either: one who has
ceased to be, in this statement or while it waited, fails to serialize.'""",
    """function app.keep_invitations_of_owners() is
    'After an invitation is made: fails to serialize if whoever made it has ceased to be an owner meanwhile, so that no
open invitation of theirs is left. The policy cannot see that: it is evaluated as of the start of the statement.'""",
)


def downgrade() -> None:
    """Drop every workspace, with its members, invitations and tasks."""
    op.execute("drop table app.workspace_tasks")
    op.execute("drop function app.create_workspace(text), app.accept_invitation(bytea)")
    op.execute("drop table app.invitations")
    # Their policies depend on functions that depend on app.members.
    op.execute("drop table app.members, app.workspaces cascade")
    op.execute("""
drop function app.keep_an_owner(), app.keep_invitations_of_owners(), app.requested_workspace_id()""")
    op.execute("""
comment on schema app is
    'Tenant tables. Every row belongs to one user, and row-level security shows it to that user alone.'""")
