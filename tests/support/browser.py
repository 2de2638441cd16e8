"""A real browser: Debian's chromium, or a Chrome that is on the PATH. It reaches this machine and nothing else."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # a page shows soon; a busy machine is not a failure
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser. Skips the test where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no browser on this machine: apt-get install chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=program, args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        ) as started,
    ):
        yield started


@contextmanager
def window() -> Iterator[Page]:
    """Open a window of a browser. Skips the test where there is none."""
    with browser() as started:
        yield new_window(started)


def new_window(browser: Browser) -> Page:
    """Return a window that shares nothing with others of the browser: no cookies, no storage."""
    return browser.new_page(viewport={"width": 1280, "height": 800})
