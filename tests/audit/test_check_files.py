"""Each check is a file: it says why, psql runs it alone, and twins show what it reports and what it does not."""

import re
import subprocess
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

from db import audit
from db.audit import CHECKS, Finding
from db.embedded import binary
from tests.support.database import url_of
from tests.support.twins import ERROR, SURFACE, Bad, Good, Twins

VULNERABLE_SERVERS = (150002, 150013, 160004, 170000, 170005)
FIXED_SERVERS = (150018, 160010, 170006, 180000)


def test_each_check_has_a_bad_and_a_good_twin() -> None:
    modules = [import_module(f"tests.audit.{file.stem}") for file in Path(__file__).parent.glob("test_*_checks.py")]
    twins: Twins = {check: twins for module in modules for check, twins in module.TWINS.items()}
    assert len(twins) == sum(len(module.TWINS) for module in modules)
    assert twins.keys() == CHECKS.keys() - {"server_version"} - SURFACE
    assert all({type(twin) for twin in twins[check]} == {Bad, Good} for check in twins)


@pytest.mark.parametrize(("versions", "count"), [(VULNERABLE_SERVERS, 1), (FIXED_SERVERS, 0)])
def test_a_server_with_a_known_vulnerability_is_an_error(
    healthy: psycopg.Connection, versions: tuple[int], count: int
) -> None:
    """A server cannot be made older: the query is asked about another version than its own."""
    setting = "current_setting('server_version_num')::int"
    assert CHECKS["server_version"].count(setting) == 2
    for version in versions:
        query = CHECKS["server_version"].replace(setting, str(version))
        rows = healthy.execute(query).fetchall()
        assert len(rows) == count, version
        for finding in (Finding(*row) for row in rows):
            assert finding[:3] == ("server_version", ERROR, "server")
            assert finding.key == f"server_version:{version // 10000}"
            assert "CVE-2025-8713" in finding.detail
            assert finding.remediation.startswith(f"-- Update the server to PostgreSQL {version // 10000}.")


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_says_why_and_is_run_by_psql_alone(healthy: psycopg.Connection, name: str) -> None:
    file = Path(audit.__file__).with_name(f"{name}.sql")
    assert re.match(r"-- [A-Z].{60}", file.read_text(), re.DOTALL)
    assert f"    '{name}' as name,\n" in file.read_text()

    info = healthy.info
    where = url_of("app_auditor", {"host": info.host, "port": info.port, "dbname": info.dbname})
    command = [binary("psql"), "--no-psqlrc", "--csv", "--set=ON_ERROR_STOP=1", f"--file={file}", where]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[0] == ",".join(Finding._fields[:-1])
