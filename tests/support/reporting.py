"""What a run begins with, or leaves out with `make test FAST=1`, and a report of failures that people can read."""

from collections.abc import Generator

import pytest

KEPT_LINES = 10
LEFT_OUT = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="skip the tests that are marked slow")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the files that take longest first: at the end of a run one process would wait for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    needs = {mark.args[0] for item in items for mark in item.iter_markers("slow")}
    config.stash[LEFT_OUT] = f"FAST=1 leaves out the tests that need {', '.join(sorted(needs))}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip slow tests. One place and one reason for all of them: the summary counts them in one line."""
    if item.config.getoption("fast") and item.get_closest_marker("slow"):
        pytest.skip(item.config.stash[LEFT_OUT])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the last lines only of what was printed: the app, a thread of this process, logs each request to stdout."""
    report = yield
    report.sections = [
        (name, last_lines(text) if name.startswith("Captured stdout") else text) for name, text in report.sections
    ]
    return report


def last_lines(text: str) -> str:
    """Return the last lines of `text`, and how many were before them."""
    lines = text.splitlines(keepends=True)
    left_out = len(lines) - KEPT_LINES
    return text if left_out <= 0 else "".join([f"... {left_out} lines\n", *lines[left_out:]])
