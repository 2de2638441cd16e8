"""What all contenders share: one PostgreSQL, databases with the same rows, tokens of many users."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import jwt
import psycopg
from psycopg.conninfo import conninfo_to_dict

from api.settings import Settings
from db.embedded import DATABASE, Cluster

ROOT = Path(__file__).parent.parent

SERVER = (
    "shared_buffers=256MB",  # many times the table that throughput is measured on
    "max_connections=300",  # the pools of all contenders at once, for as many workers as there are cores
    "synchronous_commit=off",  # waiting for the disk is the same for all, and would hide the differences
    "autovacuum=off",  # the benchmark vacuums between two measurements
    "max_wal_size=16GB",  # no checkpoints during a measurement, either
    "checkpoint_timeout=1h",
    "wal_level=minimal",  # this and the next two: to load ten million rows faster
    "max_wal_senders=0",
    "maintenance_work_mem=1GB",
)

# The login of the contenders without policies. It has all rights of app_api, and BYPASSRLS.
BYPASS = """
create role bench_bypass login bypassrls;
alter role bench_bypass set statement_timeout = '10s';
alter role bench_bypass set idle_in_transaction_session_timeout = '10s';
"""
GRANTS = """
grant usage on schema app, audit, migrations to bench_bypass;
grant execute on function app.current_user_id() to bench_bypass;
grant select, insert, update, delete on app.tasks to bench_bypass;
grant select on migrations.alembic_version to bench_bypass;
-- What others do it with, which db/roles.sql takes away.
grant execute on function pg_catalog.set_config(text, text, boolean) to app_api;
"""

# Row n belongs to user n % users, or to the workspace of that user, so that the rows of one are spread over the whole
# table, as they would be.
FILL = """
insert into {table} ({tenant} id, user_id, text, completed, "order", created_at, updated_at, completed_at)
select {workspace}
    ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
    'bench-' || n %% %(users)s,
    'Call the plumber about the leak, ' || lpad(n::text, 8, '0'),
    n / %(users)s %% 3 = 0,
    n / %(users)s * 10,
    at,
    at,
    case when n / %(users)s %% 3 = 0 then at end
from (
    select n, timestamptz '2024-07-01 00:00:00.123456+00' + n * interval '1 second'
    from generate_series(0, %(rows)s::bigint - 1) as n
) as rows (n, at)
"""
OWN, SHARED = "app.tasks", "app.workspace_tasks"
TENANTS = {
    OWN: {"tenant": "", "workspace": ""},
    SHARED: {
        "tenant": "workspace_id,",
        "workspace": "('01900000-0000-7000-9000-' || lpad(to_hex(n %% %(users)s), 12, '0'))::uuid,",
    },
}
# Each user owns a workspace. The other members are nobody else's.
SHARE = """
with made as (
    insert into app.workspaces (workspace_id, name)
    select ('01900000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Workspace ' || n
    from generate_series(0, %(users)s - 1) as n
    returning workspace_id, split_part(name, ' ', 2) as n
)
insert into app.members (workspace_id, user_id, role)
select workspace_id, 'bench-' || n, 'owner' from made
union all
select workspace_id, format('member-%%s-%%s', n, m), 'viewer' from made, generate_series(2, %(members)s) as m
"""
LIBPQ = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE", "sslmode": "PGSSLMODE"}
FIRST_CREATED = "01910000-0000-7000-8000-000000000000"  # rows that a measurement adds have greater ids


class BenchmarkError(Exception):
    """The benchmark cannot go on. The message says why."""


@dataclass(frozen=True)
class Rows:
    """How many users a database has, and how many tasks each."""

    users: int
    tasks: int

    @property
    def total(self) -> int:
        """The rows of the table."""
        return self.users * self.tasks

    def task_id(self, user: int, task: int) -> str:
        """Return the id of a task: 0 is a user's oldest."""
        return f"01900000-0000-7000-8000-{task * self.users + user:012x}"


@dataclass(frozen=True)
class Stage:
    """A running PostgreSQL, a temporary directory, the secret that signs all tokens."""

    directory: Path
    cluster: Cluster
    secret: str

    @property
    def processes(self) -> tuple[int, int]:
        """The benchmark and PostgreSQL: whatever else runs here has been started by them."""
        postmaster, *_ = (self.directory / "postgres" / "postmaster.pid").read_text().split()
        return os.getpid(), int(postmaster)

    def administer(self, database: str, *statements: str) -> None:
        """Run statements as the superuser."""
        with psycopg.connect(self.cluster.url("postgres", database), autocommit=True) as admin:
            for statement in statements:
                admin.execute(statement.encode())

    def make_database(self, name: str, rows: Rows, tables: Sequence[str] = (OWN,), *, members: int = 1) -> None:
        """Make a migrated database with these rows in each table. Each user's workspace has so many members."""
        self.administer(
            "postgres",
            f"drop database if exists {name}",
            f"create database {name} template {DATABASE} strategy file_copy",
        )
        with psycopg.connect(self.cluster.url("postgres", name), autocommit=True) as admin:
            # Without the trigger, which would set the timestamps to now. To build indexes afterwards is faster.
            admin.execute("set session_replication_role = replica")
            if SHARED in tables:
                admin.execute(SHARE, {"users": rows.users, "members": members})
            for table in tables:
                _fill(admin, table, rows)
        self.tidy(name)

    def tidy(self, name: str) -> None:
        """Delete the rows that a measurement added, and vacuum. Rows that were changed have kept their size."""
        self.administer(name, f"delete from app.tasks where id >= '{FIRST_CREATED}'", "vacuum (analyze)", "checkpoint")

    def tokens(self, users: int) -> Path:
        """Return a file with a token of each user, one per line."""
        file = self.directory / f"tokens-{users}"
        if not file.exists():
            file.write_text("".join(f"{self.token(user)}\n" for user in range(users)))
        return file

    def token(self, user: int) -> str:
        """Return a token of a user, valid for a day."""
        claims = {"sub": f"bench-{user}", "exp": int(time.time()) + 86400}
        return jwt.encode(claims, self.secret, algorithm="HS256")

    def environment(self, url: str) -> dict[str, str]:
        """Return the environment of an app that uses the database at `url`, without settings of this machine."""
        ours = {name.upper() for name in Settings.model_fields}
        inherited = {name: value for name, value in os.environ.items() if name not in ours}
        # Some read the URL, others libpq's variables.
        parts = conninfo_to_dict(url, sslmode="disable")
        libpq = {LIBPQ[name]: str(value) for name, value in parts.items()}
        return inherited | libpq | {"DATABASE_URL": url, "JWT_SECRET": self.secret}


def _fill(admin: psycopg.Connection, table: str, rows: Rows) -> None:
    indexes = admin.execute(
        "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index"
        " where indrelid = %s::regclass and not indisprimary",
        [table],
    ).fetchall()
    for index, _ in indexes:
        admin.execute(f"drop index {index}".encode())
    admin.execute(FILL.format(table=table, **TENANTS[table]).encode(), {"users": rows.users, "rows": rows.total})
    for _, definition in indexes:
        admin.execute(definition.encode())


@contextmanager
def stage(options: Sequence[str] = SERVER) -> Iterator[Stage]:
    """Start a PostgreSQL with the roles and a migrated, empty database to copy; remove all of it at the end."""
    with TemporaryDirectory(prefix="partywall-bench-") as directory:
        cluster = Cluster(Path(directory))
        cluster.create()
        cluster.start(*options)
        try:
            cluster.prepare()
            made = Stage(Path(directory), cluster, secrets.token_urlsafe(48))
            migrate(cluster.url("app_migrator"))
            made.administer(DATABASE, BYPASS, GRANTS)
            yield made
        finally:
            cluster.stop()


def migrate(url: str) -> None:
    """Run alembic as the pipeline does. Raises BenchmarkError."""
    result = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env=os.environ | {"MIGRATION_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise BenchmarkError(f"the migrations failed:\n{result.stderr}")
