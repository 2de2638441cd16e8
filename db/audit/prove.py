"""The proof: what the audit reads in the catalogs is tried, in one transaction that is always rolled back."""

import math
from contextlib import suppress
from typing import NamedTuple
from uuid import uuid4

import asyncpg

from db.audit import Finding
from db.audit.attempts import Attempt
from db.audit.prover import Prover
from db.audit.seeds import Transaction
from db.connect import OWN_NAMES_ONLY
from db.pool import Pool
from db.session import Session

# What a session has before anybody sets anything, a search_path for the names in here among them.
_START = "select current_user, pg_catalog.current_setting('row_security')"
_CALLERS = "select pg_catalog.current_setting(setting, true) from audit.tenants"


class Proof(NamedTuple):
    """All attempts to reach another tenant's rows, all of the matrix of a workspace, and what was not as expected."""

    attempts: list[Attempt]
    findings: list[Finding]
    matrix: list[Attempt]


class _DoneError(Exception):
    """Leaves the block of a session's transaction, which rolls it back."""


async def prove(connection: asyncpg.Connection) -> Proof:
    """Return every attempt on every tenant table, and the findings that are not accepted.

    `connection` is that of a login that may become app_api. Raises what asyncpg raises.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"{OWN_NAMES_ONLY}; set local role app_api")
        return await _proof(connection, await _start(connection))
    finally:
        await transaction.rollback()


async def prove_as_api(url: str) -> Proof:
    """Return the same for a session as the API opens it, with the API's own `url`.

    Includes what that login brings about, by its settings or by triggers. Raises what `Session` raises.
    """
    async with Pool(url, size=1, statement_cache_size=0, checkout_timeout=math.inf) as pool:
        connection = await pool.acquire("prove")
        start = await _start(connection)
        pool.release(connection, clean=True)
        with suppress(_DoneError):
            async with Session(pool, str(uuid4()), read_only=False).transaction() as transaction:
                proof = await _proof(transaction, start)
                raise _DoneError
        return proof


async def _start(connection: asyncpg.Connection) -> tuple[str, str, str]:
    """Return the role with which a session starts, row_security, and the tenants that it acts for."""
    [(role, row_security)] = await connection.fetch(_START)
    async with connection.transaction():
        await connection.execute("set local role app_api")  # the role that it starts with may read no view of the audit
        callers = await connection.fetch(_CALLERS)
    return role, row_security, ", ".join(dict.fromkeys(caller for (caller,) in callers if caller))


async def _proof(transaction: Transaction, start: tuple[str, str, str]) -> Proof:
    prover = Prover(transaction)
    role, row_security, caller = start
    outcome = f"the caller is {caller}" if caller else "no caller is set"
    prover.record("session", "start with a caller", outcome, blocked=not caller)
    prover.record("session", "start as another role", f"the role is {role}", blocked=role == "app_api")
    outcome = f"row_security is {row_security}"
    prover.record("session", "start without policies", outcome, blocked=row_security == "on")
    await transaction.execute("set local role app_api")
    accepted = {tuple(row) for row in await transaction.fetch("select key, fingerprint from audit.accepted")}
    await prover.run()
    findings = [each for each in prover.findings if (each.key, each.fingerprint) not in accepted]
    return Proof(prover.attempts, findings, prover.matrix)
