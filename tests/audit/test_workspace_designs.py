"""The usual ways to do teams with row-level security that are wrong: what the audit says, and that running it helps."""

import psycopg
import pytest

from tests.support.twins import (
    ERROR,
    Bad,
    Good,
    Twins,
    findings,
    parametrized,
    run,
    shared_table,
    without_comment,
)

MINE = "workspace_id in (select m.workspace_id from app.members as m where m.user_id = app.current_user_id())"
READ_MEMBERS = "alter policy members_are_read_by_members on app.members using ({})"
RECURSIVE = READ_MEMBERS.format(MINE)
# With its caller's rights; as it is mostly written, in quotes.
IS_MEMBER = """
    create function app.is_member(of_workspace uuid) returns boolean language sql stable parallel safe {options} as
    'select exists (select from app.members as m where m.workspace_id = $1 and m.user_id = app.current_user_id())';
    alter function app.is_member(uuid) owner to app_owner;
    revoke execute on function app.is_member(uuid) from public;
    grant execute on function app.is_member(uuid) to app_api;
"""
DEFINER = "security definer set search_path = ''"
RECURSIVE_FUNCTION = IS_MEMBER.format(options="") + READ_MEMBERS.format("app.is_member(workspace_id)")
EVERY_MEMBERSHIP = """
    create function app.memberships() returns setof app.members language sql stable security definer
    set search_path = '' as 'table app.members';
    alter function app.memberships() owner to {owner};
    revoke execute on function app.memberships() from public;
    grant execute on function app.memberships() to app_api;
"""
SHARED = shared_table("scratch.plans")


def each_policy(clause: str) -> str:
    return f"""{SHARED}
        alter policy p on scratch.plans using ({clause});
        alter policy adding on scratch.plans with check ({clause});
        alter policy own on scratch.plans using ({clause}) with check ({clause});
        alter policy removing on scratch.plans using ({clause})"""


# fmt: off
# A twin is two or three lines.
TWINS: Twins = {
    "policy_recurses": [
        Bad(RECURSIVE, "app.members.members_are_read_by_members", also="policy_with_subselect policy_without_tenant"),
        Bad(RECURSIVE_FUNCTION, "app.members.members_are_read_by_members",
            also="policy_with_function_per_row policy_without_tenant"),
        Bad("alter policy members_of_the_caller_decide on app.members"
            " using (workspace_id = app.current_workspace_id('viewer'))", "app.members.members_of_the_caller_decide"),
        Good("select"),
    ],
    "policy_with_subselect": [
        Bad(each_policy(MINE), "scratch.plans.p", also="policy_without_tenant", times=5),
        Good(SHARED),
    ],
    "policy_without_tenant": [
        Bad(each_policy("workspace_id = any (app.current_workspace_ids())"), "scratch.plans.own", ERROR, times=5),
        Bad(each_policy("workspace_id = app.requested_workspace_id()"), "scratch.plans.removing", ERROR, times=5),
    ],
    "policy_with_function_per_row": [
        Bad(IS_MEMBER.format(options=DEFINER) + each_policy("app.is_member(workspace_id)"), "scratch.plans.p",
            also="policy_without_tenant", times=5),
        # Nor does it help beside the comparison: it is called for each row of the workspace.
        Bad(IS_MEMBER.format(options=DEFINER) + SHARED + "alter policy p on scratch.plans using ("
            "workspace_id = app.current_workspace_id('viewer') and app.is_member(workspace_id))", "scratch.plans.p",
            fix="alter policy p on scratch.plans using (workspace_id = app.current_workspace_id('viewer'))"),
    ],
    "definer_function_bypasses_rls": [
        Bad(EVERY_MEMBERSHIP.format(owner="postgres"), "app.memberships()", ERROR),
        Bad(EVERY_MEMBERSHIP.format(owner="app_owner")
            + "create policy p on app.workspace_tasks for select to app_owner using (true)", "app.memberships()", ERROR,
            also="policy_for_other_role", times=None),
        Good(EVERY_MEMBERSHIP.format(owner="app_owner")),
    ],
    "policy_for_other_role": [
        Bad("alter policy members_of_the_caller_decide on app.members using (true)",
            "app.members.members_of_the_caller_decide"),
        Bad("alter policy members_of_the_caller_decide on app.members using (user_id = app.current_user_id())",
            "app.members.members_of_the_caller_decide"),
    ],
}
# fmt: on

test_a_wrong_design_is_reported_and_fixed, _, test_a_right_one_is_not_reported = parametrized(TWINS)


@pytest.mark.parametrize("design", [RECURSIVE, RECURSIVE_FUNCTION])
def test_a_list_of_members_that_asks_itself_cannot_be_read_until_the_remediation_is_run(
    scratch: psycopg.Connection, design: str
) -> None:
    run(scratch, "set local app.user_id = 'alice'; select from app.create_workspace('Garden')")
    run(scratch, design)
    read = "set local role app_api; set local app.user_id = 'alice'; table app.members; reset role"
    too_deep = (psycopg.errors.InvalidObjectDefinition, psycopg.errors.StatementTooComplex)
    with pytest.raises(too_deep), scratch.transaction():
        run(scratch, read)

    (recursion,) = [finding for finding in findings(scratch) if finding.name == "policy_recurses"]
    run(scratch, without_comment(recursion.remediation))
    run(scratch, read)


@pytest.mark.parametrize(
    ("design", "words"),
    [
        (RECURSIVE, "every query of it fails by infinite recursion"),
        (each_policy(MINE), "rows of every tenant in a list, not only of the one that the session acts for"),
        (
            each_policy("workspace_id = any (app.current_workspace_ids())"),
            "rows of every tenant in a list, not only of the one that the session acts for",
        ),
        (
            IS_MEMBER.format(options=DEFINER) + each_policy("app.is_member(workspace_id)"),
            "calls app.is_member(uuid) for each row, because it takes the tenant column",
        ),
        (EVERY_MEMBERSHIP.format(owner="postgres"), "app_api may execute it, and it runs as postgres"),
    ],
)
def test_what_is_wrong_is_said_in_words(scratch: psycopg.Connection, design: str, words: str) -> None:
    run(scratch, design)
    assert [finding for finding in findings(scratch) if words in finding.detail]


def test_the_remediation_of_a_policy_of_the_release_is_what_the_release_made(scratch: psycopg.Connection) -> None:
    policies = "select polname, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) from pg_policy"
    before = set(scratch.execute(policies))
    every = r"""select format('alter policy %I on %s %s (true)', policy, "table", clause)
        from audit.clauses where "table"::text like 'app.%' and not implied"""
    for (widened,) in scratch.execute(every).fetchall():
        run(scratch, widened)
    widest = set(scratch.execute(policies))

    for finding in findings(scratch):
        run(scratch, finding.remediation)
    assert set(scratch.execute(policies)) == before != widest
    assert findings(scratch) == []
