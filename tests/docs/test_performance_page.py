"""docs/performance.md shows what was measured, and nothing that was not."""

import json
import re

from benchmarks.figures import figures
from benchmarks.load import TRANSACTIONS
from benchmarks.soak.report import text
from benchmarks.tables import table
from tests.support.database import ROOT

PAGE = (ROOT / "docs" / "performance.md").read_text()
TIMES = "\N{MULTIPLICATION SIGN}"
RESULTS = json.loads((ROOT / "benchmarks" / "results.json").read_text())


def test_the_page_shows_the_tables_of_the_last_run() -> None:
    shown = re.search(r"<!-- make bench -->\n```\n(.*?)\n```\n", PAGE, re.DOTALL)
    assert shown
    assert shown[1] == table(RESULTS).strip("\n")


def test_the_soak_that_is_shown_is_the_last_one_that_was_saved() -> None:
    pages = [page.read_text() for page in (ROOT / "docs").glob("*.md")]
    [shown] = [
        found[1] for page in pages if (found := re.search(r"<!-- make soak -->\n```\n(.*?)```\n", page, re.DOTALL))
    ]
    assert shown == text(json.loads((ROOT / "benchmarks" / "soak.json").read_text())) + "\n"


def test_the_figures_follow_from_the_measurements() -> None:
    assert figures(RESULTS) == RESULTS["figures"]


def test_the_readme_repeats_what_was_measured() -> None:
    value = {each["figure"]: each["value"] for each in RESULTS["figures"]}
    page, row, new = (value[f"{scenario}: partywall ÷ sqlmodel"] for scenario in ("list_50", "read_one", "create"))
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert (
        f"{page:.1f}{TIMES} the requests per second for a page of 50, {row:.1f}{TIMES} for one task, "
        f"{new:.1f}{TIMES} for a new task" in readme
    )


def test_every_parameter_of_the_apis_statements_has_a_value_in_pgbench() -> None:
    assert {name for name, script in TRANSACTIONS.items() if re.search(r"\$\d", script)} == set()
