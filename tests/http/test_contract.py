"""The whole of /openapi.json against the app: Schemathesis sends what it allows and what it does not."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.http.examples import WORKSPACE_ID
from api.invitations.examples import TOKEN
from tests.support.database import ROOT
from tests.support.refusals import untouched
from tests.support.routes import NEEDS_TOKEN, OPEN, ROUTES, parameters
from tests.support.tables import insert_examples
from tests.support.tokens import bearer, make_token
from tests.support.workspaces import add_member, invite, workspace

pytestmark = pytest.mark.slow("Schemathesis")

# Few ETags that are made up are the row's, few cursors are of the list, and a key comes with many bodies.
OFTEN_REFUSED = [
    route
    for route in ROUTES
    if {"If-Match", "Idempotency-Key"} & parameters(*route, "header").keys() or "cursor" in parameters(*route, "query")
]
PHASES = ("examples", "coverage", "fuzzing", "stateful")

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(base_url: str, tmp_path: Path) -> Run:
    """Return a function that has Schemathesis call as tests/contract/{who}.toml says, and gives its report."""

    def run(who: str, **environment: str) -> dict[str, Any]:
        report = tmp_path / "report.json"
        command: list[str | Path] = [
            *(Path(sys.executable).with_name("schemathesis"), "--no-color"),
            *("--config-file", ROOT / "tests" / "contract" / f"{who}.toml"),
            *("run", f"{base_url}/openapi.json", "--checks", "all", "--phases", ",".join(PHASES)),
            *("--seed", "1", "--max-examples", "12", "--generation-database", "none"),
            *("--report-json-path", report),
        ]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(report.read_text())
        return found

    return run


def names(routes: Iterable[tuple[str, str]]) -> list[str]:
    """Return routes as Schemathesis calls them."""
    return sorted(" ".join(route) for route in routes)


def accepted(report: Mapping[str, Any]) -> list[str]:
    """Return the operations that did at least once what they were asked to do."""
    rates = report["valid_rates"].items()
    return sorted(name for name, phases in rates if any(phase["accepted"] for phase in phases.values()))


def assert_whole(report: Mapping[str, Any], **warnings: list[str]) -> None:
    """All operations were called in all phases, nothing was left out, and there are no warnings but these."""
    tested = {"total": len(ROUTES), "selected": len(ROUTES), "tested": len(ROUTES), "errored": 0, "skipped": 0}
    assert report["operations"] == tested | {"skip_reasons": []}
    assert {phase: each["status"] for phase, each in report["phases"].items()} == dict.fromkeys(PHASES, "success")
    assert (report["complete"], report["failures"], report["errors"]) == (True, [], [])
    assert {kind: operations for kind, operations in report["warnings"].items() if operations} == warnings


def test_what_the_document_says_is_what_alice_gets(run: Run, admin: psycopg.Connection, tmp_path: Path) -> None:
    insert_examples(admin)
    # Somebody whom Alice can remove, and an invitation that she can accept.
    add_member(admin, WORKSPACE_ID, "bob", "editor")
    admin.execute("update app.invitations set token_hash = sha256('another')")
    invite(admin, TOKEN, to=workspace(admin, "bob"))
    users = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": value}]}
        for name in ("alice", "bob")
        for value in bearer(make_token(name, lifetime=3600)).values()
    ]
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"auth": users}))

    report = run("alice", CONTRACT_TOKENS=str(tokens))

    refused, unknown = (report["warnings"].get(kind, []) for kind in ("validation_mismatch", "missing_test_data"))
    assert {*refused} <= {*names(OFTEN_REFUSED)}
    assert {*unknown} <= {*names(route for route in ROUTES if "{workspace_id}" in route[1])}
    assert_whole(report, **{"validation_mismatch": refused} | ({"missing_test_data": unknown} if unknown else {}))
    # Two ids that fit together are found by chance only.
    found = {*accepted(report)} | {*names(route for route in ROUTES if route[1].count("{") == 2)}
    assert found == {*names(ROUTES)}


def test_whoever_has_no_token_gets_nothing_but_health(run: Run, admin: psycopg.Connection) -> None:
    with untouched(admin):
        report = run("nobody")

    assert_whole(report, missing_auth=names(NEEDS_TOKEN))
    assert accepted(report) == names(OPEN)
