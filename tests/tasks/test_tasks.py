"""What an owner can do with tasks."""

from uuid import UUID

import httpx2
import pytest

from api.tasks.models import Task
from tests.support.tasks import IN_EVERY_HOME, Json, add, page, path

pytestmark = IN_EVERY_HOME


def texts(client: httpx2.Client, **parameters: str | int | bool) -> list[str]:
    return [task["text"] for task in page(client, **parameters)["items"]]


def test_a_new_task_is_returned_whole_and_says_where_it_is(alice: httpx2.Client) -> None:
    response = alice.post("/tasks", json={"text": "Buy milk"})

    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    task = response.json()
    assert response.headers["location"] == f"/tasks/{task['id']}"
    assert alice.get(response.headers["location"]).json() == task
    assert list(task) == list(Task.model_fields)
    assert UUID(task["id"]).version == 7
    assert task["user_id"] == "alice"
    assert (task["text"], task["completed"], task["order"]) == ("Buy milk", False, 0)
    assert task["completed_at"] is None
    assert task["created_at"] == task["updated_at"]


def test_a_new_task_has_every_field_that_is_sent(alice: httpx2.Client) -> None:
    task = add(alice, "Buy milk", completed=True, order=-7)

    assert (task["text"], task["completed"], task["order"]) == ("Buy milk", True, -7)
    assert task["completed_at"] == task["created_at"]
    assert alice.get(path(task)).json() == task


def test_order_takes_every_int32(alice: httpx2.Client) -> None:
    lowest, highest = add(alice, order=-(2**31)), add(alice, order=2**31 - 1)

    assert (lowest["order"], highest["order"]) == (-2147483648, 2147483647)
    assert page(alice)["items"] == [lowest, highest]


def test_the_list_is_by_order_and_ties_are_by_age(alice: httpx2.Client) -> None:
    for text, order in [("e", 5), ("c", 0), ("a", -5), ("d", 0), ("f", 5), ("b", -5)]:
        add(alice, text, order=order)

    assert texts(alice) == ["a", "b", "c", "d", "e", "f"]


def test_an_empty_list_is_one_empty_page(charlie: httpx2.Client) -> None:
    assert charlie.get("/tasks").json() == {"items": [], "next_cursor": None}


def walk(client: httpx2.Client, limit: int) -> list[list[Json]]:
    pages = [page(client, limit=limit)]
    while pages[-1]["next_cursor"] is not None:
        pages.append(page(client, limit=limit, cursor=pages[-1]["next_cursor"]))
    return [each["items"] for each in pages]


def test_pages_walk_through_everything_exactly_once(alice: httpx2.Client) -> None:
    every = [add(alice, f"{order} {n}", order=order) for order in (-(2**31), 0, 2**31 - 1) for n in range(2)]

    for limit in (1, 2, 3, 4, 6, 7, 200):
        assert walk(alice, limit) == [every[start : start + limit] for start in range(0, 6, limit)]


def test_the_next_page_follows_a_task_that_was_deleted_and_has_what_was_added_behind_it(
    alice: httpx2.Client,
) -> None:
    first = add(alice, "first")
    add(alice, "third", order=2)
    cursor = page(alice, limit=1)["next_cursor"]

    alice.delete(path(first))
    add(alice, "second", order=1)

    assert texts(alice, cursor=cursor) == ["second", "third"]


def test_a_list_of_done_tasks_has_only_those_and_pages_through_them(alice: httpx2.Client) -> None:
    for n in range(6):
        add(alice, f"{n}", completed=n % 2 == 0)

    assert texts(alice, completed="true") == ["0", "2", "4"]
    assert texts(alice, completed="false") == ["1", "3", "5"]
    result = page(alice, completed="true", limit=2)
    assert texts(alice, completed="true", limit=2, cursor=result["next_cursor"]) == ["4"]


def test_a_page_has_50_tasks_unless_limit_says_otherwise(alice: httpx2.Client) -> None:
    every = [add(alice, f"{n}")["text"] for n in range(201)]

    assert texts(alice) == every[:50]
    assert texts(alice, limit=200) == every[:200]
    assert texts(alice, limit=1) == every[:1]


TEXTS = (
    "👩\u200d👩\u200d👧 🎉",
    'O\'Reilly said "\\"',
    "back\\slash \\n \\u0041 %s $1 '' $$ --",
    "  line\r\n\ttab  ",
    "\u200b\ufeff\u202e\ufffd\uffff",
    "\x01\x1b\x7f",
    *("\x1c", "\u180e", "\ufeff"),  # white space to Python, to Unicode of old, to JavaScript
    "x" * 500,
    "é" * 500,
    "𝄞" * 500,
)


def test_text_comes_back_as_it_was_sent(alice: httpx2.Client) -> None:
    tasks = [add(alice, text) for text in TEXTS]

    assert [task["text"] for task in tasks] == list(TEXTS)
    assert [alice.get(path(task)).json()["text"] for task in tasks] == list(TEXTS)
    assert texts(alice) == list(TEXTS)


def test_put_replaces_everything(alice: httpx2.Client) -> None:
    task = add(alice, "Buy milk", order=3)

    response = alice.put(path(task), json={"text": "Buy bread", "completed": True, "order": -1})

    assert response.status_code == 200
    replaced = response.json()
    changed = {name for name in task if replaced[name] != task[name]}
    assert changed == {"text", "completed", "order", "updated_at", "completed_at"}
    assert (replaced["text"], replaced["completed"], replaced["order"]) == ("Buy bread", True, -1)
    assert list(replaced) == list(Task.model_fields)
    assert alice.get(path(task)).json() == replaced


def test_put_without_a_field_is_refused(alice: httpx2.Client, subtests: pytest.Subtests) -> None:
    task = add(alice)
    whole: Json = {"text": "Buy bread", "completed": True, "order": 1}

    for missing in whole:
        with subtests.test(missing=missing):
            response = alice.put(path(task), json={name: value for name, value in whole.items() if name != missing})

            assert response.status_code == 422
            assert [error["pointer"] for error in response.json()["errors"]] == [f"#/{missing}"]
            assert alice.get(path(task)).json() == task


def test_patch_changes_only_what_is_sent(alice: httpx2.Client, subtests: pytest.Subtests) -> None:
    changes: list[Json] = [{"text": "Buy bread"}, {"completed": False}, {"order": 0}, {"order": 9, "text": "x"}]
    for change in changes:
        with subtests.test(change=change):
            task = add(alice, completed=True, order=4)

            response = alice.patch(path(task), json=change)

            assert response.status_code == 200
            changed = response.json()
            stamps = {name: changed[name] for name in ("updated_at", "completed_at")}
            assert changed == task | change | stamps
            assert alice.get(path(task)).json() == changed


def test_patch_with_null_is_refused(alice: httpx2.Client, subtests: pytest.Subtests) -> None:
    task = add(alice)

    for name in ("text", "completed", "order"):
        with subtests.test(name=name):
            response = alice.patch(path(task), json={"text": "Buy bread"} | {name: None})

            assert response.status_code == 422
            assert [error["pointer"] for error in response.json()["errors"]] == [f"#/{name}"]
            assert alice.get(path(task)).json() == task


def test_patch_that_changes_nothing_is_refused(alice: httpx2.Client) -> None:
    task = add(alice)

    response = alice.patch(path(task), json={})

    assert response.status_code == 422
    [error] = response.json()["errors"]
    assert error["pointer"] == "#"
    assert (error["code"], error["fields"]) == ("nothing_to_change", ["text", "completed", "order"])
    assert alice.get(path(task)).json() == task


def test_completed_at_is_set_kept_and_cleared(alice: httpx2.Client) -> None:
    task = add(alice)

    done = alice.patch(path(task), json={"completed": True}).json()
    assert done["completed_at"] == done["updated_at"] > task["created_at"]

    still_done = alice.put(path(task), json={"text": "Again", "completed": True, "order": 1}).json()
    assert still_done["completed_at"] == done["completed_at"] < still_done["updated_at"]

    undone = alice.patch(path(task), json={"completed": False}).json()
    assert undone["completed_at"] is None

    done_again = alice.patch(path(task), json={"completed": True}).json()
    assert done_again["completed_at"] > done["completed_at"]


def test_a_change_moves_updated_at_and_not_created_at(alice: httpx2.Client) -> None:
    task = add(alice)
    stamps = [task["updated_at"]]

    for change in ({"text": "Buy bread"}, {"order": 3}, {"completed": True}):
        changed = alice.patch(path(task), json=change).json()
        stamps.append(changed["updated_at"])
        assert changed["created_at"] == task["created_at"]

    assert stamps == sorted(set(stamps))


def test_timestamps_are_in_utc(alice: httpx2.Client) -> None:
    task = add(alice, completed=True)

    assert all(task[name].endswith("+00:00") for name in ("created_at", "updated_at", "completed_at"))


def test_a_deleted_task_is_gone(alice: httpx2.Client) -> None:
    task, other = add(alice), add(alice)

    response = alice.delete(path(task))

    assert (response.status_code, response.content) == (204, b"")
    assert page(alice)["items"] == [other]
    gone = [
        alice.get(path(task)),
        alice.delete(path(task)),
        alice.patch(path(task), json={"order": 1}),
        alice.put(path(task), json={"text": "x", "completed": True, "order": 1}),
    ]
    assert [each.status_code for each in gone] == [404] * 4
    assert page(alice)["items"] == [other]
