"""What others make of /openapi.json: linters without a warning, clients that compile and understand the responses."""

import importlib
import json
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import httpx2
import pytest

from tests.support.node import CODE, DOCUMENT, PROJECT, install, run
from tests.support.tokens import make_token

CONFIGS = ("orval.config.cjs", "openapi-ts.config.ts")  # that docs/frontend.md recommends


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the document, and beside it what a project in TypeScript needs."""
    install()
    directory = tmp_path_factory.mktemp("generated")
    shutil.copytree(PROJECT / "generated", directory, dirs_exist_ok=True)
    shutil.copy(DOCUMENT, directory)
    (directory / "node_modules").symlink_to(PROJECT / "node_modules")
    return directory


@pytest.mark.slow("Node")
def test_redocly_has_no_error_and_no_warning(project: Path) -> None:
    command = ("redocly", "lint", "--extends=recommended", "--format=json", "openapi.json")
    report = run(*command, at=project, REDOCLY_TELEMETRY="off", REDOCLY_SUPPRESS_UPDATE_NOTICE="true")
    assert json.loads(report)["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


@pytest.mark.slow("Node")
def test_spectral_has_nothing_to_say(project: Path) -> None:
    report = run("spectral", "lint", "--fail-severity=hint", "--display-only-failures", "openapi.json", at=project)
    assert report.startswith("No results"), report


@pytest.mark.slow("Node")
def test_the_clients_and_schemas_of_orval_and_hey_api_compile_and_take_what_the_api_sends(
    project: Path, base_url: str
) -> None:
    for name in CONFIGS:
        text = (CODE / name).read_text()
        assert text.count('"http://127.0.0.1:8000/openapi.json"') == 1
        (project / name).write_text(text.replace("http://127.0.0.1:8000/", "./"))
    run("orval", "--config", CONFIGS[0], at=project)
    run("openapi-ts", at=project)
    run("tsc", at=project)
    bundle = ("esbuild", "--bundle", "--format=esm", "--platform=node", "--packages=external", "--log-level=warning")
    run(*bundle, "--outdir=dist", "responses.ts", at=project)

    run("node", "dist/responses.js", base_url, make_token("alice"), at=project)


@pytest.mark.filterwarnings("default")  # those of what is generated
def test_the_client_of_openapi_python_client_calls_the_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_url: str, alice: httpx2.Client
) -> None:
    programs = Path(sys.executable).parent  # the generator runs ruff
    command = ["openapi-python-client", "generate", "--path", str(DOCUMENT), "--meta=none", "--fail-on-warning"]
    command += ["--output-path", str(tmp_path / "partywall_client")]
    done = subprocess.run(command, env={"PATH": str(programs)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    client, create_task, list_tasks, models = (
        importlib.import_module(f"partywall_client.{name}")
        for name in ("client", "api.tasks.create_task", "api.tasks.list_tasks", "models")
    )

    with client.AuthenticatedClient(base_url, make_token("alice")) as called:
        created = create_task.sync(client=called, body=models.TaskCreate(text="Buy milk"))
        page = list_tasks.sync(client=called, q="MILK")

    assert page.items == [created]
    [task] = alice.get("/tasks").json()["items"]
    assert (str(created.id), created.text, created.created_at) == (
        task["id"],
        "Buy milk",
        datetime.fromisoformat(task["created_at"]),
    )
