"""Where in a Citus cluster a connection leads."""

import asyncpg

ON_WORKER = (
    "This is a worker of a Citus cluster, which has shards of the tables and neither their revision nor an audit:"
    " connect to the coordinator."
)
"""Why nothing is served, migrated or audited there."""

ON_CITUS = "select exists (select from pg_catalog.pg_extension where extname = 'citus')"
"""Whether a database is one of a cluster."""

HAS_CITUS_GROUPS = "select pg_catalog.to_regclass('pg_catalog.pg_dist_local_group') is not null"
"""Whether a database has the table of Citus that says which node it is on."""

_IS_WORKER = "select groupid <> 0 from pg_catalog.pg_dist_local_group"


async def is_worker(connection: asyncpg.Connection) -> bool:
    """Return whether a connection leads to a worker. Raises what asyncpg raises."""
    return bool(await connection.fetchval(HAS_CITUS_GROUPS) and await connection.fetchval(_IS_WORKER))
