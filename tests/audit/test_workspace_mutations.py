"""Whether the audit works for workspaces: each part of their policies and functions is weakened on purpose.

What SQL can judge has a check that explains it. The body of a function it cannot: the audit says that it is not the one
that the release made.
"""

import pytest

from tests.support.mutations import ONCE, Change, Healthy

CURRENT = "app.current_workspace_id(text)"
ACCEPT = "app.accept_invitation(bytea)"
CREATE = "app.create_workspace(text)"
SHOWN = "app.current_memberships()"
KEEP = "app.keep_an_owner()"


def body(function: str, old: str, new: str) -> str:
    """Return the SQL that replaces a part of a function's definition."""
    return f"""do $do$
        declare
            before text := pg_get_functiondef('{function}'::regprocedure);
            after text := replace(before, $old${old}$old$, $new${new}$new$);
        begin
            assert after <> before, before;
            execute after;
        end $do$"""


def policy(table: str, name: str, clause: str, kind: str = "using") -> str:
    return f"alter policy {name} on app.{table} {kind} ({clause})"


def asks(role: str) -> str:
    return f"workspace_id = app.current_workspace_id('{role}')"


def changed(sql: str, *, proved: bool = False) -> Change:
    """Return a change of what SQL cannot judge. `proved`: it opens a hole, which --prove shows."""
    return Change(sql, ONCE, "changed", proved=proved)


def reported(by: str, sql: str, *, proved: bool = False) -> Change:
    """Return a change that a check explains."""
    return Change(sql, ONCE, by, proved=proved)


MEMBERSHIPS = "workspace_id in (select m.workspace_id from app.members as m where m.user_id = app.current_user_id())"
TASKS_READ = ("workspace_tasks", "workspace_tasks_are_read_by_members")
TASKS_CHANGED = ("workspace_tasks", "workspace_tasks_are_changed_by_editors")
TASKS_DELETED = ("workspace_tasks", "workspace_tasks_are_deleted_by_editors")
TASKS_ADDED = ("workspace_tasks", "workspace_tasks_are_added_by_editors")
TRIGGER = """create function scratch.t() returns trigger language plpgsql as
    'begin {} return new; end'; revoke execute on function scratch.t() from public;
    create trigger t before insert or update on app.{} for each row execute function scratch.t()"""

CHANGES = {
    # ---- app.current_workspace_id(): who acts where, as what ------------------------------------------
    "the comparison of roles turned round": changed(
        body(CURRENT, "m.role = 'owner'", "m.role <> 'owner'"), proved=True
    ),
    "a viewer is an editor": changed(body(CURRENT, "in ('editor',", "in ('viewer', 'editor',"), proved=True),
    "an editor is an owner": changed(body(CURRENT, "m.role = 'owner'", "m.role <> 'viewer'"), proved=True),
    "no role is asked for": changed(body(CURRENT, "and case", "and true or case"), proved=True),
    "any role but a known one": changed(body(CURRENT, "    end\n", "    else true end\n")),
    "member or with the role": changed(
        body(
            CURRENT, "m.user_id = app.current_user_id()\n        and", "m.user_id = app.current_user_id()\n        or"
        ),
        proved=True,
    ),
    "anybody's membership": changed(body(CURRENT, "m.user_id = app.current_user_id()", "true")),
    "membership of any workspace": changed(
        body(CURRENT, "m.workspace_id = app.requested_workspace_id()", "true"), proved=True
    ),
    "the requested workspace, member or not": changed(
        "create or replace function app.current_workspace_id(at_least text) returns uuid language sql stable"
        " parallel safe security definer cost 1000000 set search_path = '' return app.requested_workspace_id()",
        proved=True,
    ),
    "an immutable workspace": reported("context_function", f"alter function {CURRENT} immutable"),
    "a volatile workspace": reported("context_function", f"alter function {CURRENT} volatile"),
    "a workspace in one process": reported("context_function", f"alter function {CURRENT} parallel unsafe"),
    "a workspace in the leader only": reported("context_function", f"alter function {CURRENT} parallel restricted"),
    "a workspace per row": reported("context_function", f"alter function {CURRENT} cost 100"),
    "a workspace that is set": reported("context_function", f"alter function {CURRENT} set app.workspace_id = ''"),
    "a strict workspace": changed(f"alter function {CURRENT} strict"),
    "a leakproof workspace": reported("leakproof_function", f"alter function {CURRENT} leakproof"),
    "its caller's search_path": reported("definer_function_search_path", f"alter function {CURRENT} reset search_path"),
    "others' search_path": reported(
        "definer_function_search_path",
        f"grant create on schema scratch to app_api; alter function {CURRENT} set search_path = scratch",
    ),
    "its caller's rights": reported("policy_recurses", f"alter function {CURRENT} security invoker"),
    "the superuser's rights": reported("definer_function_bypasses_rls", f"alter function {CURRENT} owner to postgres"),
    "rights of the migrations": changed(f"alter function {CURRENT} owner to app_migrator"),
    "a workspace for everybody": reported("definer_function_public", f"grant execute on function {CURRENT} to public"),
    "a workspace for nobody": changed(f"revoke execute on function {CURRENT} from app_api"),
    # ---- the other functions --------------------------------------------------------------------------
    "a request that is folded": reported("function_immutable", "alter function app.requested_workspace_id() immutable"),
    "a request of the user": changed(
        "create or replace function app.requested_workspace_id() returns uuid language sql stable parallel safe"
        " return nullif(current_setting('app.user_id', true), '')::uuid"
    ),
    "everybody's memberships": changed(body(SHOWN, "m.user_id = app.current_user_id()", "true")),
    "memberships that are folded": reported("function_immutable", f"alter function {SHOWN} immutable"),
    "memberships as the superuser": reported(
        "definer_function_bypasses_rls", f"alter function {SHOWN} owner to postgres"
    ),
    "memberships for everybody": reported("definer_function_public", f"grant execute on function {SHOWN} to public"),
    "ids that are folded": reported("function_immutable", "alter function app.current_workspace_ids() immutable"),
    "ids per row": changed("alter function app.current_workspace_ids() cost 1"),
    "a workspace of somebody else": changed(body(CREATE, "app.current_user_id()", "'mallory'")),
    "a workspace without an owner": changed(body(CREATE, "'owner');", "'viewer');"), proved=True),
    "a workspace that is there already": changed(
        body(CREATE, "values (new_id", "values (app.requested_workspace_id()")
    ),
    "an invitation for somebody else": changed(
        body(ACCEPT, "app.current_user_id(), invitation", "'mallory', invitation")
    ),
    "an invitation to own": changed(body(ACCEPT, "invitation.role", "'owner'"), proved=True),
    "an invitation that lasts": changed(body(ACCEPT, "i.expires_at > now()", "true")),
    "an invitation for many": changed(body(ACCEPT, "i.accepted_at is null", "true")),
    "an invitation without its token": changed(body(ACCEPT, "i.token_hash = accept_invitation.token_hash", "true")),
    "an invitation that is not used up": changed(
        body(
            ACCEPT, "accepted_at = now(), accepted_by = app.current_user_id()", "accepted_at = NULL, accepted_by = NULL"
        )
    ),
    "an invitation accepted as the superuser": reported(
        "definer_function_bypasses_rls", f"alter function {ACCEPT} owner to postgres"
    ),
    "an invitation accepted with its caller's path": reported(
        "definer_function_search_path", f"alter function {ACCEPT} reset search_path"
    ),
    "an invitation that sets the caller": reported(
        "function_sets_context", body(ACCEPT, "set local app.invitation", "set local app.user_id")
    ),
    "an invitation that says it is everybody's": reported(
        "definer_function_public", f"grant execute on function {ACCEPT} to public"
    ),
    # ---- the policies of app_api ----------------------------------------------------------------------
    "any workspace of mine": reported(
        "policy_without_tenant", policy(*TASKS_READ, "workspace_id = any (app.current_workspace_ids())"), proved=True
    ),
    "any workspace of mine to change": reported(
        "policy_without_tenant",
        policy(*TASKS_CHANGED, "workspace_id = any (app.current_workspace_ids())"),
        proved=True,
    ),
    "one of my memberships": reported(
        "policy_with_subselect",
        policy(*TASKS_READ, "workspace_id in (select workspace_id from app.current_memberships())"),
        proved=True,
    ),
    "the list of members": reported(
        "policy_with_subselect",
        policy(*TASKS_READ, MEMBERSHIPS),
    ),
    "members who ask members": reported(
        "policy_recurses",
        policy(
            "members",
            "members_are_read_by_members",
            MEMBERSHIPS,
        ),
    ),
    "a function of the row": reported(
        "policy_with_function_per_row",
        "create function scratch.is_member(uuid) returns boolean language sql stable security definer"
        " set search_path = '' return $1 = any (app.current_workspace_ids());"
        " alter function scratch.is_member(uuid) owner to app_owner;"
        " revoke execute on function scratch.is_member(uuid) from public;"
        " grant execute on function scratch.is_member(uuid) to app_api;"
        + policy(*TASKS_READ, "scratch.is_member(workspace_id)"),
        proved=True,
    ),
    "the workspace that the session asks for": reported(
        "policy_without_tenant", policy(*TASKS_READ, "workspace_id = app.requested_workspace_id()"), proved=True
    ),
    "a change to the workspace that the session asks for": reported(
        "policy_without_tenant",
        policy(*TASKS_CHANGED, "workspace_id = app.requested_workspace_id()", "with check"),
    ),
    "a new row in the workspace that the session asks for": reported(
        "policy_without_tenant",
        policy(*TASKS_ADDED, "workspace_id = app.requested_workspace_id()", "with check"),
        proved=True,
    ),
    "one's own row in any workspace": reported(
        "policy_without_tenant", policy(*TASKS_READ, "user_id = app.current_user_id()"), proved=True
    ),
    "one's own row or an editor's": reported(
        "policy_without_tenant",
        policy(*TASKS_CHANGED, f"{asks('editor')} or user_id = app.current_user_id()"),
        proved=True,
    ),
    "a role that there is not": reported("policy_with_unknown_argument", policy(*TASKS_READ, asks("member"))),
    "a role in capitals": reported("policy_with_unknown_argument", policy(*TASKS_DELETED, asks("EDITOR"))),
    "no role at all": reported(
        "policy_without_tenant", policy(*TASKS_READ, "workspace_id = app.current_workspace_id(null)")
    ),
    "the role of the row": reported(
        "policy_without_tenant",
        policy("members", "members_are_read_by_members", "workspace_id = app.current_workspace_id(role)"),
    ),
    "tasks that only owners read": reported("policy_writes_unread", policy(*TASKS_READ, asks("owner"))),
    "tasks that viewers change": changed(policy(*TASKS_CHANGED, asks("viewer")), proved=True),
    "tasks that viewers delete": changed(policy(*TASKS_DELETED, asks("viewer")), proved=True),
    "tasks that viewers add": changed(policy(*TASKS_ADDED, asks("viewer"), "with check"), proved=True),
    "tasks that viewers keep": changed(policy(*TASKS_CHANGED, asks("viewer"), "with check")),
    "workspaces that editors change": changed(
        policy("workspaces", "workspaces_are_changed_by_owners", asks("editor")), proved=True
    ),
    "workspaces that viewers delete": changed(
        policy("workspaces", "workspaces_are_deleted_by_owners", asks("viewer")), proved=True
    ),
    "workspaces that everybody reads": reported(
        "policy_always_true", policy("workspaces", "workspaces_are_read_by_members", "true"), proved=True
    ),
    "members whom editors change": changed(
        policy("members", "members_are_changed_by_owners", asks("editor")), proved=True
    ),
    "members whom viewers change": changed(
        policy("members", "members_are_changed_by_owners", asks("viewer"))
        + "; "
        + policy("members", "members_are_changed_by_owners", asks("viewer"), "with check"),
        proved=True,
    ),
    "members whom anybody removes": changed(
        policy("members", "members_are_removed_by_owners_or_leave", asks("viewer")), proved=True
    ),
    "members who leave any workspace": reported(
        "policy_without_tenant",
        policy(
            "members",
            "members_are_removed_by_owners_or_leave",
            f"{asks('viewer')} and user_id = app.current_user_id() or app.current_workspace_id('owner') is not null",
        ),
    ),
    "members whom editors remove": changed(
        policy(
            "members",
            "members_are_removed_by_owners_or_leave",
            f"{asks('viewer')} and (user_id = app.current_user_id() or app.current_workspace_id('editor') is not null)",
        ),
        proved=True,
    ),
    "members who add themselves": Change(
        "grant insert (workspace_id, user_id, role) on app.members to app_api;"
        " create policy joining on app.members for insert to app_api with check (user_id = app.current_user_id())",
        ONCE,
        "policy_without_tenant",
        proved=True,
    ),
    "members whom owners add": reported(
        "unexpected",
        "create policy adding on app.members for insert to app_api"
        " with check (workspace_id = app.current_workspace_id('owner'))",
    ),
    "members whom viewers add": reported(
        "grant_protected_column",
        "grant insert (user_id, role) on app.members to app_api;"
        f" create policy adding on app.members for insert to app_api with check ({asks('viewer')})",
    ),
    "members who become somebody else": reported(
        "grant_protected_column", "grant update (user_id) on app.members to app_api"
    ),
    "members who move": reported("grant_protected_column", "grant update (workspace_id) on app.members to app_api"),
    "a role with a new member": reported("unexpected", "grant insert (role) on app.members to app_api"),
    "invitations that viewers read": changed(
        policy("invitations", "invitations_are_read_by_owners", asks("viewer")), proved=True
    ),
    "invitations that everybody reads": reported(
        "policy_always_true", policy("invitations", "invitations_are_read_by_owners", "true"), proved=True
    ),
    "invitations that editors make": changed(
        policy("invitations", "invitations_are_made_by_owners", asks("editor"), "with check"), proved=True
    ),
    "invitations that editors revoke": changed(
        policy("invitations", "invitations_are_revoked_by_owners", asks("editor")), proved=True
    ),
    "invitations that owners change": reported("policy_missing", "grant update (role) on app.invitations to app_api"),
    "invitations that last longer": reported(
        "unexpected",
        "grant update (expires_at) on app.invitations to app_api; create policy changing on app.invitations for update"
        f" to app_api using ({asks('owner')}) with check ({asks('owner')})",
    ),
    "hashes that are read": reported("unexpected", "grant select (token_hash) on app.invitations to app_api"),
    "hashes that are read with the rest": reported("unexpected", "grant select on app.invitations to app_api"),
    "who accepted, in the invitation": reported(
        "grant_protected_column", "grant insert (accepted_at, accepted_by) on app.invitations to app_api"
    ),
    # ---- the policies of app_owner --------------------------------------------------------------------
    **{
        f"{name} shows app_owner everything": reported("policy_for_other_role", policy(table, name, "true", kind))
        for table, name, kind in (
            ("members", "members_of_the_caller_decide", "using"),
            ("members", "members_are_the_callers_who_join", "with check"),
            ("workspaces", "workspaces_are_created_by_a_caller", "with check"),
            ("invitations", "invitations_are_found_by_their_token", "using"),
            ("invitations", "invitations_are_accepted_once", "using"),
            ("invitations", "invitations_are_accepted_once", "with check"),
            ("workspace_tasks", "workspace_tasks_are_explained_by_their_owner", "using"),
        )
    },
    "members of the workspace decide": reported(
        "policy_for_other_role",
        policy("members", "members_of_the_caller_decide", "workspace_id = app.requested_workspace_id()"),
    ),
    "members of any workspace decide": reported(
        "policy_for_other_role", policy("members", "members_of_the_caller_decide", "user_id = app.current_user_id()")
    ),
    "members who ask what asks them": reported(
        "policy_recurses", policy("members", "members_of_the_caller_decide", asks("viewer"))
    ),
    "the caller or nobody decides": reported(
        "policy_for_other_role",
        policy(
            "members",
            "members_of_the_caller_decide",
            "user_id = coalesce(app.current_user_id(), user_id)"
            " and workspace_id = coalesce(app.requested_workspace_id(), workspace_id)",
        ),
    ),
    "invitations accepted late": reported(
        "policy_for_other_role",
        policy(
            "invitations",
            "invitations_are_accepted_once",
            "token_hash = decode(current_setting('app.invitation', true), 'hex') and accepted_at is null",
        ),
    ),
    "invitations accepted again": reported(
        "policy_for_other_role",
        policy(
            "invitations",
            "invitations_are_accepted_once",
            "token_hash = decode(current_setting('app.invitation', true), 'hex') and expires_at > now()",
        ),
    ),
    "explained to whoever runs as the owner": reported(
        "policy_for_other_role",
        policy(
            "workspace_tasks",
            "workspace_tasks_are_explained_by_their_owner",
            "current_setting('audit.explaining', true) = 'on' and pg_has_role(current_user, 'app_owner', 'member')",
        ),
    ),
    **{
        f"app_owner may {command} {table}": reported(
            "policy_for_other_role", f"create policy p on app.{table} for {command} to app_owner {clause} (true)"
        )
        for table, command, clause in (
            ("workspaces", "select", "using"),
            ("workspaces", "delete", "using"),
            ("members", "delete", "using"),
            ("members", "update", "using"),
            ("invitations", "insert", "with check"),
            ("workspace_tasks", "insert", "with check"),
        )
    },
    "members not forced": reported("rls_not_forced", "alter table app.members no force row level security"),
    # ---- always an owner ------------------------------------------------------------------------------
    "the last owner leaves": changed(
        "alter table app.members disable trigger members_keep_an_owner_who_leaves", proved=True
    ),
    "the last owner steps down": changed(
        "drop trigger members_keep_an_owner_who_steps_down on app.members", proved=True
    ),
    "no trigger of the user": changed("alter table app.members disable trigger user", proved=True),
    "an owner no longer": changed(body(KEEP, "raise serialization_failure", "raise notice")),
    "a trigger with its caller's search_path": changed(f"alter function {KEEP} reset search_path"),
    "invitations of former owners": changed("drop trigger invitations_are_of_owners on app.invitations"),
    "invitations of former owners, for a while": changed(
        "alter table app.invitations disable trigger invitations_are_of_owners"
    ),
    "invitations of anybody": changed(
        "create or replace function app.keep_invitations_of_owners() returns trigger language plpgsql"
        " set search_path = '' as 'begin return null; end'"
    ),
    "triggers on a replica": changed(
        "alter table app.members enable replica trigger members_keep_an_owner_who_leaves", proved=True
    ),
    "a trigger for another role": changed(
        "drop trigger members_keep_an_owner_who_leaves on app.members; create trigger members_keep_an_owner_who_leaves"
        " before delete on app.members for each row when (old.role = 'viewer') execute function app.keep_an_owner()",
        proved=True,
    ),
    "a trigger that does nothing": changed(
        f"create or replace function {KEEP} returns trigger language plpgsql as 'begin return coalesce(new, old); end'",
        proved=True,
    ),
    "a trigger that does not wait": changed(body(KEEP, "update %s set name = name", "select from %s")),
    "a trigger that counts who leaves": changed(body(KEEP, "and user_id <> old.user_id\n", "\n"), proved=True),
    "invitations of who left": changed(body(KEEP, "delete from %s", "select from %s")),
    "a trigger as its owner": reported("trigger_as_owner", f"alter function {KEEP} security definer"),
    # ---- keys, references, constraints ----------------------------------------------------------------
    "two roles of one member": reported(
        "primary_key_missing", "alter table app.members drop constraint members_pkey cascade", proved=True
    ),
    "members who are known once": reported(
        "key_without_tenant",
        "alter table app.members drop constraint members_pkey cascade, add primary key (user_id, workspace_id)",
    ),
    "a member of one workspace": reported("key_without_tenant", "alter table app.members add unique (user_id)"),
    "a task of another workspace": reported(
        "foreign_key_without_tenant",
        "alter table app.workspace_tasks add unique (id), add parent uuid references app.workspace_tasks (id)",
    ),
    "a workspace's task of a user": reported(
        "foreign_key_without_tenant",
        "alter table app.workspace_tasks add copy_of uuid, add foreign key (user_id, copy_of) references app.tasks",
    ),
    "a task of a workspace that is a template": reported(
        "foreign_key_without_tenant",
        "alter table app.workspace_tasks add template uuid references app.workspaces (workspace_id)",
    ),
    "tasks that outlive their workspace": changed(
        "alter table app.workspace_tasks drop constraint workspace_tasks_workspace_id_fkey"
    ),
    "tasks that keep their workspace": changed(
        "alter table app.workspace_tasks drop constraint workspace_tasks_workspace_id_fkey,"
        " add constraint workspace_tasks_workspace_id_fkey foreign key (workspace_id) references app.workspaces"
    ),
    "members of workspaces elsewhere": changed(
        "create table scratch.workspaces (workspace_id uuid primary key);"
        " alter table app.members drop constraint members_workspace_id_fkey,"
        " add constraint members_workspace_id_fkey foreign key (workspace_id) references scratch.workspaces not valid"
    ),
    "a role that nobody knows": changed("alter table app.members drop constraint members_role_known"),
    "an invitation to any role": changed("alter table app.invitations drop constraint invitations_role_known"),
    "an invitation that has expired": changed("alter table app.invitations drop constraint invitations_expire"),
    "an invitation accepted by nobody": changed(
        "alter table app.invitations drop constraint invitations_accepted_by_somebody"
    ),
    "a token of any length": changed("alter table app.invitations drop constraint invitations_token_hash_is_sha256"),
    "a token of two invitations": changed("alter table app.invitations drop constraint invitations_token_hash_key"),
    "tasks by text": Change("create index on app.workspace_tasks (text)", ONCE, "index_without_tenant", surface=False),
    # ---- defaults, views, settings --------------------------------------------------------------------
    "a default that is asked for": reported(
        "tenant_column_without_default",
        "alter table app.workspace_tasks alter workspace_id set default app.requested_workspace_id()",
    ),
    "a default of one's first workspace": reported(
        "tenant_column_without_default",
        "alter table app.workspace_tasks alter workspace_id set default (app.current_workspace_ids())[1]",
    ),
    "a default of a role that there is not": reported(
        "policy_with_unknown_argument",
        "alter table app.invitations alter workspace_id set default app.current_workspace_id('admin')",
    ),
    "a row that somebody else added": changed("alter table app.workspace_tasks alter user_id set default 'mallory'"),
    "a list of members": reported(
        "view_definer", "create view scratch.v as table app.members; grant select on scratch.v to app_api"
    ),
    "a list of members that is kept": reported(
        "materialized_view",
        "create materialized view scratch.m as table app.members; grant select on scratch.m to app_api",
    ),
    "a function that lists members": reported(
        "definer_function_bypasses_rls",
        "create function scratch.f() returns setof app.members language sql stable security definer"
        " set search_path = '' begin atomic table app.members; end; revoke execute on function scratch.f() from public;"
        " grant execute on function scratch.f() to app_api",
    ),
    "a trigger that chooses the workspace": reported(
        "function_sets_context", TRIGGER.format("set local app.workspace_id = default;", "workspace_tasks")
    ),
    "a trigger that promotes": reported("unexpected", TRIGGER.format("new.role := ''owner'';", "members")),
    "a trigger that moves a row": reported(
        "unexpected", TRIGGER.format("new.workspace_id := (app.current_workspace_ids())[1];", "workspace_tasks")
    ),
    "a workspace set on the role": reported(
        "setting_on_role", "alter role app_api set app.workspace_id = '5eed0000-0000-4000-8000-000000000001'"
    ),
    "a workspace set on all roles": reported(
        "setting_on_role", "alter role all set \"APP\".Workspace_ID = '5eed0000-0000-4000-8000-000000000001'"
    ),
    "a workspace set on the database": reported(
        "setting_on_role",
        "do $$ begin execute format('alter database %I set app.workspace_id = %L', current_database(),"
        " '5eed0000-0000-4000-8000-000000000001'); end $$",
    ),
    "a workspace set by a function": reported(
        "function_setting",
        "create function scratch.f() returns int language sql set app.workspace_id ="
        " '5eed0000-0000-4000-8000-000000000001' return 1; grant execute on function scratch.f() to app_api",
    ),
    "an invitation set on the role": reported("unexpected", "alter role app_api set app.invitation = '00'"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_no_part_of_a_workspace_can_be_weakened_unreported(name: str, mutable: Healthy) -> None:
    assert mutable.unreported(CHANGES[name]) == []
