"""docs/architecture.md: its map names every module, and imports point the way that it says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.database import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text()
LAYERS = [
    re.findall(r"[a-z_]+/(?:[a-z_]+(?:/|\.py))?", line)
    for line in re.findall(r"<!-- layers -->\n```\n(.*?)```\n", PAGE, re.DOTALL)[0].splitlines()
]
RESOURCE = "api/tasks/"
MODULES = [file.relative_to(ROOT) for folder in ("api", "db", "migrations") for file in (ROOT / folder).rglob("*.py")]


def part(module: Path) -> str:
    """Return what a layer names of a module: its folder, or the module if it is in api/ itself."""
    [first, *rest] = module.parts
    if first != "api":
        return f"{first}/"
    return f"api/{rest[0]}/" if len(rest) > 1 else f"api/{rest[0]}"


def layer(part: str) -> int:
    """Return the number of the line that names a part; a folder of api/ that no line names is a resource."""
    [number] = [number for number, parts in enumerate(LAYERS) if part in parts] or [layer(RESOURCE)]
    return number


def imported(module: Path) -> Iterator[Path]:
    """Yield the modules of ours that a module imports."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (path for name in names if (path := Path(*name.split(".")).with_suffix(".py")) in MODULES)


@pytest.mark.parametrize("module", [each for each in MODULES if each.name != "__main__.py"], ids=str)
def test_imports_point_down(module: Path) -> None:
    for other in imported(module):
        assert part(other) == part(module) or layer(part(other)) > layer(part(module)), other


def test_the_map_names_every_module_but_those_of_other_resources() -> None:
    rows = re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE)
    named = re.findall(r"`(.+?)`", "".join(rows))
    layers = {part for parts in LAYERS for part in parts}
    modules = [str(each) for each in MODULES if part(each) in layers or not part(each).endswith("/")]
    assert [each for each in modules if not each.startswith(tuple(named)) and "/__" not in each] == []
