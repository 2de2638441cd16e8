"""Links between pages lead somewhere, and the files and commands that pages name are there."""

import re
from pathlib import Path

import pytest

from api.commands.main import COMMANDS
from tests.support.database import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md"), ROOT / "ops/README.md"]
)
FILE = re.compile(r"(?<![\w/.-])(?:api|benchmarks|db|docs|migrations|ops|tests)/[a-z_/0-9]+(?:\.[a-z]+|/)(?![\w/*])")
# In code: after a backtick, or at the beginning of a line of a block.
COMMAND = re.compile(r"(?:`|^ {4}(?:\w+=\S+ )*|^)(?:\.venv/bin/)?(make|partywall) ([a-z]+)\b", re.MULTILINE)
NEW = {"growing.md"}  # is about files that are not there yet


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name) if name else page
        assert linked.exists(), target
        if not anchor:
            continue
        headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, target


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in NEW], ids=lambda page: page.name)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    assert [name for name in FILE.findall(page.read_text()) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_that_a_page_names_are_there(page: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = {"make": {*targets}, "partywall": {*COMMANDS}}
    named = COMMAND.findall(page.read_text())
    assert [(program, name) for program, name in named if name not in known[program]] == []
