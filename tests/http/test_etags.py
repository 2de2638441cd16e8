"""ETag, If-None-Match and If-Match: nobody downloads what they have, nobody overwrites what they have not seen."""

from functools import partial
from typing import NamedTuple

import httpx2
import psycopg
import pytest

from tests.support.refusals import assert_refused, untouched
from tests.support.tasks import Json, add, path
from tests.support.waiting import at_once

UNKNOWN = "/tasks/019a0000-0000-7000-8000-000000000000"
WHOLE: Json = {"text": "Buy bread", "completed": True, "order": 1}


def etag(client: httpx2.Client, where: str) -> str:
    """Return the ETag of what is there now."""
    return client.get(where).headers["etag"]


class Write(NamedTuple):
    """A request that writes to a task."""

    method: str
    json: Json | None
    success: int

    def send(self, client: httpx2.Client, where: str, **headers: str) -> httpx2.Response:
        names = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        return client.request(self.method, where, json=self.json, headers=names)


WRITES = (Write("PUT", WHOLE, 200), Write("PATCH", {"order": 5}, 200), Write("DELETE", None, 204))
EVERY_WRITE = pytest.mark.parametrize("write", WRITES, ids=lambda write: write.method)


@pytest.fixture
def task(alice: httpx2.Client) -> str:
    """Return the path of a task of Alice's."""
    return path(add(alice))


# ---- ETag --------------------------------------------------------------------------------------------


def test_every_response_with_a_task_has_its_etag(alice: httpx2.Client) -> None:
    created = alice.post("/tasks", json={"text": "Buy milk"})
    where = created.headers["location"]
    assert created.headers["etag"] == f'"{created.json()["updated_at"]}"'
    assert etag(alice, where) == created.headers["etag"]

    for write in WRITES[:2]:
        response = write.send(alice, where)
        assert response.headers["etag"] == etag(alice, where)


def test_the_etag_changes_with_every_write_and_with_nothing_else(alice: httpx2.Client, task: str) -> None:
    other = path(add(alice))
    same = {"order": alice.get(task).json()["order"]}
    writes = [
        partial(alice.patch, task, json={"order": 7}),
        partial(alice.patch, task, json={"order": 7}),
        partial(alice.put, task, json=WHOLE),
        partial(alice.patch, "/tasks", json={"tasks": [{"id": task.removeprefix("/tasks/"), **same}]}),
    ]
    tags = [etag(alice, task)]
    for write in writes:
        write()
        tags.append(etag(alice, task))
    assert len(set(tags)) == len(writes) + 1

    alice.patch(other, json={"order": 7})
    alice.get("/tasks")
    missing = {"tasks": [{"id": each.removeprefix("/tasks/"), "order": 1} for each in (task, UNKNOWN)]}
    assert alice.patch("/tasks", json=missing).status_code == 404
    assert alice.put(task, json=WHOLE, headers={"If-Match": '"0"'}).status_code == 412
    assert etag(alice, task) == tags[-1]


# ---- If-None-Match -----------------------------------------------------------------------------------


def test_a_version_that_the_client_has_is_not_sent_again(alice: httpx2.Client, task: str) -> None:
    tag = etag(alice, task)
    for method in ("GET", "HEAD"):
        for seen in (tag, f"W/{tag}", f'"x", {tag}', f'"x",W/{tag} , "y"', "*"):
            response = alice.request(method, task, headers={"If-None-Match": seen})

            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag), seen
            assert "content-type" not in response.headers
            assert "content-length" not in response.headers


def test_any_other_version_is_sent(alice: httpx2.Client, task: str) -> None:
    tag = etag(alice, task)
    for seen in ('"0"', '""', tag.strip('"'), f'"{tag}"', tag.replace('"', "'"), "W/", "garbage", ""):
        response = alice.get(task, headers={"If-None-Match": seen})

        assert (response.status_code, response.headers["etag"]) == (200, tag), seen

    alice.patch(task, json={"order": 3})
    assert alice.get(task, headers={"If-None-Match": tag}).json()["order"] == 3


def test_a_row_that_does_not_exist_is_404_whatever_the_client_has(
    alice: httpx2.Client, bob: httpx2.Client, task: str
) -> None:
    tag = etag(alice, task)
    for seen in (tag, "*"):
        assert_refused(bob.get(task, headers={"If-None-Match": seen}), 404)
        assert_refused(bob.get(UNKNOWN, headers={"If-None-Match": seen}), 404)
    alice.delete(task)
    assert_refused(alice.get(task, headers={"If-None-Match": tag}), 404)


# ---- If-Match ----------------------------------------------------------------------------------------


@EVERY_WRITE
def test_who_has_seen_the_latest_version_may_write(write: Write, alice: httpx2.Client) -> None:
    for form in ("{}", '"0", {}', 'W/"0",{}', ",{} ,", "*", '{},""'):
        task = path(add(alice))
        response = write.send(alice, task, If_Match=form.format(etag(alice, task)))

        assert response.status_code == write.success, form


@EVERY_WRITE
def test_who_has_not_gets_the_current_etag_and_nothing_is_written(
    write: Write, alice: httpx2.Client, admin: psycopg.Connection, task: str
) -> None:
    stale = etag(alice, task)
    alice.patch(task, json={"order": 3})
    tag = etag(alice, task)
    for seen in (stale, '"0"', '""', f'{stale}, "0"', f"W/{tag}", f'"W/{tag[1:]}'):
        with untouched(admin):
            response = write.send(alice, task, If_Match=seen)

        assert_refused(response, 412)
        assert response.headers["etag"] == tag, seen

    assert write.send(alice, task, If_Match=response.headers["etag"]).status_code == write.success


def test_who_sends_what_a_proxy_made_of_the_etag_is_told_so(alice: httpx2.Client, task: str) -> None:
    """A proxy that compresses makes a strong ETag a weak one, which never matches (RFC 9110, 13.1.1)."""
    tag = etag(alice, task)
    for write in (*WRITES, Write("GET", None, 200)):
        refused = write.send(alice, task, If_Match=f"W/{tag}")
        assert (refused.status_code, "W/ in front" in refused.json()["detail"]) == (412, True)
        assert "has changed" in write.send(alice, task, If_Match='W/"0"').json()["detail"]


@EVERY_WRITE
def test_an_if_match_that_is_no_etag_is_refused_as_such(
    write: Write, alice: httpx2.Client, admin: psycopg.Connection, task: str
) -> None:
    tag = etag(alice, task)
    for seen in ("", tag.strip('"'), tag[1:], tag[:-1], f"w/{tag}", f"{tag} x", f"*, {tag}", "**", "é", '"\t"'):
        with untouched(admin):
            assert_refused(write.send(alice, task, If_Match=seen), 422, "If-Match")


@EVERY_WRITE
def test_a_row_of_another_user_is_not_found_whatever_if_match_says(
    write: Write, alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection, task: str
) -> None:
    for seen in (etag(alice, task), '"0"', "*"):
        with untouched(admin):
            theirs, unknown = (write.send(bob, where, If_Match=seen) for where in (task, UNKNOWN))
        for response in (theirs, unknown):
            assert_refused(response, 404)
            assert "etag" not in response.headers


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("others", WRITES, ids=lambda write: write.method)
@EVERY_WRITE
def test_of_writers_at_once_who_have_seen_the_same_exactly_one_wins(
    write: Write, others: Write, alice: httpx2.Client, admin: psycopg.Connection, task: str
) -> None:
    """Each waits for the row in the statement that compares: comparing before it would let all of them pass."""
    tag = etag(alice, task)
    calls = [partial(each.send, alice, task, If_Match=tag) for each in (write, others, others)]

    first, *rest = at_once(admin, "select from app.tasks for update", calls)

    assert first.status_code == write.success
    for response in rest:
        assert_refused(response, 404 if write.method == "DELETE" else 412)
        assert response.headers.get("etag") == first.headers.get("etag")
    if write.method != "DELETE":
        assert alice.get(task).json() == first.json()


def test_without_if_match_every_writer_wins_and_the_last_one_stays(
    alice: httpx2.Client, admin: psycopg.Connection, task: str
) -> None:
    calls = [partial(alice.patch, task, json={"order": n}) for n in range(3)]

    responses = at_once(admin, "select from app.tasks for update", calls)

    assert [response.status_code for response in responses] == [200] * 3
    assert [response.json() for response in responses].count(alice.get(task).json()) == 1


# ---- If-None-Match of a write, If-Match of a read, both, and neither ---------------------------------


@EVERY_WRITE
def test_a_write_can_ask_for_any_version_but_some(
    write: Write, alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    task = path(add(alice))
    tag = etag(alice, task)
    for seen in (tag, f"W/{tag}", f'"0", {tag}', f',"1,2",W/{tag} ,', "*"):
        with untouched(admin):
            response = write.send(alice, task, If_None_Match=seen)
        assert_refused(response, 412)
        assert response.headers["etag"] == tag, seen
    for seen in ("", tag.strip('"'), f"*, {tag}", "garbage"):
        with untouched(admin):
            assert_refused(write.send(alice, task, If_None_Match=seen), 422, "If-None-Match")
    for seen in ('"0"', '"0", W/"1"', '""'):
        assert write.send(alice, path(add(alice)), If_None_Match=seen).status_code == write.success


@EVERY_WRITE
def test_if_match_comes_before_if_none_match_and_both_must_hold(
    write: Write, alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    """RFC 9110, 13.2.2."""
    task = path(add(alice))
    tag = etag(alice, task)
    for match, none_match in ((tag, tag), (tag, "*"), ("*", tag), ("*", "*"), ('"0"', '"0"'), ('"0"', tag)):
        with untouched(admin):
            assert_refused(write.send(alice, task, If_Match=match, If_None_Match=none_match), 412)
    for unknown in ("*", '"0"', tag):
        assert_refused(write.send(alice, UNKNOWN, If_None_Match=unknown), 404)
    assert write.send(alice, task, If_Match=f'"0",{tag}', If_None_Match='"0"').status_code == write.success


OTHER_SPELLINGS = (
    "2026-01-01T00:00:00.100000+00:00",
    "2026-01-01T00:00:00.10+00:00",
    "2026-01-01T00:00:00.1Z",
    "2026-01-01T00:00:00.1+00",
    "2026-01-01T00:00:00.1+0000",
    "2026-01-01T00:00:00.1-00:00",
    "2026-01-01T01:00:00.1+01:00",
    "2026-01-01t00:00:00.1+00:00",
    "2026-01-01T00:00:00,1+00:00",
    "2025-12-31T24:00:00.1+00:00",
    "2026-W01-4T00:00:00.1+00:00",
    "20260101T000000.1+0000",
    "2026-01-01T00:00:00.1",
)
NO_INSTANTS = (
    "now",
    "infinity",
    "-infinity",
    "epoch",
    "{}",
    "NULL",
    "10000-01-01T00:00:00+00:00",
    "294277-01-01T00:00:00+00:00",
    "0001-01-01T00:00:00+00:00",
    "2026-02-30T00:00:00+00:00",
    "2026-01-01T00:00:60+00:00",
    "2026-01-01T00:00:00.1000000000000000001+00:00",
    "9999-12-31T23:59:59.999999-23:59",
    "9" * 5000,
)


@EVERY_WRITE
def test_another_spelling_of_the_same_instant_is_another_etag_and_what_is_no_instant_is_one_too(
    write: Write, alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    task = path(add(alice))
    admin.execute("set session_replication_role = replica")
    admin.execute("update app.tasks set updated_at = '2026-01-01 00:00:00.1+00'")
    admin.commit()
    tag = etag(alice, task)
    assert tag == '"2026-01-01T00:00:00.1+00:00"'
    for other in (*OTHER_SPELLINGS, *NO_INSTANTS):
        with untouched(admin):
            response = write.send(alice, task, If_Match=f'"{other}"')
        assert_refused(response, 412)
        assert response.headers["etag"] == tag
        with untouched(admin):
            assert_refused(write.send(alice, task, If_None_Match=f'"{other}", {tag}'), 412)
    others = ", ".join(f'"{other}"' for other in (*OTHER_SPELLINGS, *NO_INSTANTS))
    assert write.send(alice, task, If_Match=f"{others}, {tag}", If_None_Match=others).status_code == write.success


def test_a_read_can_ask_for_one_version_only(alice: httpx2.Client, task: str) -> None:
    tag = etag(alice, task)
    for method in ("GET", "HEAD"):
        for seen in (tag, f'"0", {tag}', "*"):
            assert alice.request(method, task, headers={"If-Match": seen}).status_code == 200
        for seen in ('"0"', f"W/{tag}"):
            response = alice.request(method, task, headers={"If-Match": seen, "If-None-Match": tag})
            assert (response.status_code, response.headers["etag"]) == (412, tag)
        both = {"If-Match": tag, "If-None-Match": tag}
        assert alice.request(method, task, headers=both).status_code == 304
    assert_refused(alice.get(task, headers={"If-Match": "0"}), 422, "If-Match")
    assert_refused(alice.get(UNKNOWN, headers={"If-Match": '"0"'}), 404)


OF_LISTS: dict[str, tuple[str, Json | None]] = {
    "GET": ("/tasks", None),
    "POST": ("/tasks", {"text": "Buy bread"}),
    "PATCH": ("/tasks", {"tasks": []}),
    "DELETE": ("/tasks?completed=true", None),
}


@pytest.mark.parametrize("method", OF_LISTS)
def test_a_condition_that_cannot_hold_on_a_list_is_refused_and_any_other_holds(
    method: str, alice: httpx2.Client, admin: psycopg.Connection
) -> None:
    """A list has no ETag (RFC 9110, 13.1.1 and 13.1.2)."""
    task = add(alice, completed=True)
    where, json = OF_LISTS[method]
    if method == "PATCH":
        json = {"tasks": [{"id": task["id"], "order": 7}]}
    tag = f'"{task["updated_at"]}"'
    for name, values in {"If-Match": (tag, f"W/{tag}", "garbage", ""), "If-None-Match": ("*", "garbage")}.items():
        for value in values:
            with untouched(admin):
                assert_refused(alice.request(method, where, json=json, headers={name: value}), 422, name)
    for headers in ({"If-Match": "*"}, {"If-None-Match": tag}, {"If-None-Match": f'"0", W/{tag}'}):
        assert alice.request(method, where, json=json, headers=headers).is_success


def test_dates_are_no_conditions_because_no_response_has_one(alice: httpx2.Client, task: str) -> None:
    """RFC 9110, 13.1.3 to 13.1.5: without Last-Modified they are ignored; without ranges, If-Range is."""
    long_ago, ahead = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
    response = alice.get(task, headers={"If-Modified-Since": ahead, "Range": "bytes=0-1", "If-Range": '"0"'})
    assert (response.status_code, "last-modified" in response.headers) == (200, False)
    assert "accept-ranges" not in response.headers
    assert alice.patch(task, json={"order": 1}, headers={"If-Unmodified-Since": long_ago}).status_code == 200
