"""Several tasks at once: all or none, in one statement, also when others write to them at the same time."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.support.database import Url
from tests.support.refusals import assert_refused, untouched
from tests.support.servers import caller
from tests.support.tasks import IN_EVERY_HOME, Json, add, page, path
from tests.support.waiting import at_once, held, wait_for


def change(client: httpx2.Client, *tasks: Json) -> httpx2.Response:
    return client.patch("/tasks", json={"tasks": tasks})


def by_id(tasks: list[Json]) -> dict[str, Json]:
    return {task["id"]: task for task in tasks}


# ---- changing ----------------------------------------------------------------------------------------


@IN_EVERY_HOME
def test_tasks_are_moved_and_completed_and_returned_in_the_order_of_the_request(alice: httpx2.Client) -> None:
    a, b, c, other = (add(alice, text, order=n, completed=text == "c") for n, text in enumerate("abcd"))

    response = change(
        alice,
        {"id": c["id"], "order": 1, "completed": False},
        {"id": a["id"], "order": 3},
        {"id": b["id"], "completed": True},
    )

    assert response.status_code == 200
    items = response.json()["items"]
    moved, reordered, done = items
    stamp = moved["updated_at"]
    assert moved == c | {"order": 1, "completed": False, "completed_at": None, "updated_at": stamp}
    assert reordered == a | {"order": 3, "updated_at": stamp}
    assert done == b | {"completed": True, "completed_at": stamp, "updated_at": stamp}
    assert stamp > other["updated_at"]
    assert by_id(page(alice)["items"]) == by_id([*items, other])


@IN_EVERY_HOME
def test_a_task_that_is_completed_again_keeps_completed_at(alice: httpx2.Client) -> None:
    task = add(alice, completed=True)

    [changed] = change(alice, {"id": task["id"], "completed": True, "order": 9}).json()["items"]

    assert changed["completed_at"] == task["completed_at"] < changed["updated_at"]


def test_500_tasks_are_changed_at_once_and_501_are_refused(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    rows = admin.execute("""
        insert into app.tasks (user_id, text) select 'alice', 'x' from generate_series(1, 501) returning id::text
    """).fetchall()
    admin.commit()
    many = [{"id": task_id, "order": -(2**31) + n, "completed": True} for n, (task_id,) in enumerate(rows)]

    with untouched(admin):
        assert_refused(change(alice, *many), 422, "#/tasks")
    response = change(alice, *many[:500])

    assert response.status_code == 200
    assert [{name: task[name] for name in many[0]} for task in response.json()["items"]] == many[:500]
    assert admin.execute("select count(*) from app.tasks where completed").fetchone() == (500,)


@IN_EVERY_HOME
def test_if_one_is_missing_none_is_changed_and_the_response_says_which(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    first, last, gone, his = add(alice), add(alice), add(alice), add(bob)
    alice.delete(path(gone))
    ids = [first["id"], str(uuid4()), his["id"], last["id"], gone["id"]]

    with untouched(admin):
        response = change(alice, *({"id": task_id, "order": 7, "completed": True} for task_id in ids))

    assert_refused(response, 404, "#/tasks/1/id", "#/tasks/2/id", "#/tasks/4/id")
    details = [error["detail"] for error in response.json()["errors"]]
    assert details == [f"No task with the id {ids[place]}." for place in (1, 2, 4)]


@IN_EVERY_HOME
def test_a_task_of_another_user_is_missing_like_one_that_does_not_exist(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    his, unknown = add(bob)["id"], str(uuid4())

    with untouched(admin):
        theirs, nobodys = (change(alice, {"id": task_id, "order": 1}) for task_id in (his, unknown))

    assert (theirs.status_code, nobodys.status_code) == (404, 404)
    assert theirs.json()["errors"] == [
        {name: text.replace(unknown, his) for name, text in error.items()} for error in nobodys.json()["errors"]
    ]


SOME = "019a0000-0000-7000-8000-000000000000"
BAD: list[tuple[Any, str]] = [
    ({}, "#/tasks"),
    ({"tasks": None}, "#/tasks"),
    ({"tasks": {}}, "#/tasks"),
    ({"tasks": []}, "#/tasks"),
    ([], "#"),
    ({"tasks": [{"id": SOME, "order": 1}], "all": True}, "#/all"),
    ({"tasks": [7]}, "#/tasks/0"),
    ({"tasks": [{"order": 1}]}, "#/tasks/0/id"),
    ({"tasks": [{"id": SOME, "order": 1}, {"id": "x", "order": 1}]}, "#/tasks/1/id"),
    ({"tasks": [{"id": 7, "order": 1}]}, "#/tasks/0/id"),
    ({"tasks": [{"id": None, "order": 1}]}, "#/tasks/0/id"),
    ({"tasks": [{"id": SOME}]}, "#/tasks/0"),
    ({"tasks": [{"id": SOME, "text": "x"}]}, "#/tasks/0/text"),
    ({"tasks": [{"id": SOME, "user_id": "bob", "order": 1}]}, "#/tasks/0/user_id"),
    ({"tasks": [{"id": SOME, "order": None}]}, "#/tasks/0/order"),
    ({"tasks": [{"id": SOME, "order": "1"}]}, "#/tasks/0/order"),
    ({"tasks": [{"id": SOME, "order": 2**31}]}, "#/tasks/0/order"),
    ({"tasks": [{"id": SOME, "order": -(2**31) - 1}]}, "#/tasks/0/order"),
    ({"tasks": [{"id": SOME, "completed": None}]}, "#/tasks/0/completed"),
    ({"tasks": [{"id": SOME, "completed": 1}]}, "#/tasks/0/completed"),
    ({"tasks": [{"id": SOME, "order": 1}, {"id": SOME, "order": 2}]}, "#"),
    ({"tasks": [{"id": SOME, "order": 1}, {"id": SOME.upper(), "completed": True}]}, "#"),
]


def test_a_request_that_makes_no_sense_is_refused_with_the_place(
    alice: httpx2.Client, subtests: pytest.Subtests
) -> None:
    for body, place in BAD:
        with subtests.test(body=body):
            assert_refused(alice.patch("/tasks", json=body), 422, place)


def test_a_task_may_be_named_once(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    task = add(alice)
    with untouched(admin):
        response = change(alice, {"id": task["id"], "order": 1}, {"id": task["id"], "order": 2})
    assert_refused(response, 422, "#")
    assert response.json()["errors"][0]["code"] == "repeated_id"


def test_only_json_is_read(alice: httpx2.Client) -> None:
    for content_type in ("application/merge-patch+json", "application/json-patch+json", "text/plain"):
        assert_refused(alice.patch("/tasks", content="{}", headers={"Content-Type": content_type}), 415)
    assert_refused(alice.patch("/tasks", json={"tasks": ["x" * 70_000]}), 413)


# ---- at once -----------------------------------------------------------------------------------------


def test_requests_in_opposite_orders_wait_for_each_other_and_do_not_deadlock(
    base_url: str, alice: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [add(alice, f"{n}")["id"] for n in range(60)]

    def shuffle(number: int) -> set[int]:
        with caller(base_url, "alice") as client:
            mine = ids if number % 2 else ids[::-1]
            responses = [change(client, *({"id": each, "order": number} for each in mine)) for _ in range(15)]
            return {response.status_code for response in responses}

    with ThreadPoolExecutor(4) as threads:
        assert set().union(*threads.map(shuffle, range(4))) == {200}
    assert [record for record in caplog.records if record.name == "partywall.errors"] == []
    assert len({task["order"] for task in page(alice, limit=200)["items"]}) == 1


def test_both_bulk_writes_lock_tasks_in_the_order_of_their_ids(
    alice: httpx2.Client, admin: psycopg.Connection, url: Url, subtests: pytest.Subtests
) -> None:
    """So that they do not deadlock. In the order of the table, it would be the other way round."""
    tasks = [add(alice, f"{n}", order=-n) for n in range(20)]
    for task in reversed(tasks):
        alice.patch(path(task), json={"completed": True})
    admin.execute("analyze app.tasks")  # so few rows are read as they lie
    admin.commit()
    calls = {
        "change": partial(change, alice, *({"id": task["id"], "order": -1} for task in reversed(tasks))),
        "clear": partial(alice.delete, "/tasks?completed=true"),
    }

    for name, call in calls.items():
        with (
            subtests.test(name),
            psycopg.connect(url("postgres")) as another,
            ThreadPoolExecutor(1) as threads,
            held(admin, "select from app.tasks where text = '10' for update"),
        ):
            response = threads.submit(call)
            wait_for(admin, 1)
            free = another.execute("select text::int from app.tasks for update skip locked").fetchall()
            another.rollback()
            admin.commit()

            assert response.result().status_code == 200
            assert sorted(number for (number,) in free) == [*range(11, 20)]


@pytest.mark.usefixtures("way")
def test_of_two_at_once_the_second_changes_the_result_of_the_first(
    alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    a, b = add(alice, "a"), add(alice, "b")
    calls = [
        partial(change, alice, {"id": a["id"], "order": 1}, {"id": b["id"], "order": 2}),
        partial(change, alice, {"id": b["id"], "completed": True}, {"id": a["id"], "completed": True}),
    ]

    responses = at_once(admin, "select from app.tasks for update", calls)

    assert [response.status_code for response in responses] == [200, 200]
    assert [(task["text"], task["order"], task["completed"]) for task in page(alice)["items"]] == [
        ("a", 1, True),
        ("b", 2, True),
    ]
    assert by_id(responses[1].json()["items"]) == by_id(page(alice)["items"])


def test_what_is_deleted_while_the_request_waits_is_missing_and_the_rest_is_unchanged(
    alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    a, b = add(alice, "a"), add(alice, "b")
    calls = [
        partial(alice.delete, path(b)),
        partial(change, alice, {"id": a["id"], "order": 1}, {"id": b["id"], "order": 1}),
    ]

    deleted, response = at_once(admin, "select from app.tasks where text = 'b' for update", calls)

    assert deleted.status_code == 204
    assert_refused(response, 404, "#/tasks/1/id")
    assert page(alice)["items"] == [a]


# ---- one statement -----------------------------------------------------------------------------------


def test_a_migration_in_between_is_no_error(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    task = add(alice)
    for column in ("one", "two"):
        assert change(alice, {"id": task["id"], "order": 1}).status_code == 200
        admin.execute(f"alter table app.tasks add {column} text; alter table app.tasks drop {column}".encode())
        admin.execute("alter table app.tasks alter text type varchar")
        admin.commit()
        assert change(alice, {"id": task["id"], "order": 2}).status_code == 200
        assert alice.delete("/tasks?completed=true").status_code == 200
        admin.execute("alter table app.tasks alter text type text")
        admin.commit()


# ---- clearing ----------------------------------------------------------------------------------------


@IN_EVERY_HOME
def test_clearing_deletes_what_is_done_and_says_how_many(alice: httpx2.Client, bob: httpx2.Client) -> None:
    open_ones = [add(alice, f"{n}") for n in range(2)]
    for n in range(3):
        add(alice, f"done {n}", completed=True)
    his = add(bob, completed=True)

    responses = [alice.delete("/tasks", params={"completed": "true"}) for _ in range(2)]

    assert [(response.status_code, response.json()) for response in responses] == [
        (200, {"deleted": 3}),
        (200, {"deleted": 0}),
    ]
    assert page(alice)["items"] == open_ones
    assert page(bob)["items"] == [his]


def test_nothing_is_cleared_without_a_valid_filter(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    add(alice, completed=True)
    for query, places in {
        "": ["completed"],
        "?completed": ["completed"],
        "?completed=": ["completed"],
        "?completed=false": ["completed"],
        "?completed=1": ["completed"],
        "?completed=True": ["completed"],
        "?completed=true&sort=order": ["sort"],
        "?limit=1": ["completed", "limit"],
    }.items():
        with untouched(admin):
            assert_refused(alice.delete(f"/tasks{query}"), 422, *places)


def test_what_is_completed_or_reopened_meanwhile_is_judged_by_what_it_is_then(
    alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    done, reopened = add(alice, "done", completed=True), add(alice, "reopened", completed=True)
    calls = [
        partial(alice.patch, path(reopened), json={"completed": False}),
        partial(alice.delete, "/tasks?completed=true"),
    ]

    changed, cleared = at_once(admin, "select from app.tasks where text = 'reopened' for update", calls)

    assert cleared.json() == {"deleted": 1}
    assert page(alice)["items"] == [changed.json()]
    assert done["id"] not in by_id(page(alice)["items"])
