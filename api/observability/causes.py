"""Why something failed, in words that hold no value of a row or of a request.

PostgreSQL says "Failing row contains (…)" in the detail of an error, and in some messages what it could not read. So do
KeyError, ValueError, and whatever is raised with a message that somebody has formatted.
"""

import traceback
from collections.abc import Iterator

import asyncpg

from db.connect import DatabaseUnavailableError, sqlstate
from db.refusals import constraint_of

# Their messages are made of names in the code, and of what the system says.
_OF_NAMES = (
    *(AttributeError, ImportError, NameError, OSError, RecursionError, TypeError),
    *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
)
# PostgreSQL's errors with a value in the message: what it cannot read, and what a function raises. Of the errors of a
# worker of a Citus cluster nothing tells whether one was raised.
_UNREADABLE = ("22", "P0")
_RAISING = {"exec_stmt_raise", "ReportResultError"}
# Within a function a message can have a value as a name (relation "…" does not exist); of these it is one that exists.
_READABLE_IN_FUNCTIONS = ("23", "40", "53", "55", "57", "42501")


def cause_of(error: BaseException) -> str:
    """Return why, in one line: of an error of PostgreSQL's the SQLSTATE and the message, unless that holds a value."""
    root = error.__cause__ or error
    while isinstance(root, DatabaseUnavailableError) and root.__cause__:
        root = root.__cause__
    sentence = _message(root).partition("\n")[0]
    if not sentence:
        sentence = "no response in time" if isinstance(root, TimeoutError) else type(root).__name__
    return " ".join(filter(None, (sqlstate(error), sentence)))


def describe(error: BaseException) -> str:
    """Return the type of an error of any kind, and its message if that is made of names."""
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    message = _message(error) if isinstance(error, _OF_NAMES) else ""
    return ": ".join(filter(None, (name, message)))


def origin_of(error: BaseException) -> dict[str, str]:
    """Return where in the database `error` is from: its sqlstate, table, column and constraint, if PostgreSQL says."""
    cause: BaseException | None = error
    while cause is not None and not _is_of_postgresql(cause):
        cause = cause.__cause__
    if not isinstance(cause, asyncpg.PostgresError):
        return {}
    table = ".".join(filter(None, (cause.schema_name, cause.table_name)))
    named = {"table": table, "column": cause.column_name, "constraint": constraint_of(cause)}
    return {"sqlstate": cause.sqlstate} | {name: value for name, value in named.items() if value}


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error and of those before it, each as `describe` has it."""
    return "\n".join(_traceback(error, set()))


def _traceback(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before and id(before) not in seen:
        yield from _traceback(before, seen)
        yield "\nwhich caused:\n" if error.__cause__ else "\nduring which another one occurred:\n"
    yield "Traceback (most recent call last):"
    yield "".join(traceback.format_tb(error.__traceback__)) + describe(error)
    for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield "\nof which one is:\n"
        yield from _traceback(each, seen)


def _message(error: BaseException) -> str:
    """Return what an error says, or nothing if that may hold a value."""
    if not isinstance(error, asyncpg.PostgresError):
        return str(error)
    state = error.sqlstate or ""
    unreadable = state.startswith(_UNREADABLE) or error.server_source_function in _RAISING
    composed = error.context and not state.startswith(_READABLE_IN_FUNCTIONS)
    return "" if unreadable or composed else "".join(map(str, error.args[:1]))


def _is_of_postgresql(error: BaseException) -> bool:
    return isinstance(error, asyncpg.PostgresError) and error.severity is not None
