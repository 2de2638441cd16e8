"""The proof: what the audit reads in the catalogs is tried, in one transaction that is always rolled back.

On a Citus cluster the workspaces that it needs are committed before, and deleted at the end: `db.audit.committed`.
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple
from uuid import uuid4

import asyncpg

from db.audit import Finding
from db.audit.attempts import Attempt
from db.audit.committed import committed
from db.audit.prover import Prover
from db.audit.seeds import API, Transaction
from db.audit.trial import Begin
from db.connect import OWN_NAMES_ONLY
from db.pool import Pool
from db.session import Session

# What a session has before anybody sets anything, a search_path for the names in here among them.
_START = "select current_user, pg_catalog.current_setting('row_security')"
_CALLERS = "select pg_catalog.current_setting(setting, true) from audit.tenants"
_ACCEPTED = "select key, fingerprint from audit.accepted"
# What only the login has. As long as nothing is sent to the workers of a cluster, a change of the role is not, either.
_CITUS_SETTINGS = """
select format('set local %s = %L', split_part(setting, '=', 1), split_part(setting, '=', 2))
from pg_db_role_setting cross join unnest(setconfig) as setting
where setrole = 'app_api'::regrole and setdatabase = 0 and setting like 'citus.%'
"""


class Proof(NamedTuple):
    """All attempts to reach another tenant's rows, all of the matrix of a workspace, and what was not as expected."""

    attempts: list[Attempt]
    findings: list[Finding]
    matrix: list[Attempt]


class _DoneError(Exception):
    """Leaves the block of a transaction, which rolls it back."""


async def prove(connection: asyncpg.Connection) -> Proof:
    """Return every attempt on every tenant table, and the findings that are not accepted.

    `connection` is that of a login that may become app_api. Raises what asyncpg raises.
    """

    @asynccontextmanager
    async def begin() -> AsyncIterator[Transaction]:
        async with connection.transaction():
            await connection.execute(f"{OWN_NAMES_ONLY}; set local role {API}")
            for (statement,) in await connection.fetch(_CITUS_SETTINGS):
                await connection.execute(statement)
            yield connection

    async with begin():
        start = await _start(connection)
    return await _prove(begin, start)


async def prove_as_api(url: str) -> Proof:
    """Return the same for a session as the API opens it, with the API's own `url`.

    Includes what that login brings about, by its settings or by triggers. Raises what `Session` raises.
    """
    async with Pool(url, size=1, statement_cache_size=0, checkout_timeout=math.inf) as pool:
        connection = await pool.acquire("prove")
        start = await _start(connection)
        pool.release(connection, clean=True)
        return await _prove(Session(pool, str(uuid4()), read_only=False).transaction, start)


async def _start(connection: asyncpg.Connection) -> tuple[str, str, str]:
    """Return the role with which a session starts, row_security, and the tenants that it acts for."""
    [(role, row_security)] = await connection.fetch(_START)
    async with connection.transaction():
        await connection.execute("set local role app_api")  # the role that it starts with may read no view of the audit
        callers = await connection.fetch(_CALLERS)
    return role, row_security, ", ".join(dict.fromkeys(caller for (caller,) in callers if caller))


async def _prove(begin: Begin, start: tuple[str, str, str]) -> Proof:
    user = str(uuid4())

    @asynccontextmanager
    async def begin_as_api() -> AsyncIterator[Transaction]:
        async with begin() as transaction:
            if start[0] != API:
                await transaction.execute(f"set local role {API}")
            yield transaction

    async with committed(begin_as_api, user) as (places, findings):
        prover = Prover(user, places)
        _record_start(prover, *start)
        await prover.try_functions(begin_as_api)
        with suppress(_DoneError):
            async with begin_as_api() as transaction:
                accepted = {tuple(row) for row in await transaction.fetch(_ACCEPTED)}
                await prover.run(transaction)
                raise _DoneError
    found = [each for each in prover.findings if (each.key, each.fingerprint) not in accepted]
    return Proof(prover.attempts, [*found, *findings], prover.matrix)


def _record_start(prover: Prover, role: str, row_security: str, caller: str) -> None:
    outcome = f"the caller is {caller}" if caller else "no caller is set"
    prover.record("session", "start with a caller", outcome, blocked=not caller)
    prover.record("session", "start as another role", f"the role is {role}", blocked=role == API)
    outcome = f"row_security is {row_security}"
    prover.record("session", "start without policies", outcome, blocked=row_security == "on")
