"""Every table of tenants, whoever adds it: as audit.tables has them."""

import psycopg
from psycopg import sql

from tests.support.routes import COLLECTIONS, example, response


def tenant_tables(admin: psycopg.Connection) -> list[str]:
    """Return the names of all tables that the API can reach, quoted."""
    rows = admin.execute('select "table"::text from audit.tables where reachable order by 1').fetchall()
    return [name for (name,) in rows]


def insert_examples(admin: psycopg.Connection) -> dict[str, str]:
    """Insert the row that is the example of each resource: of /tasks into app.tasks. Return its id by the path."""
    rows = {collection: example(response("GET", one, 200)) for collection, one in COLLECTIONS.items()}
    for collection, row in rows.items():
        insert = sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier("app", collection.strip("/")),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(map(sql.Placeholder, row)),
        )
        admin.execute(insert, row)
    return {collection: row["id"] for collection, row in rows.items()}
