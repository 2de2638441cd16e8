"""The pages of docs/frontend/ for workspaces: users who have signed in at Better Auth, each in a browser context."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.support.browser import browser, new_window
from tests.support.node import PASSWORD, configure, sign_up

pytestmark = pytest.mark.slow("Node")

RAKE = "Rake the leaves"
LAST_OWNER = "The last owner of a workspace can neither leave nor step down. Make somebody else an owner first."
NEEDS_EDITOR = "This needs at least the role editor in the workspace."
NO_INVITATION = "No invitation with this token: it may have been used or revoked, or have expired."


class User:
    """Somebody with a window of their own, signed in."""

    def __init__(self, started: Browser, name: str, better_auth: str, api: str) -> None:
        self.page = new_window(started)
        self._site = better_auth
        configure(self.page, better_auth, api)
        self.page.goto(f"{better_auth}/workspaces")
        self.page.evaluate("user => start(...user)", [sign_up(better_auth, name), PASSWORD])
        session = self.page.evaluate("fetch('/api/auth/get-session').then((response) => response.json())")
        self.id: str = session["user"]["id"]

    def open(self, address: str) -> None:
        """Open an address as a new page."""
        self.page.goto("about:blank")  # another part behind the # alone would load nothing
        self.page.goto(address)
        self.page.evaluate("show()")

    def open_workspace(self, name: str) -> None:
        """Open the list of workspaces anew, then one of them."""
        self.open(f"{self._site}/workspaces")
        self.button(name).click()

    def invite(self, role: str) -> str:
        """Return a link to the open workspace."""
        shown = self.page.get_by_label("Link")
        before = shown.input_value() if shown.count() else ""
        self.button(f"Invite as {role}").click()
        expect(shown).not_to_have_value(before)
        return shown.input_value()

    def join(self, link: str) -> None:
        """Open a link that somebody has sent, and accept."""
        self.open(link)
        self.button("Join the workspace").click()

    def make(self, member: "User", role: str) -> None:
        """Change the role of a member of the open workspace."""
        chosen = self.row(member).get_by_role("combobox")
        chosen.select_option(role)
        expect(chosen).to_have_value(role)

    def fill(self, label: str, text: str) -> None:
        """Send what is written into a field."""
        self.page.get_by_label(label).fill(text)
        self.page.get_by_label(label).press("Enter")

    def button(self, name: str) -> Locator:
        """Return a button."""
        return self.page.get_by_role("button", name=name)

    def row(self, member: "User") -> Locator:
        """Return the line of a member of the open workspace."""
        return self.page.get_by_role("row").filter(has_text=member.id)

    def task(self, text: str = "") -> Locator:
        """Return the box of a task, or of all of them."""
        return self.page.get_by_role("listitem").filter(has_text=text).get_by_role("checkbox")

    def alert(self) -> Locator:
        """Return what the page says of something that was refused."""
        return self.page.get_by_role("alert")


SignIn = Callable[[str], User]


@pytest.fixture
def sign_in(better_auth: str, api: str) -> Iterator[SignIn]:
    """A function that gives somebody a window."""
    with browser() as started:
        yield lambda name: User(started, name, better_auth, api)


def test_alice_invites_bob_and_carol_who_work_together_until_bob_leaves(sign_in: SignIn) -> None:
    alice, bob, carol = sign_in("alice"), sign_in("bob"), sign_in("carol")

    # Alice creates a workspace, and invites bob as a viewer and carol as an editor, by a link for each.
    alice.fill("New workspace", "Garden")
    alice.button("Garden, owner").click()
    link = alice.invite("viewer")
    bob.join(link)
    expect(bob.button("Garden, viewer")).to_be_visible()
    carol.join(alice.invite("editor"))

    # Carol adds a task; bob sees it, and his page offers him no change.
    carol.button("Garden, editor").click()
    carol.fill("What to do", RAKE)
    expect(carol.task(RAKE)).to_be_enabled()
    bob.button("Garden, viewer").click()
    expect(bob.task(RAKE)).to_be_disabled()
    for absent in ("Delete", "Invite", "Remove"):
        expect(bob.button(absent)).to_have_count(0)
    expect(bob.page.get_by_label("What to do")).to_have_count(0)

    # Alice makes him an editor, and his page does; then a viewer again, which his page has not noticed: it is refused.
    alice.open_workspace("Garden, owner")
    alice.make(bob, "editor")
    bob.open_workspace("Garden, editor")
    expect(bob.task(RAKE)).to_be_enabled()
    alice.make(bob, "viewer")
    bob.task(RAKE).click()
    expect(bob.alert()).to_have_text(NEEDS_EDITOR)
    expect(bob.task(RAKE)).not_to_be_checked()
    expect(bob.task(RAKE)).to_be_disabled()

    # As an editor bob completes the task, which carol sees.
    alice.make(bob, "editor")
    bob.open_workspace("Garden, editor")
    bob.task(RAKE).check()
    expect(bob.task(RAKE)).to_be_enabled()
    carol.open_workspace("Garden, editor")
    expect(carol.task(RAKE)).to_be_checked()

    # Bob leaves and sees nothing; the link that he has used does not bring him back.
    bob.button("Leave").click()
    expect(bob.button("Garden")).to_have_count(0)
    expect(bob.task()).to_have_count(0)
    bob.join(link)
    expect(bob.alert()).to_have_text(NO_INVITATION)

    # The last owner cannot leave.
    alice.button("Leave").click()
    expect(alice.alert()).to_have_text(LAST_OWNER)
    expect(alice.button("Garden, owner")).to_be_visible()


def test_a_member_who_is_removed_and_a_workspace_that_is_deleted_go_from_the_page(sign_in: SignIn) -> None:
    alice, bob = sign_in("alice"), sign_in("bob")
    alice.fill("New workspace", "Garden")
    alice.button("Garden, owner").click()
    bob.join(alice.invite("editor"))
    bob.button("Garden, editor").click()
    bob.fill("What to do", RAKE)
    expect(bob.task(RAKE)).to_be_enabled()

    alice.open_workspace("Garden, owner")
    alice.row(bob).get_by_role("button").click()
    expect(alice.row(bob)).to_have_count(0)
    bob.task(RAKE).click()
    expect(bob.alert()).to_have_text("No workspace with this id.")
    expect(bob.button("Garden")).to_have_count(0)
    expect(bob.task()).to_have_count(0)

    alice.button("Delete workspace").click()
    expect(alice.button("Garden")).to_have_count(0)
    expect(alice.alert()).to_have_count(0)


def test_a_lost_response_and_a_second_click_on_a_link_lead_into_the_workspace(sign_in: SignIn) -> None:
    alice, bob = sign_in("alice"), sign_in("bob")
    alice.fill("New workspace", "Garden")
    alice.button("Garden, owner").click()

    # The response with the token is lost: the page revokes that invitation, and shows the link of another one.
    requests = recorded(alice.page)
    lose_one_response(alice.page, "**/invitations")
    link = alice.invite("viewer")
    assert [method for method, url in requests if "/invitations" in url] == ["POST", "POST", "DELETE", "POST"]

    # So is the response to the acceptance; then bob clicks the link a second time. No server has seen the token in it.
    requests = recorded(bob.page)
    lose_one_response(bob.page, "**/accept")
    for _ in range(2):
        bob.join(link)
        expect(bob.button("Garden, viewer")).to_be_visible()
        assert bob.page.url.endswith("/workspaces")
    assert [method for method, url in requests if url.endswith("/accept")] == ["POST", "POST", "POST"]
    token = link.partition("#")[2].partition(".")[0]
    assert [url for _, url in requests if token in url.partition("#")[0]] == []

    # Alice follows a link of her own, which stays open for somebody else.
    link = alice.invite("owner")
    alice.join(link)
    expect(alice.button("Garden, owner")).to_be_visible()
    carol = sign_in("carol")
    carol.join(link)
    expect(carol.button("Garden, owner")).to_be_visible()


def recorded(page: Page) -> list[tuple[str, str]]:
    """Return a list to which the method and the address of each request are added, but for preflights."""
    requests: list[tuple[str, str]] = []
    page.on("request", lambda request: requests.append((request.method, request.url)))
    return requests


def lose_one_response(page: Page, url: str) -> None:
    """Have the next request to an address reach the API, and its response not reach the page."""

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route(url, lose, times=1)
