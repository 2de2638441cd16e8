"""The workspaces of `--prove` on a Citus cluster.

A function that is SECURITY DEFINER has connections of its own to the workers there: what it inserts, such as a
workspace and its members, no other statement of the same transaction sees. So they are committed before the attempts
are made, and deleted at the end. Nobody is a member but users who are made up.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from db.audit import Finding, fingerprint_of
from db.audit.prover import Places
from db.audit.rows import literal
from db.audit.trial import Begin
from db.audit.workspaces import CREATE, NAME, SETTING, gone, make, run_in
from db.connect import DatabaseUnavailableError

log = logging.getLogger("partywall.audit")

_ON_CITUS = """
select exists (select from pg_extension where extname = 'citus')
    and exists (
        select from audit.tables as t join audit.contexts as c on c."column" = t.tenant_column where c.setting = $1
    )
"""
_REMEDY = f"delete from app.workspaces where name = '{NAME}';"  # noqa: S608 - put together from constants


@asynccontextmanager
async def committed(begin: Begin, user: str) -> AsyncIterator[tuple[Places, list[Finding]]]:
    """Yield the workspaces of `user`, or why there are none, and a list: of a finding if they cannot be deleted.

    None on a single node, where the transaction of the attempts makes them.
    """
    findings: list[Finding] = []
    async with begin() as transaction:
        [[on_citus]] = await transaction.fetch(_ON_CITUS, SETTING)
    if not on_citus:
        yield None, findings
        return
    made: list[tuple[str, str]] = []
    try:
        yield await _make(begin, user, made), findings
    finally:
        findings += [finding for finding in [await _left(begin, made)] if finding]


async def _make(begin: Begin, user: str, made: list[tuple[str, str]]) -> Places:
    async def run(user: str, workspace: str, query: str) -> str:
        async with begin() as transaction:
            value = await run_in(transaction)(user, workspace, query)
        if query == CREATE:
            made.append((user, value))
        return value

    try:
        return await make(run, user)
    except asyncpg.PostgresError as error:
        return error


async def _left(begin: Begin, made: list[tuple[str, str]]) -> Finding | None:
    """Delete the workspaces as their owner. Return a finding if one is left."""
    try:
        for user, workspace in made:
            async with begin() as transaction:
                query = gone("app.workspaces", f"workspace_id = {literal(workspace)}")
                if await run_in(transaction)(user, workspace, query) != "1":
                    return _finding("its owner cannot delete it")
    except (asyncpg.PostgresError, DatabaseUnavailableError) as error:
        return _finding(str(error))
    return None


def _finding(reason: str) -> Finding:
    detail = f"A workspace that was made for the attempts is left: {reason}."
    log.warning("%s Remove it as a superuser: %s", detail, _REMEDY)  # also when there is no report
    key = "prove_left:app.workspaces"
    return Finding("prove_left", "warning", "app.workspaces", detail, _REMEDY, key, fingerprint_of(detail))
