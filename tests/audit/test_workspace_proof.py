"""What --prove says of workspaces: who may do what there, and each mistake at the cell where it shows."""

import asyncio
import json

import psycopg
import pytest

from db.audit.attempts import Attempt
from db.audit.prove import Proof, prove_as_api
from db.audit.report import as_json, as_sarif, as_text
from db.audit.workspaces import RELATIONS
from tests.support.database import Url
from tests.support.designs import proof_of, protect
from tests.support.members import HOME, WORKSPACES

MEMBERS = {"owner", "editor", "viewer"}
OTHERS = {*RELATIONS} - MEMBERS
NOT_JOINED = {"former member", "invited", "outsider", "member of another"}
NOBODY = set[str]()
MORE_TASKS = f"""
    insert into app.workspace_tasks (workspace_id, user_id, text)
        select '{HOME}', 'alice', n from generate_series(1, 99) as n;
"""
TASKS = "app.workspace_tasks"

Cells = set[tuple[str, str, str]]


def cells(table: str, attempts: set[str] | str, relations: set[str] | str) -> Cells:
    """Return the cells of a table where each of the attempts meets each of the relations."""
    rows = {attempts} if isinstance(attempts, str) else attempts
    columns = {relations} if isinstance(relations, str) else relations
    return {(table, row, column) for row in rows for column in columns}


def unexpected(proof: Proof, outcome: str) -> Cells:
    """Return the cells that have an outcome and should not."""
    blocked = outcome == "blocked"
    return {(e.table, e.attempt, str(e.role)) for e in proof.matrix if not e.is_as_expected and e.blocked is blocked}


# ---- what is as it should be -------------------------------------------------------------------------


# Who may do what, as the issue of workspaces has it.
ALLOWED = {
    (TASKS, "select"): MEMBERS,
    (TASKS, "select for update"): {"owner", "editor"},
    (TASKS, "insert"): {"owner", "editor"},
    (TASKS, "update"): {"owner", "editor"},
    (TASKS, "delete"): {"owner", "editor"},
    (TASKS, "merge"): {"owner", "editor"},
    (TASKS, "move to another workspace"): NOBODY,
    (TASKS, "move without a condition"): NOBODY,
    (TASKS, "select rows of other workspaces"): NOBODY,
    (TASKS, "delete without a condition"): {"owner", "editor"},
    ("app.members", "select"): MEMBERS,
    ("app.members", "insert oneself"): NOBODY,
    ("app.members", "update somebody's role"): {"owner"},
    ("app.members", "update one's own role"): {"owner"},
    ("app.members", "delete somebody"): {"owner"},
    ("app.members", "delete an owner"): {"owner"},
    ("app.members", "delete oneself: leave"): MEMBERS,
    ("app.members", "delete the last owner elsewhere"): NOBODY,
    ("app.invitations", "select"): {"owner"},
    ("app.invitations", "select the hash"): NOBODY,
    ("app.invitations", "insert"): {"owner"},
    ("app.invitations", "delete"): {"owner"},
    ("app.accept_invitation(bytea)", "accept an open invitation"): NOT_JOINED,
    ("app.accept_invitation(bytea)", "accept one again"): NOBODY,
    ("app.accept_invitation(bytea)", "accept a revoked one"): NOBODY,
    ("app.workspaces", "select"): {*MEMBERS, "acting nowhere"},
    ("app.workspaces", "insert"): NOBODY,
    ("app.workspaces", "update"): {"owner"},
    ("app.workspaces", "delete"): {"owner"},
    ("app.create_workspace(text)", "create a workspace"): {*RELATIONS} - {"nobody"},
}


def test_on_the_healthy_database_everything_is_as_declared(url: Url) -> None:
    proof = proof_of(url, "")
    assert proof.findings == []
    assert all(attempt.is_as_expected for attempt in (*proof.attempts, *proof.matrix))
    rows: dict[tuple[str, str], set[str]] = {}
    for each in proof.matrix:
        rows.setdefault((each.table, each.attempt), set()).update([str(each.role)] * (each.blocked is False))
    assert {row: rows[row] for row in ALLOWED} == ALLOWED


def test_real_workspaces_make_no_difference(url: Url) -> None:
    proof = proof_of(url, f"{WORKSPACES} {MORE_TASKS}")
    assert proof.findings == []
    assert all(attempt.is_as_expected for attempt in (*proof.attempts, *proof.matrix))


def test_a_write_without_a_condition_touches_one_row_at_most(url: Url) -> None:
    change, _ = HOLES["tasks that everybody deletes"]
    proof = proof_of(url, f"{WORKSPACES} {MORE_TASKS} {change}")
    blind = [each for each in proof.matrix if each.table == TASKS and each.attempt in BLIND and not each.blocked]
    assert {each.outcome for each in blind} == {"DELETE 1", "MERGE 1"}


def test_the_proof_leaves_no_workspace_behind(url: Url, admin: psycopg.Connection) -> None:
    asyncio.run(prove_as_api(url("app_api")))
    for table in ("workspaces", "members", "invitations", "workspace_tasks"):
        assert admin.execute(f"select count(*) from app.{table}".encode()).fetchone() == (0,)


# ---- mistakes ----------------------------------------------------------------------------------------


def current_workspace(where: str) -> str:
    """Return the SQL that replaces what decides in which workspace a caller acts."""
    return f"""
        create or replace function app.current_workspace_id(at_least text) returns uuid
        language sql stable parallel safe security definer cost 1000000 set search_path = ''
        return (select m.workspace_id from app.members as m
            where m.workspace_id = app.requested_workspace_id() and {where} limit 1);
    """


def memberships(where: str) -> str:
    """Return the SQL that replaces the list of a caller's memberships."""
    return f"""
        create or replace function app.current_memberships()
        returns table (workspace_id uuid, user_id text, role text, updated_at timestamptz)
        language sql stable security definer set search_path = ''
        begin atomic
            select m.workspace_id, m.user_id, m.role, m.updated_at from app.members as m where {where};
        end;
    """


OWN = "m.user_id = app.current_user_id()"
ROLES = """case at_least when '{}' then m.role in ('viewer', 'editor', 'owner')
    when 'editor' then m.role in ('editor', 'owner') when '{}' then m.role = 'owner' end"""
SEES_ALL = "alter policy members_of_the_caller_decide on app.members using (true);"
HERE = "workspace_id = app.current_workspace_id('{}')"


def alter(policy: str, table: str, using: str, kind: str = "using") -> str:
    return f"alter policy {policy} on app.{table} {kind} ({using});"


ACCEPT = """
    create or replace function app.accept_invitation(token_hash bytea) returns uuid
    language sql volatile security definer set search_path = ''
    begin atomic
        select set_config('app.invitation', encode(accept_invitation.token_hash, 'hex'), true);
        with accepted as (
            update app.invitations as i set accepted_at = now(), accepted_by = app.current_user_id()
            where i.token_hash = accept_invitation.token_hash {}
            returning i.workspace_id, i.role
        ), joined as (
            insert into app.members (workspace_id, user_id, role)
            select a.workspace_id, app.current_user_id(), {} from accepted as a
        )
        select a.workspace_id from accepted as a;
    end;
"""
BLIND = {"delete without a condition", "merge without a condition"}

# The change, and the cells where something is allowed that should be blocked.
HOLES: dict[str, tuple[str, Cells]] = {
    "a workspace whose id one knows": (
        (
            "create or replace function app.current_workspace_id(at_least text) returns uuid language sql stable"
            " security definer cost 1000000 set search_path = '' return app.requested_workspace_id();"
        ),
        cells(TASKS, {"select", "update", "delete"}, {*NOT_JOINED, "nobody"})
        | cells(TASKS, "insert", NOT_JOINED)
        | cells("app.current_workspace_id(text)", "act as owner", {"editor", "viewer", *NOT_JOINED, "nobody"})
        | cells("app.invitations", {"select", "insert", "delete"}, {"editor", "viewer", *NOT_JOINED})
        | cells("app.members", {"select", "delete an owner"}, NOT_JOINED)
        | cells("app.workspaces", {"update without a condition"}, NOT_JOINED),
    ),
    "anybody's membership": (
        SEES_ALL + current_workspace(ROLES.format("viewer", "owner")),
        cells(TASKS, {"select", "update", "delete"}, {*NOT_JOINED, "nobody"}) | cells(TASKS, "insert", NOT_JOINED),
    ),
    "a list of all memberships": (
        SEES_ALL + memberships("true"),
        cells("app.current_memberships()", "select others' memberships", {*RELATIONS} - {"nobody"})
        | cells("app.workspaces", "select", OTHERS - {"acting nowhere"}),
    ),
    "or instead of and": (
        SEES_ALL + current_workspace(f"({OWN} or {ROLES.format('viewer', 'owner')})"),
        cells("app.current_workspace_id(text)", "act as owner", {"viewer", "editor", *NOT_JOINED, "nobody"}),
    ),
    "the role that one has somewhere": (
        SEES_ALL
        + f"""create or replace function app.current_workspace_id(at_least text) returns uuid language sql stable
        security definer cost 1000000 set search_path = ''
        return (select app.requested_workspace_id() from app.members as m where {OWN} and {ROLES} limit 1);""".format(
            "viewer", "owner"
        ),
        cells("app.current_workspace_id(text)", "act as owner", {"viewer", "member of another"})
        | cells("app.workspaces", "update without a condition", {"viewer", "member of another"}),
    ),
    "the roles turned round": (
        current_workspace(f"{OWN} and {ROLES.format('owner', 'viewer')}"),
        cells("app.current_workspace_id(text)", "act as owner", {"viewer", "editor"})
        | cells("app.invitations", {"select", "delete"}, {"viewer", "editor"}),
    ),
    "making oneself a member": (
        (
            "create policy open on app.members for insert to app_api with check (true);"
            "grant insert on app.members to app_api"
        ),
        cells("app.members", "insert oneself", {*RELATIONS} - {"acting elsewhere", "acting nowhere"})
        | cells("app.members", "insert somebody else", {*RELATIONS}),
    ),
    "owners who add whom they like": (
        (
            f"create policy open on app.members for insert to app_api with check ({HERE.format('owner')});"
            "grant insert (workspace_id, user_id, role) on app.members to app_api"
        ),
        cells("app.members", "insert somebody else", "owner"),
    ),
    "invitations that viewers read": (
        alter("invitations_are_read_by_owners", "invitations", HERE.format("viewer")),
        cells("app.invitations", "select", {"editor", "viewer"}),
    ),
    "a hash that owners read": (
        "grant select (token_hash) on app.invitations to app_api",
        cells("app.invitations", "select the hash", "owner"),
    ),
    "invitations that editors revoke without seeing them": (
        alter("invitations_are_revoked_by_owners", "invitations", HERE.format("editor")),
        cells("app.invitations", BLIND, "editor"),
    ),
    "invitations that viewers make": (
        alter("invitations_are_made_by_owners", "invitations", HERE.format("viewer"), "with check"),
        cells("app.invitations", "insert", {"editor", "viewer"}),
    ),
    "members who remove anybody": (
        alter("members_are_removed_by_owners_or_leave", "members", HERE.format("viewer")),
        cells("app.members", {"delete somebody", "delete an owner", "merge"}, {"editor", "viewer"}),
    ),
    "leaving from wherever one is": (
        alter("members_are_removed_by_owners_or_leave", "members", "user_id = app.current_user_id()"),
        cells("app.members", "delete without a condition", {"acting nowhere"}),
    ),
    "viewers who raise their own role": (
        alter("members_are_changed_by_owners", "members", HERE.format("viewer"))
        + alter("members_are_changed_by_owners", "members", HERE.format("viewer"), "with check"),
        cells(
            "app.members",
            {"select for update", "update somebody's role", "update one's own role", "update without a condition"},
            {"editor", "viewer"},
        ),
    ),
    "members of all workspaces": (
        alter("members_are_read_by_members", "members", "true"),
        cells("app.members", "select", OTHERS) | cells("app.members", "select rows of other workspaces", {*RELATIONS}),
    ),
    "memberships handed on": (
        "grant update (user_id) on app.members to app_api",
        cells("app.members", "update whose membership it is", "owner"),
    ),
    "a workspace without an owner": (
        (
            "drop trigger members_keep_an_owner_who_leaves on app.members;"
            "drop trigger members_keep_an_owner_who_steps_down on app.members"
        ),
        cells(
            "app.members", {"delete the last owner elsewhere", "demote the last owner elsewhere"}, "acting elsewhere"
        ),
    ),
    "an invitation that is accepted twice": (
        alter(
            "invitations_are_accepted_once",
            "invitations",
            "token_hash = decode(current_setting('app.invitation', true), 'hex')",
        )
        + ACCEPT.format("", "a.role"),
        cells("app.accept_invitation(bytea)", "accept one again", NOT_JOINED),
    ),
    "tasks of any workspace of mine": (
        alter(
            "workspace_tasks_are_read_by_members", "workspace_tasks", "workspace_id = any (app.current_workspace_ids())"
        ),
        cells(TASKS, {"select", "select rows of other workspaces"}, "acting nowhere"),
    ),
    "memberships of all workspaces, whichever one acts in": (
        alter("members_of_the_caller_decide", "members", "user_id = app.current_user_id()") + memberships(OWN),
        cells(
            "app.workspaces",
            "select rows of other workspaces",
            {"owner", "viewer", "member of another", "acting elsewhere"},
        )
        | cells("app.workspaces", "select", "acting elsewhere")
        | cells(
            "app.current_memberships()",
            "select others' memberships",
            {"owner", "viewer", "member of another", "acting elsewhere"},
        ),
    ),
    "tasks that viewers add": (
        alter("workspace_tasks_are_added_by_editors", "workspace_tasks", HERE.format("viewer"), "with check"),
        cells(TASKS, "insert", "viewer"),
    ),
    "tasks that viewers delete": (
        alter("workspace_tasks_are_deleted_by_editors", "workspace_tasks", HERE.format("viewer")),
        cells(TASKS, {"delete", "merge", *BLIND}, "viewer"),
    ),
    "tasks that everybody deletes": (
        alter("workspace_tasks_are_deleted_by_editors", "workspace_tasks", "true"),
        cells(TASKS, {"delete", "merge"}, "viewer") | cells(TASKS, BLIND, {"viewer", *OTHERS}),
    ),
    "tasks that are moved": (
        "grant update (workspace_id) on app.workspace_tasks to app_api;"
        + alter("workspace_tasks_are_changed_by_editors", "workspace_tasks", "true", "with check"),
        cells(TASKS, "move without a condition", {"owner", "editor"}),
    ),
    "workspaces that editors delete": (
        alter("workspaces_are_deleted_by_owners", "workspaces", HERE.format("editor")),
        cells("app.workspaces", {"delete", "merge", "delete without a condition"}, "editor"),
    ),
    "workspaces that everybody reads": (
        alter("workspaces_are_read_by_members", "workspaces", "true"),
        cells("app.workspaces", "select", OTHERS - {"acting nowhere"})
        | cells("app.workspaces", "select rows of other workspaces", {*RELATIONS}),
    ),
    "workspaces that have no owner from the start": (
        (
            "create policy open on app.workspaces for insert to app_api with check (true);"
            "grant insert (name) on app.workspaces to app_api"
        ),
        cells("app.workspaces", "insert", {*RELATIONS}),
    ),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_mistake_is_an_error_at_its_cells(name: str, url: Url) -> None:
    change, expected = HOLES[name]
    proof = proof_of(url, change)
    assert expected <= unexpected(proof, "allowed")
    errors = {each.object for each in proof.findings if (each.name, each.level) == ("prove", "error")}
    assert errors >= {table for table, _, _ in expected}
    assert len({each.key for each in proof.findings}) == len(proof.findings)


# What members should be allowed to do, and cannot.
REFUSALS: dict[str, tuple[str, Cells]] = {
    "tasks that only editors read": (
        alter("workspace_tasks_are_read_by_members", "workspace_tasks", HERE.format("editor")),
        cells(TASKS, "select", "viewer"),
    ),
    "tasks that nobody may delete": (
        "revoke delete on app.workspace_tasks from app_api",
        cells(TASKS, {"delete", "merge", "delete without a condition"}, {"owner", "editor"}),
    ),
    "members who cannot leave": (
        alter("members_are_removed_by_owners_or_leave", "members", HERE.format("owner")),
        cells("app.members", {"delete oneself: leave", "delete without a condition"}, {"editor", "viewer"}),
    ),
    "workspaces that are not listed": (
        alter("workspaces_are_read_by_members", "workspaces", HERE.format("viewer")),
        cells("app.workspaces", "select", "acting nowhere"),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_blocked_and_should_be_allowed_is_a_warning_at_its_cells(name: str, url: Url) -> None:
    change, expected = REFUSALS[name]
    proof = proof_of(url, change)
    assert expected <= unexpected(proof, "blocked")
    warnings = {each.object for each in proof.findings if (each.name, each.level) == ("prove", "warning")}
    assert warnings >= {table for table, _, _ in expected}


@pytest.mark.parametrize(
    "change",
    [
        "drop policy workspaces_are_created_by_a_caller on app.workspaces",
        "revoke execute on function app.accept_invitation(bytea) from app_api",
        "drop function app.create_workspace(text)",
        "revoke execute on function app.current_memberships() from app_api",
        current_workspace(f"{OWN} and m.role = at_least"),
    ],
)
def test_workspaces_that_cannot_be_made_are_a_finding(change: str, url: Url) -> None:
    proof = proof_of(url, change)
    assert [each.name for each in proof.findings if "no workspace could be made" in each.detail] == ["prove_seed"]
    assert ("app.tasks", "delete another tenant's row") in {(each.table, each.attempt) for each in proof.attempts}


# ---- tables that are added ---------------------------------------------------------------------------


def shared(columns: str = "", more: str = "", grants: str = "select, delete, insert (body), update (body)") -> str:
    """Return the SQL of a table that members of a workspace share."""
    return f"""
        create table scratch.pages (
            workspace_id uuid not null default app.current_workspace_id('viewer'),
            id uuid not null default gen_random_uuid(), user_id text not null default app.current_user_id(),
            body text not null, {columns} primary key (workspace_id, id),
            foreign key (workspace_id) references app.workspaces on delete cascade
        ) {more};
        {protect("scratch.pages", grants, f"for select to app_api using ({HERE.format('viewer')})")}
        create policy adds on scratch.pages for insert to app_api with check ({HERE.format("editor")});
        create policy changes on scratch.pages for update to app_api
            using ({HERE.format("editor")}) with check ({HERE.format("editor")});
        create policy removes on scratch.pages for delete to app_api using ({HERE.format("editor")});
    """


COMMENTS = f"""
    create table scratch.comments (
        workspace_id uuid not null default app.current_workspace_id('viewer'), page uuid not null, n int not null,
        primary key (workspace_id, n), foreign key (workspace_id, page) references scratch.pages);
    {protect("scratch.comments", "select, insert (page, n)", f"for select to app_api using ({HERE.format('viewer')})")}
    create policy adds on scratch.comments for insert to app_api with check ({HERE.format("editor")});
"""
RIGHTS = """
    create or replace view audit.member_rights ("table", reads, lists, inserts, updates, deletes) as values
        ('*'::text, 'viewer'::text, null::text, 'editor'::text, 'editor'::text, 'editor'::text),
        ('scratch.pages', 'viewer', null, 'viewer', 'viewer', 'viewer'),
        ('app.workspaces', 'viewer', 'viewer', null, 'owner', 'owner'),
        ('app.members', 'viewer', null, null, 'owner', 'owner'),
        ('app.invitations', 'owner', null, 'owner', null, 'owner');
"""
ADDED = {
    "a shared table": (shared(), {"owner", "editor"}),
    "one with a unique name": (shared("unique (workspace_id, body),"), {"owner", "editor"}),
    "one that others refer to": (shared() + COMMENTS, {"owner", "editor"}),
    "one with ids that the client makes": (
        shared(grants="select, delete, insert (id, body), update (body)").replace(" default gen_random_uuid()", ""),
        {"owner", "editor"},
    ),
    "one in partitions": (
        shared(more="partition by hash (workspace_id)")
        + "create table scratch.pages_0 partition of scratch.pages for values with (modulus 1, remainder 0);",
        {"owner", "editor"},
    ),
    "one that is only added to": (shared(grants="select, insert (body)"), NOBODY),
    "one that viewers write, which is declared": (
        shared().replace("'editor'", "'viewer'") + RIGHTS,
        MEMBERS,
    ),
    "one that every workspace has rows of from the start": (
        shared()
        + """create function scratch.fill() returns trigger language plpgsql security definer set search_path = '' as
        'begin insert into scratch.pages (workspace_id, body) values (new.workspace_id, ''Welcome''); return new; end';
        create policy fills on scratch.pages for insert with check (true);
        alter policy fills on scratch.pages to app_owner;
        alter function scratch.fill() owner to app_owner;
        create trigger fill after insert on app.workspaces for each row execute function scratch.fill();""",
        {"owner", "editor"},
    ),
}


@pytest.mark.parametrize("name", ADDED)
def test_a_table_that_is_added_is_tried_without_being_listed(name: str, url: Url) -> None:
    design, may_delete = ADDED[name]
    proof = proof_of(url, design)
    assert proof.findings == []
    row = [each for each in proof.matrix if (each.table, each.attempt) == ("scratch.pages", "delete")]
    assert {each.role for each in row if each.blocked is False} == may_delete
    assert len(row) == len(RELATIONS)


def test_a_table_that_only_a_job_fills_has_nothing_to_try(url: Url) -> None:
    """Nobody has a row that a member should see. What needs no row is tried."""
    proof = proof_of(url, shared(grants="select"))
    assert proof.findings == []
    assert {each.attempt for each in proof.attempts if each.table == "scratch.pages"} >= {"read without a condition"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("alter policy adds on scratch.pages with check (true)", cells("scratch.pages", "insert", "viewer")),
        ("alter policy own on scratch.pages using (true)", cells("scratch.pages", "select", OTHERS)),
        (
            f"alter policy removes on scratch.pages using ({HERE.format('viewer')})",
            cells("scratch.pages", {"delete", "delete without a condition"}, "viewer"),
        ),
        (
            "alter policy own on scratch.pages using (user_id = app.current_user_id())",
            cells("scratch.pages", "select", {"acting elsewhere", "acting nowhere"}),
        ),
    ],
)
def test_a_mistake_on_a_table_that_is_added_is_found(change: str, expected: Cells, url: Url) -> None:
    assert expected <= unexpected(proof_of(url, f"{shared()} {change}"), "allowed")


# ---- what is printed ---------------------------------------------------------------------------------


@pytest.fixture
def mistaken(url: Url) -> Proof:
    change, _ = HOLES["tasks that viewers add"]
    refusal, _ = REFUSALS["members who cannot leave"]
    return proof_of(url, change + refusal)


def test_people_get_a_table_to_file_in_which_what_is_wrong_is_marked(mistaken: Proof) -> None:
    lines = as_text(mistaken.findings, [*mistaken.attempts, *mistaken.matrix]).splitlines()
    [wrong] = [line for line in lines if line.startswith(f"{TASKS} ") and " insert  " in line]
    assert wrong.split() == [TASKS, "insert", "allowed", "allowed", "ALLOWED!", *["blocked"] * 7]
    [refused] = [line for line in lines if line.startswith("app.members ") and "leave" in line]
    assert refused.split()[4:] == ["allowed", "BLOCKED!", "BLOCKED!", "-", "-", "-", "-", "blocked", "blocked", "-"]
    assert all(any(line.startswith(f"{relation} ") for line in lines) for relation in RELATIONS)
    assert max(map(len, [line for line in lines if line.startswith(f"{TASKS} ")])) < 170


def test_programs_get_each_cell_with_who_tried_and_what_was_expected(mistaken: Proof) -> None:
    attempts = json.loads(as_json(mistaken.findings, mistaken.matrix))["attempts"]
    [cell] = [
        each for each in attempts if (each["table"], each["attempt"], each["role"]) == (TASKS, "insert", "viewer")
    ]
    assert cell == {
        "table": TASKS,
        "attempt": "insert",
        "role": "viewer",
        "expected": "blocked",
        "outcome": "INSERT 0 1",
        "blocked": False,
    }


def test_code_scanning_gets_one_result_for_each_row_that_is_wrong(mistaken: Proof) -> None:
    results = json.loads(as_sarif(mistaken.findings, mistaken.matrix))["runs"][0]["results"]
    said = {(each["ruleId"], each["level"], each["message"]["text"].partition("\n")[0]) for each in results}
    assert ("prove", "error", f"{TASKS}: Not blocked: insert (viewer: INSERT 0 1).") in said
    leave = "app.members: Blocked, and should be allowed: delete oneself: leave (editor: DELETE 0; viewer: DELETE 0)."
    assert ("prove", "warning", leave) in said
    assert len({each["partialFingerprints"]["key/v1"] for each in results}) == len(results)


def test_an_attempt_is_as_expected_only_if_it_was_made() -> None:
    assert not Attempt("t", "a", "not tried", blocked=None).is_as_expected
    assert not Attempt("t", "a", "not tried", None, "owner", "allowed").is_as_expected
