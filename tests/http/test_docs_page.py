"""/docs without the internet: what the app serves, and what a browser shows."""

import asyncio
import os
import re
from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Page, expect

from api.main import create_app
from api.settings import Settings
from tests.support.browser import window
from tests.support.tokens import make_token

FILES = {
    "/docs/assets/docs.js": "text/javascript; charset=utf-8",
    "/docs/assets/favicon-32x32.png": "image/png",
    "/docs/assets/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/assets/swagger-ui.css": "text/css; charset=utf-8",
}
# SCREENSHOT=docs/docs-page.png writes the picture of the page anew.
SCREENSHOT = os.environ.get("SCREENSHOT")


def links(page: str) -> set[str]:
    return set(re.findall(r'(?:src|href|data-document)="([^"]*)"', page))


# ---- without a browser -------------------------------------------------------------------------------


def test_all_that_the_page_needs_is_served_by_this_app(anonymous: httpx2.Client) -> None:
    page = anonymous.get("/docs").text
    responses = {link: anonymous.get(link) for link in links(page)}

    assert {link: response.status_code for link, response in responses.items()} == dict.fromkeys(responses, 200)
    types = {link: response.headers["content-type"] for link, response in responses.items()}
    assert types == FILES | {"/openapi.json": "application/json"}
    assert "//" not in page
    assert "//" not in responses["/docs/assets/docs.js"].text.replace("// ", "")
    assert not re.search(r"@import|url\((?!\"?data:)", responses["/docs/assets/swagger-ui.css"].text)


def test_the_page_may_run_these_files_and_call_this_app_and_no_more(anonymous: httpx2.Client) -> None:
    page = anonymous.get("/docs")

    assert page.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert not re.search(r"<script>|<style|style=| on\w+=", page.text)  # nothing inline, so nothing to allow
    for response in (page, *map(anonymous.get, FILES)):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"


def test_a_browser_fetches_the_files_once(anonymous: httpx2.Client) -> None:
    assert anonymous.get("/docs").headers["cache-control"] == "no-cache"
    for path in FILES:
        first = anonymous.get(path)
        again = anonymous.get(path, headers={"If-None-Match": first.headers["etag"]})
        head = anonymous.head(path)

        assert first.headers["cache-control"] == "max-age=3600"
        assert (again.status_code, again.content) == (304, b"")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(first.content))


def test_nothing_else_of_the_package_is_served(anonymous: httpx2.Client) -> None:
    for path in ("", "/__init__.py", "/%2e%2e/main.py", "/%2e%2e%2fdocs.py"):
        assert anonymous.get(f"/docs/assets{path}").status_code == 404


def test_no_page_is_left_that_would_ask_another_host(anonymous: httpx2.Client) -> None:
    assert [anonymous.get(path).status_code for path in ("/redoc", "/docs/oauth2-redirect")] == [404, 404]


def test_the_links_follow_a_proxy_that_adds_a_prefix(settings: Settings) -> None:
    async def page() -> str:
        transport = httpx2.ASGITransport(create_app(settings), root_path='/"api"')
        async with httpx2.AsyncClient(transport=transport, base_url="http://partywall.test") as client:
            return (await client.get("/docs")).text

    assert links(asyncio.run(page())) == {f"/%22api%22{path}" for path in (*FILES, "/openapi.json")}


# ---- in a browser ------------------------------------------------------------------------------------


@pytest.fixture
def page() -> Iterator[Page]:
    """A window, with nothing in it yet."""
    with window() as page:
        yield page


@pytest.mark.slow("a browser")
def test_the_page_works_without_the_internet(page: Page, base_url: str, alice: httpx2.Client) -> None:
    alice.post("/tasks", json={"text": "Buy milk"})
    asked: list[str] = []
    complaints: list[str] = []  # what breaks the Content-Security-Policy is on the console too
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(error.message))

    page.goto(f"{base_url}/docs")
    expect(page.locator("h1, h2").first).to_contain_text("Partywall")
    expect(page.locator(".opblock").first).to_be_visible()
    if SCREENSHOT:
        page.screenshot(path=SCREENSHOT)

    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".dialog-ux")
    dialog.get_by_role("textbox").fill(make_token("alice"))
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close").last.click()

    listing = page.locator(".opblock-get").filter(has_text="List your tasks, a page at a time")
    listing.locator(".opblock-summary-control").click()
    listing.get_by_role("button", name="Try it out").click()
    listing.get_by_role("button", name="Execute").click()
    response = listing.locator(".live-responses-table .response")
    expect(response.locator(".response-col_status")).to_have_text("200")
    expect(response.locator(".response-col_description")).to_contain_text("Buy milk")

    folded = [*page.locator(".opblock-summary-control").all(), page.get_by_role("button", name="Schemas")]
    for part in folded:
        if part.get_attribute("aria-expanded") == "false":
            part.click()
            expect(part).to_have_attribute("aria-expanded", "true")
            part.click()  # folded again: the more there is on the page, the longer a click takes
    assert f"{base_url}/tasks?limit=50&sort=order" in asked
    assert {url for url in asked if not url.startswith(f"{base_url}/")} == set()
    assert complaints == []
