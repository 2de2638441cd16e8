"""A cluster that an older major version made, after pg_upgrade: the API serves, and the audit finds nothing."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from click.testing import CliRunner

from api.commands.audit import audit
from db.embedded import Cluster, _private_directory, _unprivileged, binary
from tests.support.database import alembic, set_up
from tests.support.health import HEALTHY, state_of, wait_for_status
from tests.support.servers import calling
from tests.support.tokens import bearer, make_token

OLDER = [path for path in sorted(Path("/usr/lib/postgresql").glob("*/bin")) if path.parent.name in {"15", "16", "17"}]

pytestmark = [
    pytest.mark.slow("pg_upgrade"),
    pytest.mark.skipif(not OLDER, reason="no older server is installed: apt-get install postgresql-15"),
    pytest.mark.skipif("PG_BIN" in os.environ or "TEST_DATABASE_URL" in os.environ, reason="for the embedded server"),
]


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster with a task of Alice's that an older server made and migrated, on the embedded one."""
    with TemporaryDirectory(prefix="partywall-") as name:
        directory = Path(name)
        old, new = Cluster(directory / "old"), Cluster(directory / "new")
        monkeypatch.setenv("PG_BIN", str(OLDER[0]))
        old.create()
        old.start("fsync=off")
        set_up(host=str(old.socket_directory), port=5432, user="postgres", dbname="postgres")
        with psycopg.connect(old.url("postgres", "postgres")) as superuser:
            superuser.execute("insert into app.tasks (user_id, text) values ('alice', 'Buy milk')")
        old.stop()
        monkeypatch.delenv("PG_BIN")
        upgrade(directory)
        new.start("fsync=off")
        yield new
        new.stop()


def upgrade(directory: Path) -> None:
    """Run pg_upgrade from the cluster in old/ to a new one in new/."""
    data, work = directory / "new/postgres", directory / "work"
    data.parent.mkdir()
    for path in (data, work):
        _private_directory(path)
    bins = ["--old-bindir", str(OLDER[0]), "--new-bindir", str(Path(binary("postgres")).parent)]
    dirs = ["--old-datadir", str(directory / "old/postgres"), "--new-datadir", str(data), "--socketdir", str(work)]
    initdb = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-data-checksums"]
    for command in (
        [binary("initdb"), "--no-sync", "--pgdata", str(data), *initdb],
        [binary("pg_upgrade"), "--no-sync", "--username=postgres", *bins, *dirs],
    ):
        subprocess.run(_unprivileged(command), cwd=work, check=True, capture_output=True)


def test_after_an_upgrade_to_a_new_major_version_and_alembic_upgrade_head_all_is_as_before(upgraded: Cluster) -> None:
    alembic(upgraded.url("app_migrator", "postgres"), "upgrade", "head")
    alembic(upgraded.url("app_migrator", "postgres"), "check")

    result = CliRunner().invoke(audit, ["--format", "json"], env={"DATABASE_URL": upgraded.url("app_api", "postgres")})
    assert json.loads(result.output)["findings"] == []

    with calling(upgraded.url("app_api", "postgres")) as client:
        assert state_of(wait_for_status(lambda: client.get("/health"), 200)) == HEALTHY
        alice = bearer(make_token("alice"))
        assert [task["text"] for task in client.get("/tasks", headers=alice).json()["items"]] == ["Buy milk"]
        assert client.post("/tasks", json={"text": "Call Bob"}, headers=alice).status_code == 201
        assert client.post("/workspaces", json={"name": "Garden"}, headers=alice).status_code == 201
