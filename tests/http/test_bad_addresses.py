"""Paths and queries that are not valid: refused with a reason and a place, and no row has changed."""

from itertools import product

import httpx2
import psycopg
import pytest

from tests.support.refusals import assert_refused, codes, untouched

METHODS = ("GET", "PUT", "PATCH", "DELETE")
BODY = b'{"text": "Buy milk", "completed": false, "order": 0}'
UNKNOWN = "/tasks/019a0000-0000-7000-8000-000000000000"
NO_UUIDS = (
    *("1", "x", "null", UNKNOWN[7:-1], f"{UNKNOWN[7:]}0", f"{UNKNOWN[7:-1]}g", "x" * 5000),
    *("%00", "%ff", "%F0%9D%84%9E", "'%20or%20true%20--", "%7B%7D", "*"),
)


def call(client: httpx2.Client, method: str, path: str, content: bytes = BODY) -> httpx2.Response:
    if method in {"GET", "DELETE"}:
        return client.request(method, path)
    return client.request(method, path, content=content, headers={"Content-Type": "application/json"})


@pytest.fixture
def bobs(bob: httpx2.Client) -> str:
    return bob.post("/tasks", json={"text": "Bob's"}).headers["location"]


def test_an_id_that_is_no_uuid_is_refused(
    admin: psycopg.Connection, alice: httpx2.Client, subtests: pytest.Subtests
) -> None:
    for method, each in product(METHODS, NO_UUIDS):
        with subtests.test(method, id=each[:40]), untouched(admin):
            assert_refused(call(alice, method, f"/tasks/{each}"), 422, "task_id")


def test_an_unknown_id_is_not_found(alice: httpx2.Client) -> None:
    for method in METHODS:
        assert_refused(call(alice, method, UNKNOWN), 404)


def test_a_task_of_another_user_does_not_exist(
    admin: psycopg.Connection, alice: httpx2.Client, bobs: str, subtests: pytest.Subtests
) -> None:
    for method in METHODS:
        with subtests.test(method), untouched(admin):
            assert_refused(call(alice, method, bobs), 404)
            for content in (BODY, BODY.replace(b"Buy milk", b""), b"{"):
                assert without_request_id(call(alice, method, bobs, content)) == without_request_id(
                    call(alice, method, UNKNOWN, content)
                )


def without_request_id(response: httpx2.Response) -> tuple[int, object, object]:
    """Return all of `response` but what differs each time."""
    content, headers = response.json(), dict(response.headers)
    assert content.pop("request_id") == headers.pop("x-request-id")
    del headers["date"]
    return response.status_code, content, headers


BAD_PARAMETERS = (
    *(("limit", value) for value in ("0", "201", "-1", "", "x", "1.5", "1e1", "NaN", "true", "9" * 30, "9" * 5000)),
    *(("limit", value) for value in ("05", "5.0", "+5", " 5", "5\n", "1_0", "٣")),
    *(("completed", value) for value in ("", "maybe", "2", "null", "[]", "\x00")),
    *(("completed", value) for value in ("yes", "on", "t", "1", "True", "TRUE", " true", '"true"')),
    *((name, "1") for name in ("user_id", "offset", "Limit", "limit[]", "sort", "", "\x00", "é")),
)


def test_a_parameter_of_the_list_that_is_unknown_or_out_of_bounds_is_refused(
    alice: httpx2.Client, subtests: pytest.Subtests
) -> None:
    for name, value in BAD_PARAMETERS:
        with subtests.test(name=name, value=value[:40]):
            assert_refused(alice.get("/tasks", params={name: value}), 422, name)


REPEATED = {
    "limit=1&limit=1": ["limit"],
    "limit=1&limit=2": ["limit"],
    "sort=order&limit=1&sort=order&limit=": ["sort", "limit"],
    "l%69mit=1&limit=1": ["limit"],
    "completed=true&completed=true": ["completed"],
    "unknown=1&unknown=1": ["unknown"],
    "=&=": [""],
}


def test_a_parameter_that_is_sent_twice_is_refused(
    admin: psycopg.Connection, alice: httpx2.Client, subtests: pytest.Subtests
) -> None:
    """Which one is meant depends on who reads it: a proxy may have checked the other one."""
    for query, names in REPEATED.items():
        with subtests.test(query), untouched(admin):
            response = alice.get(f"/tasks?{query}")
            assert_refused(response, 422, *names)
            assert codes(response) == ["repeated_parameter"] * len(names)
    with untouched(admin):
        assert_refused(alice.delete("/tasks?completed=true&completed=true"), 422, "completed")


def bad_cursors(good: str) -> dict[str, str]:
    return {
        "garbage": "garbage",
        "long": "A" * 5000,
        "padded": good + "=",
        "spaced": f" {good}",
        "doubled": good * 2,
        "not ASCII": "é𝄞",
        "not ASCII at its end": good[:-1] + "é",
        "NUL": "\x00",
        "all zeros": "A" * len(good),
        **{f"cut off at {n}": good[:n] for n in range(len(good))},
        **{
            f"another character at {n}": good[:n] + ("B" if c == "A" else "A") + good[n + 1 :]
            for n, c in enumerate(good)
        },
        **{f"no base64 at {n}": good[:n] + "!" + good[n:] for n in range(len(good))},
    }


def test_a_cursor_that_the_list_did_not_return_to_its_caller_is_refused(
    alice: httpx2.Client, bob: httpx2.Client, subtests: pytest.Subtests
) -> None:
    for client in (alice, alice, bob, bob):
        client.post("/tasks", json={"text": "Buy milk"})
    hers, his = (client.get("/tasks", params={"limit": 1}).json()["next_cursor"] for client in (alice, bob))
    assert alice.get("/tasks", params={"cursor": hers}).status_code == 200

    for name, cursor in {"another user's": his, **bad_cursors(hers)}.items():
        with subtests.test(name):
            assert_refused(alice.get("/tasks", params={"cursor": cursor}), 422, "cursor")
