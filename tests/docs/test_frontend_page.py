"""What a frontend is built of: the types of every route, and the code of docs/frontend/, in Node and in a browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest
from playwright.sync_api import Page, expect

from api.http.access import MISSING
from api.http.examples import WORKSPACE_ID
from api.http.problems import title
from api.settings import Settings
from tests.support.browser import window
from tests.support.database import ROOT
from tests.support.node import PASSWORD, PROJECT, addresses, configure, run, sign_up
from tests.support.routes import ROUTES, Route, call
from tests.support.servers import AccessLog, caller, serving
from tests.support.tables import insert_examples
from tests.support.tokens import JWT_SECRET, bearer, make_token
from tests.support.workspaces import add_member

TEXT = (ROOT / "docs" / "frontend.md").read_text()
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
EXCHANGE = re.compile(r"(?:<!-- as (\w+) -->\n)?```http\n(.*?)\n\n(.*?)```\n", re.DOTALL)
# What differs from run to run: a word that is cut short, a time. A lone … is anything.
PIECES = re.compile(r"([\w-]+…|\d{4}-\d\d-\d\dT[\d:.]+\+00:00|…|\n )")
TELLING = {"etag", "idempotency-replayed", "link", "location"}  # they are shown wherever they are sent


@pytest.mark.slow("Node")
def test_a_typed_client_compiles_and_calls_every_route(frontend: Path, base_url: str, access_log: AccessLog) -> None:
    run("node", "dist/every-route.js", base_url, make_token("alice"), make_token("bob"), at=frontend)

    assert {(line["method"], line["route"]) for line in access_log()} == {*ROUTES}


@pytest.mark.slow("Node")
@pytest.mark.parametrize("workspace", [(), ("Garden",)], ids=["own tasks", "tasks of a workspace"])
def test_the_list_of_the_page_keeps_its_promises(
    workspace: tuple[str, ...], frontend: Path, better_auth: str, api: str
) -> None:
    email = sign_up(better_auth, "alice")
    run("node", "dist/story.js", email, PASSWORD, *workspace, at=frontend, **addresses(better_auth, api))


@pytest.mark.slow("Node")
def test_dragging_a_task_leaves_what_is_not_loaded_where_it_is(frontend: Path) -> None:
    run("node", "dist/reorder.js", at=frontend)


@pytest.fixture
def page(better_auth: str, api: str) -> Iterator[Page]:
    """The page, before anybody has signed in."""
    with window() as page:
        configure(page, better_auth, api)
        page.goto(better_auth)
        yield page


@pytest.mark.slow("Node")
def test_the_page_shows_every_change_and_every_conflict(page: Page, better_auth: str, api: str) -> None:
    user = [sign_up(better_auth, "alice"), PASSWORD]
    tasks, what = page.get_by_role("listitem"), page.get_by_label("What to do")
    milk, bob = tasks.filter(has_text="Buy milk"), tasks.filter(has_text="Call Bob")

    page.evaluate("user => start(...user)", user)
    for text in ("Buy milk", "Call Bob"):
        what.fill(text)
        what.press("Enter")
        expect(what).to_have_value("")  # React empties the form some time later, with what is typed meanwhile
    milk.get_by_role("checkbox").check()
    expect(milk.get_by_role("checkbox")).to_be_checked()
    expect(bob.get_by_role("checkbox")).to_be_enabled()

    # Meanwhile, in another window.
    token = page.evaluate("fetch('/api/auth/token').then((response) => response.json())")["token"]
    with httpx2.Client(base_url=api, headers=bearer(token)) as elsewhere:
        first, second = elsewhere.get("/tasks").json()["items"]
        assert (first["completed"], second["completed"]) == (True, False)
        elsewhere.patch(f"/tasks/{second['id']}", json={"text": "Call Charlie"})

        bob.get_by_role("checkbox").click()
        expect(page.get_by_role("alert")).to_have_text("It has changed since you read it. Read it again, then decide.")
        expect(tasks).to_have_text(["Buy milkDelete", "Call CharlieDelete"])
        expect(tasks.last.get_by_role("checkbox")).not_to_be_checked()

        milk.get_by_role("button").click()
        expect(tasks).to_have_text(["Call CharlieDelete"])
        expect(page.get_by_role("alert")).to_have_count(0)
        assert [task["text"] for task in elsewhere.get("/tasks").json()["items"]] == ["Call Charlie"]

        # The last task of the first page is dragged to the top, while a second page is there that is not loaded.
        for n in range(52):
            elsewhere.post("/tasks", json={"text": f"Task {n}", "order": 100})
        page.set_viewport_size({"width": 1280, "height": 2000})  # a drag that has to scroll lets go elsewhere
        before = [task["text"] for task in elsewhere.get("/tasks?limit=200").json()["items"]]
        page.reload()
        page.evaluate("user => start(...user)", user)
        expect(tasks).to_have_text([f"{text}Delete" for text in before[:50]])
        tasks.last.drag_to(tasks.first)
        after = [before[49], *before[:49], *before[50:]]
        expect(tasks).to_have_text([f"{text}Delete" for text in after[:50]])
        page.get_by_role("button", name="More").click()
        expect(tasks).to_have_text([f"{text}Delete" for text in after])
        expect(page.get_by_role("alert")).to_have_count(0)
        assert [task["text"] for task in elsewhere.get("/tasks?limit=200").json()["items"]] == after


# ---- the rest of docs/frontend.md --------------------------------------------------------------------


@pytest.mark.slow("Node")
def test_the_first_commands_of_the_page_make_what_its_code_needs(frontend: Path, base_url: str) -> None:
    [installs, *_] = SHELL.findall(TEXT)
    needed, for_development, generate = installs.splitlines()
    packages = json.loads((PROJECT / "package.json").read_text())

    assert set(needed.split()[2:]) <= packages["dependencies"].keys()
    assert set(for_development.split()[3:]) <= packages["devDependencies"].keys()
    assert generate.startswith("npx ")
    run(
        *generate.removeprefix("npx ").replace("http://127.0.0.1:8000", base_url).replace("lib/", "served/").split(),
        at=frontend,
    )
    assert (frontend / "served/schema.d.ts").read_text() == (frontend / "lib/schema.d.ts").read_text()


def test_the_last_command_of_the_page_lets_its_origin_call(settings: Settings) -> None:
    [*_, command] = SHELL.findall(TEXT)
    [assignment, *make_dev] = command.split()
    name, _, origin = assignment.partition("=")
    assert (name, make_dev) == ("CORS_ORIGINS", ["make", "dev"])
    chosen = Settings(_env_file=None, database_url=settings.database_url, jwt_secret=JWT_SECRET, cors_origins=origin)
    with serving(chosen) as address:
        headers = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
        assert httpx2.options(f"{address}/tasks", headers=headers).status_code == 200


def test_the_requests_of_the_page_get_the_responses_that_it_shows(base_url: str) -> None:
    conversation = Conversation()
    exchanges = EXCHANGE.findall(TEXT)
    assert len(exchanges) == TEXT.count("```http") > 20
    for user, request, expected in exchanges:
        with caller(base_url, user or "alice") as client:
            conversation.check(ask(client, conversation.spoken(request)), expected)


def roles() -> dict[Route, str]:
    """Return who may call a route, as the page's table of workspaces says."""
    table = TEXT.partition("<!-- roles -->\n")[2].partition("\n\n")[0].replace("{…}", "/workspaces/{workspace_id}")
    rows = re.findall(r"^\| ([^|]+) \| (\w+) \|", table, re.MULTILINE)
    return {(method, path): who for routes, who in rows for method, path in re.findall(r"`(\w+) ([^`]+)`", routes)}


RANKS = ("outsider", "viewer", "editor", "owner")
OF_WORKSPACES = re.compile(r"/workspaces(/{workspace_id}(/(members|invitations|tasks)(/{\w+})?)?)?|/invitations/accept")
DELETED_LAST = ("DELETE", "/workspaces/{workspace_id}")


def test_each_role_may_do_what_the_page_says(
    admin: psycopg.Connection, base_url: str, subtests: pytest.Subtests
) -> None:
    assert roles().keys() == {route for route in ROUTES if OF_WORKSPACES.fullmatch(route[1])}
    places = insert_examples(admin)  # Alice is the owner
    users = dict(zip(("mallory", "bob", "charlie", "alice"), RANKS, strict=True))
    for user in ("bob", "charlie"):
        add_member(admin, WORKSPACE_ID, user, users[user])
    inside = [(route, who) for route, who in roles().items() if who != "anybody"]

    for route, who in sorted(inside, key=lambda each: each[0] == DELETED_LAST):
        place = places.get(route[1], {"workspace_id": WORKSPACE_ID, "user_id": "alice"})
        for user, role in users.items():
            with subtests.test(f"{role} {route}"), caller(base_url, user) as client:
                response = call(client, route, place)
                if RANKS.index(role) >= RANKS.index(who):
                    assert response.status_code != 403
                    assert MISSING not in response.text
                else:
                    refused = (404, "not_found") if role == "outsider" else (403, "role_required")
                    assert (response.status_code, response.json()["code"]) == refused


def ask(client: httpx2.Client, request: str) -> httpx2.Response:
    """Send what stands on the page: a method and a path, then headers, then a body if there is one."""
    start, *more = request.splitlines()
    method, path = start.split(" ")
    headers = dict(line.split(": ", 1) for line in more if not line.startswith("{"))
    body = "".join(line for line in more if line.startswith("{"))
    return client.request(
        method, path, content=body or None, headers=headers | ({"Content-Type": "application/json"} if body else {})
    )


class Conversation:
    """Several exchanges in which the same sign on the page, such as an id, is the same value on the wire."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def spoken(self, request: str) -> str:
        """Return the request with the values of its signs."""
        for sign, value in self._values.items():
            request = request.replace(sign, value)
        return request

    def check(self, response: httpx2.Response, shown: str) -> None:
        """Compare a response with the page, and learn the values of the signs that are new."""
        names = re.findall(r"^([A-Z][\w-]+): ", shown, re.MULTILINE)
        assert response.headers.keys() & TELLING <= {name.lower() for name in names}
        headers = [f"{name}: {response.headers.get(name)}" for name in names]
        actual = "\n".join([f"{response.status_code} {title(response.status_code)}", *headers, response.text]).strip()

        signs: list[str] = []
        # Every second piece is one that PIECES found.
        pieces = enumerate(PIECES.split(shown.strip()))
        pattern = "".join(self._pattern(piece, signs) if place % 2 else re.escape(piece) for place, piece in pieces)
        found = re.fullmatch(pattern, actual)
        assert found, f"the page:\n{shown}\nthe response:\n{actual}"
        learned = dict(zip(signs, found.groups(), strict=True))
        assert not set(learned.values()) & set(self._values.values()), "two signs for one value"
        self._values |= learned

    def _pattern(self, piece: str, signs: list[str]) -> str:
        if piece == "\n ":  # a long line goes on
            return " ?"
        if piece == "…":
            return ".*"
        if piece in self._values:
            return re.escape(self._values[piece])
        if piece in signs:
            return rf"(?:\{signs.index(piece) + 1})"
        signs.append(piece)
        return r"([\w-]+)" if piece.endswith("…") else r"(\d{4}-[\dT:.-]+\+00:00)"
