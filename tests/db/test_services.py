"""A managed service: nobody is a superuser, and the login that owns the database creates the roles."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from db.embedded import ROLES, Cluster, binary
from tests.support.database import PASSWORD, ROOT, alembic, url_of
from tests.support.health import HEALTHY, list_tasks, state_of
from tests.support.servers import calling

# The services' own logins, as far as their documentation tells: each is `deployer` here. Those of Amazon RDS and Google
# Cloud SQL have no right that these have not.
LOGINS = {
    "Neon": """
        create role service nologin createdb createrole bypassrls replication;
        grant pg_read_all_data, pg_write_all_data to service;
        grant pg_monitor to service with admin option;
        create role deployer login createdb createrole bypassrls replication in role service
    """,
    "Supabase": """
        create role service nologin bypassrls;
        create role deployer login createdb createrole bypassrls replication in role pg_read_all_data, pg_monitor;
        grant service to deployer with admin option;
        alter role deployer set search_path = "$user", public, extensions
    """,
    "Azure": """
        create role service nologin;
        grant pg_monitor, pg_signal_backend to service with admin option;
        create role deployer login createdb createrole replication in role service
    """,
}
OWNERS = {"Neon": "deployer", "Supabase": "deployer", "Azure": "service"}  # of the database
PASSWORDS = {f"APP_{login}_PASSWORD": PASSWORD for login in ("API", "AUDITOR", "MIGRATOR")}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL on which nobody has made our roles: they belong to all databases."""
    with TemporaryDirectory(prefix="partywall-") as directory:
        cluster = Cluster(Path(directory))
        cluster.create()
        cluster.start("fsync=off")
        yield cluster
        cluster.stop()


@pytest.fixture
def service(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the directory of the socket by which a service's database is reached."""
    with psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as host:
        host.execute(LOGINS[request.param].encode(), prepare=False)
        host.execute(f"create database partywall owner {OWNERS[request.param]}".encode())
        try:
            yield str(cluster.socket_directory)
        finally:
            host.execute("drop database partywall with (force)")
            for role in ("app_api", "app_auditor", "app_migrator", "app_owner", "deployer", "service"):
                host.execute(f"drop role if exists {role}".encode())


def url(role: str, socket: str) -> str:
    return url_of(role, {"dbname": "partywall", "host": socket, "port": 5432})


def psql(socket: str, *arguments: str) -> str:
    """Run psql as the service's own login; return the notices."""
    command = [binary("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", url("deployer", socket), *arguments]
    return subprocess.run(command, env=os.environ | PASSWORDS, check=True, capture_output=True, text=True).stderr


def partywall(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "api", *arguments]
    return subprocess.run(command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False)


def assert_served_and_audited(socket: str) -> None:
    """See that the audit finds nothing but what is said of such a service, and that the API is ready."""
    audit = partywall("audit", "--prove", DATABASE_URL=url("app_api", socket))
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert audit.stdout.rstrip().endswith(": 2 infos")
    assert audit.stdout.count("info   context_forgeable") == 2
    cleaned = partywall("clean", MIGRATION_DATABASE_URL=url("app_migrator", socket))
    assert cleaned.returncode == 0, cleaned.stderr
    with calling(url("app_api", socket)) as client:
        assert state_of(client.get("/health")) == HEALTHY
        assert list_tasks(client).status_code == 200


@pytest.mark.parametrize("service", ["Neon", "Azure"], indirect=True)
def test_a_login_that_owns_the_database_and_may_create_roles_is_enough(service: str) -> None:
    for _ in range(2):
        [notice] = psql(service, "--file", str(ROLES)).split("NOTICE:  ")[-1:]
        assert notice.startswith("app_api keeps execute on set_config(), usage on plpgsql from PUBLIC")
    psql(service, "--file", str(ROLES.with_name("passwords.sql")))
    alembic(url("app_migrator", service), "upgrade", "head")
    psql(service, "--command", "grant all on schema public to deployer")  # as some services do

    assert_served_and_audited(service)


@pytest.mark.parametrize("service", ["Supabase"], indirect=True)
def test_whoever_migrates_as_the_services_own_login_is_told_how_and_makes_the_same(service: str) -> None:
    psql(service, "--file", str(ROLES))
    refused = alembic(url("deployer", service), "upgrade", "head", check=False)
    assert refused.returncode == 255
    assert refused.stderr.endswith("Run db/roles.sql as an administrator, then: grant app_owner to the login.\n")

    psql(service, "--command", "grant app_owner to deployer")
    alembic(url("deployer", service), "upgrade", "head")

    assert_served_and_audited(service)
    assert alembic(url("app_migrator", service), "check").returncode == 0
