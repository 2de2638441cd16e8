"""What refused a statement: a policy, a constraint, or the planner of a Citus cluster.

Of an error that a worker raises, the coordinator passes on SQLSTATE, message, detail, hint and context, and nothing
else: what it is about, only the message says. db/citus.sql keeps the messages for our logins in English.
"""

import re

import asyncpg

# A refused row, in ExecWithCheckOptions() of PostgreSQL's execMain.c.
_POLICY = re.compile(r"(new|target) row violates row-level security policy")
_CONSTRAINT = re.compile(r'constraint "(.+?)"')
_SHARD = re.compile(r"_\d{6,}$")


def is_refused_by_policy(error: asyncpg.PostgresError) -> bool:
    """Return whether a policy refuses a new row, which is the caller's fault: a missing grant, also 42501, is ours."""
    if error.sqlstate != "42501":
        return False
    if _is_passed_on(error):
        return _POLICY.match(str(error.args[0])) is not None
    return error.server_source_function == "ExecWithCheckOptions"


def constraint_of(error: asyncpg.PostgresError) -> str:
    """Return the name of the constraint that is violated, or an empty string. That of a shard ends with its number."""
    name = error.constraint_name
    if name is None and isinstance(error, asyncpg.IntegrityConstraintViolationError) and _is_passed_on(error):
        named = _CONSTRAINT.search(str(error.args[0]))
        name = named and named[1]
    return _SHARD.sub("", name or "")


def is_refused_by_planner(error: asyncpg.PostgresError) -> bool:
    """Return whether there is no plan for the statement, whoever runs it: on Citus, of some that PostgreSQL runs."""
    unsupported = (asyncpg.FeatureNotSupportedError, asyncpg.InternalServerError)
    file = error.server_source_filename or ""
    return isinstance(error, unsupported) and re.search(r"plann(er|ing)\.c$", file) is not None


def _is_passed_on(error: asyncpg.PostgresError) -> bool:
    return error.server_source_function == "ReportResultError"
