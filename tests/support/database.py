"""A database of a test: made, migrated, and reached as each role."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from db.embedded import ROLES
from db.libpq.url import plain_url

ROOT = Path(__file__).parent.parent.parent
PASSWORD = secrets.token_urlsafe(16)  # of every role: a server under TEST_DATABASE_URL may ask for one

AS_POSTGRES = "-c role=postgres"  # whatever the superuser of a server under TEST_DATABASE_URL is called

Url = Callable[[str], str]

_UNSUITABLE = """
select current_user || ' is no superuser' where not (select rolsuper from pg_roles where rolname = current_user)
union all select 'the server is a standby' where pg_is_in_recovery()
union all select 'PostgreSQL 15 is the oldest that will do, and this is ' || current_setting('server_version')
    where current_setting('server_version_num')::int < 150000
union all select 'new databases have the encoding ' || pg_encoding_to_char(encoding) || ', and must have UTF8'
    from pg_database where datname = 'template1' and pg_encoding_to_char(encoding) <> 'UTF8'
"""


class WrongServerError(Exception):
    """TEST_DATABASE_URL leads to no server that the tests can use. The message says why."""


def alembic(url: str, *arguments: str, check: bool = True, tree: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run alembic as the pipeline does, in this tree or in a copy of it."""
    environment = os.environ | {"MIGRATION_DATABASE_URL": url}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=check,
    )


def url_of(role: str, database: Mapping[str, object]) -> str:
    """Return the URL by which `role` reaches a database described in libpq's words; postgres is its superuser."""
    login, options = f"{role}:{PASSWORD}", ""
    if role == "postgres" and (user := database.get("user")):
        login = ":".join(quote(str(database.get(name) or ""), safe="") for name in ("user", "password"))
        options = "" if user == "postgres" else f"&options={quote(AS_POSTGRES)}"
    return (
        f"postgresql://{login}@/{database['dbname']}"
        f"?host={quote(str(database['host']), safe='')}&port={database['port']}{options}"
    )


def url_to(connection: psycopg.Connection, role: str) -> str:
    """Return the URL by which `role` reaches the database that `connection` is connected to."""
    info = connection.info
    return url_of(role, {name: getattr(info, name) for name in ("host", "port", "dbname", "user", "password")})


def given_server() -> dict[str, Any]:
    """Return where the server of TEST_DATABASE_URL is and who its superuser is, in libpq's words.

    Raises WrongServerError if it is none that the tests can use.
    """
    try:
        with psycopg.connect(plain_url(os.environ["TEST_DATABASE_URL"]), connect_timeout=10) as connection:
            reasons = [reason for (reason,) in connection.execute(_UNSUITABLE)]
            info = connection.info
            server = {name: getattr(info, name) for name in ("host", "port", "user", "password", "dbname")}
    except psycopg.Error as error:
        raise WrongServerError(" ".join(str(error).split())) from error
    if reasons:
        raise WrongServerError("; ".join(reasons))
    return server


def prepare(server: Mapping[str, Any]) -> None:
    """Make a superuser postgres, if none is called that; drop what a run that was killed has left."""
    with psycopg.connect(**server, autocommit=True) as superuser:
        if superuser.execute("select to_regrole('postgres')").fetchone() == (None,):
            superuser.execute("create role postgres superuser nologin")
        leftovers = superuser.execute("select datname from pg_database where starts_with(datname, 'partywall_test')")
        for name in [sql.Identifier(name) for (name,) in leftovers]:
            superuser.execute(sql.SQL("alter database {} is_template false").format(name))
            superuser.execute(sql.SQL("drop database {} with (force)").format(name))


def set_up(**database: Any) -> None:
    """Make the roles and migrate, as an ordinary login: the template that every test's database is a copy of."""
    with psycopg.connect(**database | {"autocommit": True, "options": AS_POSTGRES}) as admin:
        admin.execute(ROLES.read_text())
        for role in ("app_api", "app_auditor", "app_migrator"):
            admin.execute(f"alter role {role} password '{PASSWORD}'")
    alembic(url_of("app_migrator", database), "upgrade", "head")
