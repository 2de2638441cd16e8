"""Whatever a caller sends, on any route: only their own rows are read, changed and deleted.

Each test runs twice, the second time with statements that forget their tenant.
"""

import httpx2
import psycopg
import pytest

from tests.support.database import Url
from tests.support.refusals import assert_refused, untouched
from tests.support.routes import (
    COLLECTIONS,
    NEEDS_TOKEN,
    SOME_ID,
    Place,
    call,
    create,
    example,
    fill,
    operation,
    own_id,
    populate,
)
from tests.support.servers import calling
from tests.support.statements import STATEMENTS, WITHOUT_TENANT
from tests.support.tables import insert_examples, rows_of
from tests.support.tokens import bearer, make_token

pytestmark = [pytest.mark.parametrize("statements", STATEMENTS, indirect=True), pytest.mark.usefixtures("way")]

# Those that respond with 404 to an id that does not exist, be it in the path or in the body.
BY_ID = [route for route in NEEDS_TOKEN if "404" in operation(*route)["responses"]]


@pytest.fixture
def places(alice: httpx2.Client) -> dict[str, Place]:
    """Let Alice create a row of every resource; return for each path the place of such a row."""
    return populate(alice, "alice")


def ids(client: httpx2.Client, path: str) -> set[str]:
    return {row["id"] for row in client.get(path).json()["items"]}


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_list_has_the_rows_of_its_caller_and_no_others(
    collection: str, alice: httpx2.Client, bob: httpx2.Client, charlie: httpx2.Client
) -> None:
    hers, his = (create(client, collection) for client in (alice, bob))

    assert ids(alice, fill(collection, hers)) == {own_id(hers)}
    assert ids(bob, fill(collection, his)) == {own_id(his)}
    others = charlie.get(fill(collection, hers))
    if "{" in collection:
        assert others.json()["code"] == "not_found"
    else:
        assert others.json() == {"items": [], "next_cursor": None}


def response_to(client: httpx2.Client, route: tuple[str, str], place: Place | str) -> tuple[int, str, set[str]]:
    """Return all of the response that does not differ each time; as if the row had some id."""
    response = call(client, route, place, headers={"X-Request-ID": "mine"})
    text = response.text if isinstance(place, str) else response.text.replace(own_id(place), SOME_ID)
    return response.status_code, text, {*response.headers}


def test_a_row_of_another_tenant_does_not_exist(
    places: dict[str, Place], bob: httpx2.Client, admin: psycopg.Connection, subtests: pytest.Subtests
) -> None:
    for route in BY_ID:
        with subtests.test(" ".join(route)), untouched(admin):
            status, *rest = response_to(bob, route, places[route[1]])
            assert (status, *rest) == response_to(bob, route, SOME_ID)
            assert status == 404


def test_no_route_changes_a_row_of_another_tenant(
    places: dict[str, Place], bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    admin.execute("update app.tasks set completed = true")
    admin.execute("update app.workspace_tasks set completed = true")
    admin.commit()
    before = rows_of(admin, "alice")
    assert [table for table, rows in before.items() if not rows] == ["app.idempotency_keys"]
    admin.commit()
    for route in NEEDS_TOKEN:
        call(bob, route, places[route[1]])

    assert rows_of(admin, "alice") == before


def test_the_same_key_of_another_user_is_another_key(alice: httpx2.Client, bob: httpx2.Client) -> None:
    for number, collection in enumerate(COLLECTIONS):
        key = {"Idempotency-Key": f"key-{number}"}
        hers = create(alice, collection, **key)
        assert create(alice, collection, **key) == hers
        assert create(bob, collection, **key) != hers


def test_the_owner_comes_from_the_token_and_from_nowhere_else(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    for collection in COLLECTIONS:
        route = ("POST", collection)
        body = example(operation(*route)["requestBody"])
        place = create(alice, collection)
        assert call(alice, route, place, headers={"X-User-Id": "bob"}).json().get("user_id", "alice") == "alice"
        with untouched(admin):
            for tenant in ("user_id", "workspace_id"):
                assert_refused(call(alice, route, place, json=body | {tenant: "bob"}), 422, f"#/{tenant}")


def test_a_request_that_only_reads_cannot_write_whatever_it_runs_into(
    alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    insert_examples(admin)
    admin.execute("""
        create schema scratch;
        create sequence scratch.reads;
        grant usage on schema scratch to app_api;
        grant usage on sequence scratch.reads to app_api;
        create policy count_reads on app.tasks as restrictive for select to app_api
            using (nextval('scratch.reads') > 0);
    """)
    admin.commit()

    assert alice.get("/tasks").status_code == 500
    assert admin.execute("select is_called from scratch.reads").fetchone() == (False,)


def test_with_a_policy_for_all_rows_the_tenant_that_a_statement_names_is_all_that_is_left(
    statements: str, admin: psycopg.Connection, url: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the second run of these tests is about: it would see the row, and the policy is why it does not."""
    monkeypatch.setattr("api.health.readiness.READY_INTERVAL", 3600)  # or the API would notice the policy
    insert_examples(admin)
    admin.commit()
    with calling(url("app_api")) as client:
        admin.execute("create policy all_rows on app.tasks to app_api using (true)")
        admin.commit()
        bob = bearer(make_token("bob"))
        seen = {row["user_id"] for row in client.get("/tasks", headers=bob).json()["items"]}

    assert seen == ({"alice"} if statements == WITHOUT_TENANT else set())
