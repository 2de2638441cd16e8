"""What tests share lives in tests/support: any folder of tests can be read, moved and deleted on its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.database import ROOT

TESTS = ROOT / "tests"
FILES = sorted(file for file in TESTS.rglob("*.py") if "node_modules" not in file.parts)


def imported(file: Path) -> Iterator[str]:
    """Yield the full name of everything that a file imports."""
    package = file.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) + 1 - node.level] if node.level else ()
            origin = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TESTS)))
def test_no_test_module_imports_another(file: Path) -> None:
    ours = [name for name in imported(file) if name.split(".")[0] == "tests"]

    assert [name for name in ours if not name.startswith("tests.support.")] == []
