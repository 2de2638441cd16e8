"""Whatever a caller sends, on any route: only their own rows are read, changed and deleted.

Each test runs twice, the second time with statements that forget their tenant.
"""

import httpx2
import psycopg
import pytest

from tests.support.database import Url
from tests.support.refusals import assert_refused, untouched
from tests.support.routes import COLLECTIONS, NEEDS_TOKEN, SOME_ID, call, create, example, operation
from tests.support.servers import calling
from tests.support.statements import STATEMENTS, WITHOUT_TENANT
from tests.support.tables import insert_examples, rows_of
from tests.support.tokens import bearer, make_token

pytestmark = [pytest.mark.parametrize("statements", STATEMENTS, indirect=True), pytest.mark.usefixtures("way")]

# Those that respond with 404 to an id that does not exist, be it in the path or in the body.
BY_ID = [route for route in NEEDS_TOKEN if "404" in operation(*route)["responses"]]


@pytest.fixture
def rows(alice: httpx2.Client) -> dict[str, str]:
    """Let Alice create a row of every resource, with a key; return its id by the resource's path."""
    return {each: create(alice, each, **{"Idempotency-Key": each}) for each in COLLECTIONS}


def test_a_list_has_the_rows_of_its_caller_and_no_others(
    rows: dict[str, str], alice: httpx2.Client, bob: httpx2.Client, charlie: httpx2.Client
) -> None:
    for collection, hers in rows.items():
        his = create(bob, collection)

        assert [row["id"] for row in alice.get(collection).json()["items"]] == [hers]
        assert [row["id"] for row in bob.get(collection).json()["items"]] == [his]
        assert charlie.get(collection).json() == {"items": [], "next_cursor": None}


def response_to(client: httpx2.Client, route: tuple[str, str], row: str) -> tuple[int, str, set[str]]:
    """Return all of the response that does not differ each time; as if the row had some id."""
    response = call(client, route, row, headers={"X-Request-ID": "mine"})
    return response.status_code, response.text.replace(row, SOME_ID), {*response.headers}


def test_a_row_of_another_user_does_not_exist(
    rows: dict[str, str], bob: httpx2.Client, admin: psycopg.Connection, subtests: pytest.Subtests
) -> None:
    for route in BY_ID:
        hers = rows[route[1].partition("/{")[0]]
        with subtests.test(" ".join(route)), untouched(admin):
            status, *rest = response_to(bob, route, hers)
            assert (status, *rest) == response_to(bob, route, SOME_ID)
            assert status == 404


@pytest.mark.usefixtures("rows")
def test_no_route_changes_a_row_of_another_user(bob: httpx2.Client, admin: psycopg.Connection) -> None:
    admin.execute("update app.tasks set completed = true")
    admin.commit()
    before = rows_of(admin, "alice")
    assert all(before[table] for table in ("app.tasks", "app.idempotency_keys"))
    admin.commit()
    for route in NEEDS_TOKEN:
        call(bob, route)

    assert rows_of(admin, "alice") == before


def test_the_same_key_of_another_user_is_another_key(
    rows: dict[str, str], alice: httpx2.Client, bob: httpx2.Client
) -> None:
    for collection, hers in rows.items():
        assert create(alice, collection, **{"Idempotency-Key": collection}) == hers
        assert create(bob, collection, **{"Idempotency-Key": collection}) != hers


def test_the_owner_comes_from_the_token_and_from_nowhere_else(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    for collection in COLLECTIONS:
        route = ("POST", collection)
        body = example(operation(*route)["requestBody"])
        assert call(alice, route, headers={"X-User-Id": "bob"}).json()["user_id"] == "alice"
        with untouched(admin):
            assert_refused(call(alice, route, json=body | {"user_id": "bob"}), 422, "#/user_id")


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
