"""docs/growing.md by hand: its SQL makes tables that the audit vouches for, and what is forgotten is reported."""

import asyncio
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from types import SimpleNamespace
from typing import get_args

import asyncpg
import psycopg
import pytest

from api.http import idempotency
from api.http.access import Role
from api.http.pages import Listing
from api.http.rows import Row
from db.audit.prove import Proof, prove
from migrations.dump import manifest
from tests.support.database import ROOT, Url

PAGE = (ROOT / "docs" / "growing.md").read_text()
[REVISION] = re.findall(r"<!-- by hand -->\n    ```python\n(.*?)    ```", PAGE, re.DOTALL)


def statements(revision: str, function: str = "upgrade") -> list[str]:
    """Return what a revision executes. Whoever follows the page has a table `notes`, hence another name."""
    executed: list[str] = []
    module = {"op": SimpleNamespace(execute=executed.append)}
    exec(revision, module)  # noqa: S102 - the page's
    module[function]()  # type: ignore[operator]  # it is a function
    return [statement.replace("notes", "zz_notes") for statement in executed]


REVISION = textwrap.dedent(REVISION)
[IN_WORKSPACE] = re.findall(r"<!-- by hand, in a workspace -->\n```sql\n(.*?)```", PAGE, re.DOTALL)
IN_WORKSPACE = IN_WORKSPACE.replace("documents", "zz_documents")

# What is forgotten, as the page says it: what of the SQL is replaced, and by what.
FORGOTTEN = {
    "`enable row level security`": ("enable row level security, force", "force"),
    "`force row level security`": ("enable row level security, force row level security", "enable row level security"),
    "the policy": (r"create policy.*|comment on policy.*", ""),
    "`with check`": (r"\nwith check.*", ""),
    "`to app_api`": (r"\nfor all to app_api", ""),
    "the tenant in the policy": (r"user_id = app.current_user_id\(\)", "id is not null"),
    "`user_id`": (r"    user_id text[^\n]*\n|comment on column app.zz_notes.user_id.*", ""),
    "the default of `user_id`": (r" default app.current_user_id\(\)", ""),
    "the primary key": (r"    constraint zz_notes_pkey[^\n]*\n|comment on constraint zz_notes_pkey.*", ""),
    "`user_id` at the front of a key": (r"primary key \(user_id, id\)", "primary key (id)"),
    "the columns of `grant insert`": (r"insert \(title\)", "insert"),
}
# The same of what a workspace shares.
MEMBERS_READ = r"workspace_id = app.current_workspace_id\('viewer'\)"
MISTAKES = {
    "a policy compares `user_id` with the caller": (MEMBERS_READ, "user_id = app.current_user_id()"),
    "a policy compares with any workspace of the caller's: `= any (app.current_workspace_ids())`": (
        MEMBERS_READ,
        "workspace_id = any (app.current_workspace_ids())",
    ),
    "a policy asks itself: `workspace_id in (select workspace_id from app.members …)`": (
        MEMBERS_READ,
        "workspace_id in (select workspace_id from app.members where user_id = app.current_user_id())",
    ),
    "`with check` is missing in the policy for update": (
        r"(?<=for update to app_api)(\nusing [^\n]+)\nwith [^;]+",
        r"\1",
    ),
    "`workspace_id` without its default": (r" default app.current_workspace_id\('viewer'\)", ""),
    "the key is `(user_id, id)`": (r"primary key \(workspace_id, id\)", "primary key (user_id, id)"),
    "a foreign key without `workspace_id`": (
        r"\Z",
        "alter table app.zz_documents add unique (id), add parent uuid references app.zz_documents (id)",
    ),
    "an index that does not start with `workspace_id`": (r"\Z", "create index on app.zz_documents (title)"),
    "`insert` or `update` is granted on `workspace_id` or `user_id`": (r"insert \(title\)", "insert (user_id, title)"),
}
# Without the column there is nothing that a key and a policy could name.
WITHOUT_COLUMN = (("primary key (user_id, id)", "primary key (id)"), ("user_id = app.current_user_id()", "true"))


@pytest.fixture
def owner(url: Url) -> Iterator[psycopg.Connection]:
    """A session of app_owner, as a migration has one."""
    with psycopg.connect(url("app_migrator")) as connection:
        connection.execute("set role app_owner")
        yield connection


def execute(owner: psycopg.Connection, some: Sequence[str]) -> None:
    for statement in some:
        owner.execute(statement.encode())


def found(owner: psycopg.Connection) -> set[str]:
    """Return the checks that report something."""
    return {name for (name,) in owner.execute("select name from audit.findings")}


def release(owner: psycopg.Connection, url: Url) -> None:
    """Tell the audit of what is there, as `make schema` and a release do."""
    assert found(owner) == {"unexpected"}
    owner.commit()
    execute(owner, [asyncio.run(manifest(url("app_migrator")))])
    assert found(owner) == set()
    owner.commit()


def assert_holds(url: Url, table: str) -> None:
    """See that no attempt of --prove gets through, and that it tries the table."""

    async def try_it() -> Proof:
        connection = await asyncpg.connect(url("app_api"))
        try:
            return await prove(connection)
        finally:
            await connection.close()

    proof = asyncio.run(try_it())
    assert proof.findings == []
    assert table in {each.table for each in proof.attempts}


def test_the_table_by_hand_is_right_and_the_proof_holds(owner: psycopg.Connection, url: Url) -> None:
    execute(owner, statements(REVISION))
    owner.commit()
    release(owner, url)
    assert_holds(url, "app.zz_notes")

    execute(owner, statements(REVISION, "downgrade"))
    assert owner.execute("select to_regclass('app.zz_notes')").fetchone() == (None,)


def test_the_table_of_a_workspace_by_hand_is_right_and_the_proof_holds(owner: psycopg.Connection, url: Url) -> None:
    execute(owner, [IN_WORKSPACE])
    owner.commit()
    release(owner, url)
    assert_holds(url, "app.zz_documents")


def test_a_reference_in_a_workspace_is_right_and_both_go_with_the_workspace(
    owner: psycopg.Connection, admin: psycopg.Connection, url: Url
) -> None:
    [reference] = re.findall(r"of the same workspace `(foreign key [^`]+)`", PAGE)
    more = f"alter table app.zz_documents add task_id uuid, add {reference}"
    granted = "grant insert (task_id) on app.zz_documents to app_api"
    execute(owner, [IN_WORKSPACE, more, granted, "create index on app.zz_documents (workspace_id, task_id)"])
    owner.commit()
    assert found(owner) == {"unexpected"}
    owner.commit()

    with psycopg.connect(url("app_api")) as alice:
        alice.execute("set local app.user_id = 'alice'")
        [workspace_id] = alice.execute("select id from app.create_workspace('Garden')").fetchone() or ()
        alice.execute(f"set local app.workspace_id = '{workspace_id}'".encode())
        [task_id] = alice.execute("insert into app.workspace_tasks (text) values ('Dig') returning id").fetchone() or ()
        alice.execute("insert into app.zz_documents (title, task_id) values ('How to', %s)", [task_id])
        assert alice.execute("delete from app.workspaces where workspace_id = %s", [workspace_id]).rowcount == 1
    left = "select from app.zz_documents union all select from app.workspace_tasks"
    assert admin.execute(left).rowcount == 0


SAYS_ROLE: dict[str, Callable[..., object]] = {
    "Row": Row,
    "Listing": Listing,
    "idempotency.create": idempotency.create,
}


def test_the_role_that_a_command_takes_is_said_where_the_page_says() -> None:
    section = PAGE.partition("## The role that it takes")[2].partition("\n## ")[0]
    named = set(re.findall(r"(\w+(?:\.\w+)?)\(…, (\w+)=\"(\w+)\"\)", section))
    for function, parameter, role in named:
        assert signature(SAYS_ROLE[function]).parameters[parameter].annotation == Role
        assert role in get_args(Role)
    assert {parameter for _, parameter, _ in named} == {"reader", "writer", "role"}


def rows_of_the_page() -> dict[str, str]:
    """Return what the page says of what is forgotten or wrong, as far as a check of the audit reports it."""
    return dict(re.findall(r"^\| (.+?) \| `([a-z_]+)` \|$", PAGE.partition("## What goes red")[2], re.MULTILINE))


def test_each_row_of_the_page_is_tried() -> None:
    assert rows_of_the_page().keys() == FORGOTTEN.keys() | MISTAKES.keys()


@pytest.mark.parametrize("forgotten", FORGOTTEN)
def test_what_is_forgotten_is_reported_by_the_check_that_the_page_names(
    owner: psycopg.Connection, forgotten: str
) -> None:
    pattern, instead = FORGOTTEN[forgotten]
    right = statements(REVISION)
    wrong = [re.sub(pattern, instead, statement, flags=re.DOTALL) for statement in right]
    if forgotten == "`user_id`":
        for tenant, without in WITHOUT_COLUMN:
            wrong = [statement.replace(tenant, without) for statement in wrong]
    assert wrong != right

    execute(owner, [statement for statement in wrong if statement])

    assert rows_of_the_page()[forgotten] in found(owner)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_workspace_is_reported_by_the_check_that_the_page_names(
    owner: psycopg.Connection, mistake: str
) -> None:
    wrong = re.sub(*MISTAKES[mistake], IN_WORKSPACE)
    assert wrong != IN_WORKSPACE

    execute(owner, [wrong])

    assert rows_of_the_page()[mistake] in found(owner)
