"""Every table of tenants, whoever adds it: as audit.tables has them."""

import psycopg
from psycopg import sql

from tests.support.routes import COLLECTIONS, described_response, example


def tenant_tables(admin: psycopg.Connection) -> list[str]:
    """Return the names of all tables that the API can reach, quoted."""
    rows = admin.execute('select "table"::text from audit.tables where reachable order by 1').fetchall()
    return [name for (name,) in rows]


def rows_of(admin: psycopg.Connection, user: str) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of a user, by table."""
    query = "select * from {} where user_id = %s order by t::text"
    found = {table: admin.execute(query.format(f"{table} as t").encode(), [user]) for table in tenant_tables(admin)}
    return {table: rows.fetchall() for table, rows in found.items()}


def insert_examples(admin: psycopg.Connection, user: str = "alice") -> dict[str, str]:
    """Insert a user's row for each resource, the document's example, of /tasks into app.tasks; return ids by path."""
    rows = {path: example(described_response("GET", one, 200)) | {"user_id": user} for path, one in COLLECTIONS.items()}
    for collection, row in rows.items():
        insert = sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier("app", collection.strip("/")),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(map(sql.Placeholder, row)),
        )
        admin.execute(insert, row)
    return {collection: row["id"] for collection, row in rows.items()}
