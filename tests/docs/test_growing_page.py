"""docs/growing.md by hand: its SQL makes a table that the audit vouches for, and what is forgotten is reported."""

import asyncio
import re
import textwrap
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import asyncpg
import psycopg
import pytest

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


def test_the_table_by_hand_is_right_and_the_proof_holds(owner: psycopg.Connection, url: Url) -> None:
    execute(owner, statements(REVISION))
    owner.commit()
    assert found(owner) == {"unexpected"}
    owner.commit()
    execute(owner, [asyncio.run(manifest(url("app_migrator")))])  # as `make schema` and a release do
    owner.commit()

    async def try_it() -> Proof:
        connection = await asyncpg.connect(url("app_api"))
        try:
            return await prove(connection)
        finally:
            await connection.close()

    proof = asyncio.run(try_it())
    assert found(owner) == set()
    assert (proof.findings, {each.blocked for each in proof.attempts}) == ([], {True})
    assert "app.zz_notes" in {each.table for each in proof.attempts}

    execute(owner, statements(REVISION, "downgrade"))
    assert owner.execute("select to_regclass('app.zz_notes')").fetchone() == (None,)


def rows_of_the_page() -> dict[str, str]:
    """Return what the page says of what is forgotten, as far as a check of the audit reports it."""
    return dict(re.findall(r"^\| (.+?) \| `([a-z_]+)` \|$", PAGE.partition("## What goes red")[2], re.MULTILINE))


def test_each_row_of_the_page_is_tried() -> None:
    assert rows_of_the_page().keys() == FORGOTTEN.keys()


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
