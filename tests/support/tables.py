"""Every table of tenants, whoever adds it: as audit.tables has them."""

import re
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from api.http.examples import WORKSPACE_ID
from api.invitations.examples import TOKEN
from api.invitations.routes import hash_of
from api.members.examples import MEMBER
from tests.support.routes import COLLECTIONS, Place, described_response, example

# Of resources in a workspace whose tables are not called like the end of their path.
TABLES = {"/workspaces/{workspace_id}/tasks": "workspace_tasks"}


def tenant_tables(admin: psycopg.Connection) -> list[str]:
    """Return the names of all tables that the API can reach, quoted."""
    rows = admin.execute('select "table"::text from audit.tables where reachable order by 1').fetchall()
    return [name for (name,) in rows]


def rows_of(admin: psycopg.Connection, user: str) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of a user, by table. A workspace is of all its members."""
    query = "select t.* from {} as t {} where user_id = %s order by t::text"
    join = {"app.workspaces": "join app.members using (workspace_id)"}
    found = {
        name: admin.execute(query.format(name, join.get(name, "")).encode(), [user]) for name in tenant_tables(admin)
    }
    return {table: rows.fetchall() for table, rows in found.items()}


def insert_examples(admin: psycopg.Connection, user: str = "alice") -> dict[str, Place]:
    """Insert a row of each resource, the document's example, of a user; return for each path the place of such a row.

    What belongs to a workspace is in Alice's of the example, or in one of another user's own.
    """
    workspace_id = WORKSPACE_ID if user == "alice" else str(uuid4())
    places: dict[str, Place] = {}
    for path, one in sorted(COLLECTIONS.items()):
        row = {**example(described_response("GET", one, 200)), "user_id": user}
        place = {re.findall(r"{(\w+)}", one)[-1]: row["id"]}
        if "{workspace_id}" in path:
            place = {"workspace_id": workspace_id} | place
            row["workspace_id"] = workspace_id
        if path == "/workspaces":
            place = {"workspace_id": workspace_id}
            named = {name: row[name] for name in ("name", "created_at", "updated_at")}
            insert(admin, "workspaces", {**place, **named})
            insert(admin, "members", {**MEMBER, **place, "user_id": user})
        else:
            more = {"token_hash": hash_of(TOKEN if user == "alice" else user)} if path.endswith("/invitations") else {}
            insert(admin, TABLES.get(path, path.rpartition("/")[2]), row | more)
        places[path] = places[one] = place
    return places


def insert(admin: psycopg.Connection, table: str, row: dict[str, Any]) -> None:
    """Insert a row into a table of schema app."""
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier("app", table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.Placeholder, row)),
    )
    admin.execute(statement, row)
