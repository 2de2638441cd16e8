"""Two workspaces in SQL, and the transactions of their members.

Home: Alice is its owner, Bob an editor, Charlie a viewer. Work: Bob is its owner, Alice a viewer.
"""

from typing import NamedTuple
from uuid import UUID

import psycopg

from db.session import begin_statement

HOME = UUID("0198c0de-0000-7000-8000-0000000000aa")
WORK = UUID("0198c0de-0000-7000-8000-0000000000bb")
NOWHERE = UUID("0198c0de-0000-7000-8000-0000000000ff")  # no workspace has this id

WORKSPACES = f"""
    insert into app.workspaces (workspace_id, name) values ('{HOME}', 'Home'), ('{WORK}', 'Work');
    insert into app.members (workspace_id, user_id, role) values
        ('{HOME}', 'alice', 'owner'), ('{HOME}', 'bob', 'editor'), ('{HOME}', 'charlie', 'viewer'),
        ('{WORK}', 'bob', 'owner'), ('{WORK}', 'alice', 'viewer');
    insert into app.invitations (workspace_id, user_id, role, token_hash, expires_at) values
        ('{HOME}', 'alice', 'editor', sha256('home'), now() + interval '7 days'),
        ('{WORK}', 'bob', 'editor', sha256('work'), now() + interval '7 days');
    insert into app.workspace_tasks (workspace_id, user_id, text) values
        ('{HOME}', 'alice', 'Buy milk'), ('{HOME}', 'bob', 'Fix the fence'), ('{WORK}', 'bob', 'Write the report');
"""
TABLES = ("app.workspaces", "app.members", "app.invitations", "app.workspace_tasks")

Rows = list[tuple[object, ...]]


class Caller(NamedTuple):
    """Who calls, and in which workspace they want to act."""

    user_id: str
    workspace_id: UUID | None = HOME


OWNER, EDITOR, VIEWER = Caller("alice"), Caller("bob"), Caller("charlie")
OUTSIDER = Caller("charlie", WORK)


def begin(connection: psycopg.Connection, caller: Caller, isolation: str = "read committed") -> None:
    """Begin a transaction, as the API does."""
    connection.execute(begin_statement(caller.user_id, read_only=False, workspace_id=caller.workspace_id).encode())
    connection.execute(f"set transaction isolation level {isolation}".encode())


def run(connection: psycopg.Connection, caller: Caller, statement: str) -> Rows:
    """Return the rows of a statement, in a transaction of its own."""
    begin(connection, caller)
    try:
        cursor = connection.execute(statement.encode())
        return [] if cursor.description is None else cursor.fetchall()
    finally:
        connection.execute("commit")


def count(connection: psycopg.Connection, caller: Caller, statement: str) -> int:
    """Return how many rows a statement returns or changes, in a transaction that is rolled back."""
    begin(connection, caller)
    try:
        return connection.execute(statement.encode()).rowcount
    finally:
        connection.execute("rollback")


def everything(admin: psycopg.Connection) -> dict[str, Rows]:
    """Return all rows of all workspaces, by table."""
    rows = {
        table: admin.execute(f"select t::text from {table} as t order by 1".encode()).fetchall() for table in TABLES
    }
    admin.commit()
    return rows


def roles(admin: psycopg.Connection, workspace: UUID = HOME) -> dict[str, str]:
    """Return the role of each member."""
    found = admin.execute("select user_id, role from app.members where workspace_id = %s", [workspace]).fetchall()
    admin.commit()
    return dict(found)
