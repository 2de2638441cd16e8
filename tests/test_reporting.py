"""What a run of the suite prints at its end."""

import pytest

from tests.support.database import ROOT

RUN = """
import logging, pytest

def test_that_fails():
    for number in range(1000):
        print("a request", number)
    logging.error("a defect")
    assert 1 == 2, "this is why"

@pytest.mark.slow("a browser")
def test_in_a_browser(): ...

@pytest.mark.slow("Node")
def test_in_node(): ...
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a directory with tests of its own, which are reported as ours are."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyprojecttoml((ROOT / "pyproject.toml").read_text())
    pytester.makepyfile(**{"tests/test_run": RUN})
    return pytester


def test_a_failure_is_named_with_its_reason_and_without_a_thousand_lines_of_output(run: pytest.Pytester) -> None:
    result = run.runpytest_subprocess("-p", "tests.support.reporting")

    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["FAILED *::test_that_fails - AssertionError: this is why*"])
    result.stdout.fnmatch_lines(["... 990 lines", "a request 990", "a request 999", "*a defect"])
    result.stdout.no_fnmatch_line("a request 989")


def test_a_fast_run_says_in_one_line_how_many_tests_it_left_out_and_why(run: pytest.Pytester) -> None:
    result = run.runpytest_subprocess("-p", "tests.support.reporting", "--fast")

    result.assert_outcomes(skipped=2, failed=1)
    result.stdout.fnmatch_lines(["SKIPPED [[]2] *: FAST=1 leaves out the tests that need Node, a browser"])
