"""Which 503 an unavailable database is to the caller: a code that is stable, and a sentence."""

from typing import NamedTuple

from db.connect import DatabaseReadOnlyError, DatabaseUnavailableError, sqlstate
from db.turns import AllInUseError


class Unavailability(NamedTuple):
    """What the caller is told; none of it names a table, a role or a host."""

    code: str
    detail: str


READ_ONLY = Unavailability("database_read_only", "The database can only be read right now. Try again in a moment.")
UNAVAILABLE = Unavailability("database_unavailable", "The database cannot be reached. Try again in a moment.")

BUSY = Unavailability("busy", "Too many requests are being served. Try again in a moment.")

# SQLSTATE, or its first two characters: https://www.postgresql.org/docs/18/errcodes-appendix.html
SQLSTATES = {
    "40": Unavailability("concurrent_update", "Another request changed the same rows at the same time. Try again."),
    "53100": Unavailability("database_full", "The database has no space left. Reading still works."),
    "53200": Unavailability("database_out_of_memory", "The database is out of memory. Try again."),
    "53300": Unavailability("database_out_of_connections", "The database accepts no more connections. Try again."),
    "53": Unavailability("database_limit", "The database has reached one of its limits. Try again."),
    "55P03": Unavailability("locked", "The database is busy: another request holds a lock on these rows. Try again."),
    "57014": Unavailability("database_timeout", "The database took too long. Try again."),
}


def unavailability(error: Exception) -> Unavailability | None:
    """Return what to tell the caller about `error` of the database; None if that is no reason to try again."""
    if isinstance(error, DatabaseReadOnlyError):
        return READ_ONLY
    if isinstance(error, AllInUseError):
        return BUSY
    state = sqlstate(error)
    if known := SQLSTATES.get(state) or SQLSTATES.get(state[:2]):
        return known
    return UNAVAILABLE if isinstance(error, DatabaseUnavailableError) else None
