"""`partywall new`: what it writes is right from the first run on, and what it refuses leaves everything as it was."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.commands.new import new
from tests.support.database import ROOT

PAGE = (ROOT / "docs" / "growing.md").read_text()
LEFT_OUT = (".*", "*.egg-info", "__pycache__", "build", "dist", "node_modules")

# Resources with every type, optional and not, and with names that SQL, Python or English find difficult: of a user, and
# of a workspace, the latter with names as long as they can be.
EVERY_TYPE = (
    *("zz_address_changes", "order:text", "user_name:text?", "count:integer", "limit:integer?", "done:boolean"),
    *("seen:boolean?", "due_at:timestamptz", "left_at:timestamptz?", "day:date", "last_day:date?", "list:uuid"),
    *("other:uuid?",),
)
LONG = "zz_of_a_length_that_nobody_would_type_es"
SHARED = (
    *(LONG, "--workspace", "t:text", "a_text_field:text?", "page:integer", "row:uuid?", "tenant:date?"),
    *("a_boolean_that_has_a_name_of_40_letters:boolean?", "workspace:timestamptz?"),
)


def copy_to(tree: Path) -> Path:
    """Copy this checkout; its virtual environment is the one of the copy."""
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    for name in (".squawk.toml", ".env.example", ".ci", ".github"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree / name)
    (tree / ".venv").symlink_to(Path(sys.prefix))
    return tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of this checkout."""
    return copy_to(tmp_path / "tree")


@pytest.fixture(scope="module")
def untouched_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of this checkout for those who do not change it."""
    return copy_to(tmp_path_factory.mktemp("new") / "tree")


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the copy, with the code of the copy."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST_"))}
    # mypy knows what it has checked before in another copy of the same files.
    environment |= {"PYTHONPATH": str(tree), "PATH": path, "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def succeed(tree: Path, *command: str) -> str:
    """Run a command in the copy; return what it prints. Fails the test with all that it said when it fails."""
    done = run(tree, *command)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-20_000:]}{done.stderr[-5_000:]}"
    return done.stdout


def files(tree: Path) -> dict[Path, bytes]:
    """Return everything in the copy but what Python makes."""
    return {
        file: file.read_bytes()
        for file in tree.rglob("*")
        if file.is_file() and not any(part.startswith((".", "__pycache__")) for part in file.relative_to(tree).parts)
    }


def commands_of_the_page() -> list[list[str]]:
    """Return the words after `partywall new` in docs/growing.md: of both kinds."""
    lines = re.findall(r"^\.venv/bin/partywall new ([^#\n]+)", PAGE, re.MULTILINE)
    return [[word.strip("'") for word in line.split()] for line in lines]


# What asks every resource, table or route there is. The rest of the suite is about what a new one does not change.
RELATED = (
    *(f"db/test_{each}.py" for each in ("comments", "isolation", "migrations", "schema_sql", "search_path")),
    *(f"http/test_{each}.py" for each in ("codes", "every_request", "every_route", "examples", "head_and_slashes")),
    *(f"http/test_{each}.py" for each in ("isolation", "openapi", "problems")),
    *("audit/test_second_opinion.py", "audit/test_views.py", "docs/test_architecture_page.py"),
    *("docs/test_frontend_page.py", "tasks/test_document.py"),
)


@pytest.mark.slow("a suite of its own")
def test_the_commands_of_the_page_make_resources_with_which_everything_is_green(tree: Path) -> None:
    made = []
    for resource, *fields in commands_of_the_page():
        exists = (tree / "api" / resource).exists()  # in the clone of somebody who did it
        made.append(f"zz_{resource}" if exists else resource)
        before = files(tree)

        printed = succeed(tree, "partywall", "new", made[-1], *fields)

        changed = {str(file.relative_to(tree)) for file, content in files(tree).items() if before.get(file) != content}
        assert changed == {*re.findall(r"^\S+/\S+$", printed, re.MULTILINE)}
    if "notes" in made:
        named = re.findall(r"^\| `([^`]+)` \|.*\|$", PAGE.partition("## By hand")[0], re.MULTILINE)
        for name in (re.sub(r"/\d{4}_", "/*_", each) for each in named if "/" in each):
            assert list(tree.glob(name.rstrip("/"))), name
    succeed(tree, "make", "lint", "--assume-old=.venv/installed")
    succeed(tree, "pytest", "-q", "-n", "2", *(f"tests/{resource}" for resource in made))
    suite = ("pytest", "--fast", "-q", "--show-capture=no", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider")
    succeed(tree, *suite, *(f"tests/{each}" for each in RELATED))


@pytest.mark.slow("a suite of its own")
def test_resources_of_every_type_with_difficult_names_pass_their_tests_and_the_linters(tree: Path) -> None:
    for arguments in (EVERY_TYPE, SHARED):
        succeed(tree, "partywall", "new", *arguments)
    succeed(tree, "make", "lint", "--assume-old=.venv/installed")
    tests = ("tests/db/test_schema_sql.py", "tests/http/test_openapi.py", "tests/db/test_isolation.py")
    more = ("tests/http/test_examples.py", "tests/db/test_comments.py", "tests/http/test_isolation.py")
    own = (f"tests/{EVERY_TYPE[0]}", f"tests/{SHARED[0]}")
    succeed(tree, "pytest", "-q", "--show-capture=no", "-n", "2", *own, *tests, *more)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["tasks", "title:text"], "api/tasks already"),
        (["idempotency_keys", "title:text"], "a table idempotency_keys already"),
        (["Notes", "title:text"], "'Notes' must be a word"),
        (["notes; drop", "title:text"], "must be a word"),
        (["../notes", "title:text"], "must be a word"),
        (["n" * 40 + "s", "title:text"], "at most 40 characters"),
        (["class", "title:text", "--singular", "lesson"], "not Python's own"),
        (["data", "title:text"], "'data' is not a plural in -s; say what one is called: --singular"),
        (["data", "title:text", "--singular", "data"], "are the same"),
        (["zz_notes", "title"], "title: the type must be one of text, integer"),
        (["zz_notes", "title:varchar"], "the type must be one of text, integer"),
        (["zz_notes", "title:text!"], "the type must be one of text, integer"),
        (["zz_notes", ":text"], "'' must be a word"),
        (["zz_notes", "Title:text"], "'Title' must be a word"),
        (["zz_notes", "class:text"], "not Python's own"),
        (["zz_notes", "id:uuid"], "every row has id"),
        (["zz_notes", "user_id:text"], "every row has user_id"),
        (["zz_notes", "updated_at:timestamptz"], "every row has updated_at"),
        (["zz_notes", "copy:text"], "copy means something to a model"),
        (["zz_notes", "model_config:text"], "model_config means something to a model"),
        (["zz_notes", "title:text", "title:integer"], "a field is named twice: title"),
        (["zz_notes", "absent:boolean"], "two things that are called absent"),
        (["zz_notes"], "Missing argument 'FIELD:TYPE"),
        (["tasks", "title:text", "--workspace"], "an api/tasks already"),
        (["members", "title:text", "--workspace"], "an api/members already"),
        (["invitations", "title:text"], "an api/invitations already"),
        (["workspaces", "title:text", "--workspace"], "an api/workspaces already"),
        (["settings", "value:text", "--workspace"], "an api/settings.py already"),
        (["metrics", "value:integer"], "a path /metrics already"),
        (["zz_notes", "title:text", "--singular", "task"], "a model Task in the API already"),
        (["problems", "title:text", "--workspace"], "a model Problem in the API already"),
        (["limits", "title:text", "--workspace"], "api/limits/models.py would have two things that are called Limit"),
        (["rows", "title:text"], "api/rows/routes.py would have two things that are called Row"),
        (["dbs", "title:text", "--workspace"], "two things that are called db"),
        (["ways", "title:text", "--singular", "path"], "tests/ways/test_ways.py would have two things"),
        (["zz_notes", "workspace_id:uuid", "--workspace"], "every row has workspace_id"),
        (["zz_notes", "user_id:text", "--workspace"], "every row has user_id"),
        (["zz_notes", "role:text", "--workspace"], "a role is what a member of the workspace has"),
        (["n" * 39 + "s", f"{'t' * 14}:text", "--workspace"], "at most 52 characters together"),
    ],
)
def test_what_cannot_be_made_is_refused_with_a_reason_and_nothing_is_written(
    untouched_tree: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], reason: str
) -> None:
    monkeypatch.chdir(untouched_tree)
    before = files(untouched_tree)
    refused = CliRunner().invoke(new, arguments)
    assert isinstance(refused.exception, SystemExit)
    assert reason in " ".join(refused.stderr.split())
    assert files(untouched_tree) == before


def test_outside_of_a_checkout_it_says_where_to_run_it(tmp_path: Path) -> None:
    answer = run(tmp_path, str(Path(sys.executable).with_name("partywall")), "new", "notes", "title:text")
    assert answer.returncode == 1
    assert "run this in a checkout of Partywall" in answer.stderr
    assert list(tmp_path.iterdir()) == []
