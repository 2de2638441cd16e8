"""Idempotency-Key: a creation that is sent twice happens once, for a day, and for its user alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx2
import psycopg
import pytest
from psycopg import errors, sql

from api.settings import Settings
from tests.support.database import PASSWORD, ROOT, Url
from tests.support.refusals import assert_refused, untouched
from tests.support.servers import caller, serving
from tests.support.tasks import Json, add, page
from tests.support.tokens import JWT_SECRET
from tests.support.waiting import at_once, held, wait_for

PARTYWALL = Path(sys.executable).with_name("partywall")
MILK: Json = {"text": "Buy milk"}


def create(client: httpx2.Client, key: str, body: Json = MILK) -> httpx2.Response:
    return client.post("/tasks", json=body, headers={"Idempotency-Key": key})


def keys(admin: psycopg.Connection) -> list[tuple[str, str]]:
    """Return whose keys are kept."""
    rows = admin.execute("select user_id, key from app.idempotency_keys order by 1, 2").fetchall()
    admin.commit()
    return rows


def age(admin: psycopg.Connection, interval: str) -> None:
    """Make every key this old."""
    admin.execute("update app.idempotency_keys set created_at = now() - %s::interval", [interval])
    admin.commit()


def same(response: httpx2.Response) -> tuple[object, ...]:
    return (
        response.status_code,
        response.content,
        *(response.headers[name] for name in ("location", "etag", "content-type")),
    )


# ---- the same again ----------------------------------------------------------------------------------


def test_the_same_key_and_body_get_the_first_response_again(alice: httpx2.Client) -> None:
    first = create(alice, "the-key")
    again = [create(alice, "the-key") for _ in range(3)]

    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    assert [same(each) for each in again] == [same(first)] * 3
    assert {each.headers["idempotency-replayed"] for each in again} == {"true"}
    assert page(alice)["items"] == [first.json()]


def test_the_same_body_may_be_formatted_differently(alice: httpx2.Client) -> None:
    first = create(alice, "the-key")
    for body in (b'{ "order" :0,"text":"Buy\\u0020milk" }', b'{"text": "Buy milk", "completed": false}'):
        headers = {"Idempotency-Key": "the-key", "Content-Type": "application/json; charset=utf-8"}
        assert alice.post("/tasks", content=body, headers=headers).json() == first.json()


def test_the_first_response_stays_what_it_was_when_the_task_has_changed_or_is_gone(alice: httpx2.Client) -> None:
    first = create(alice, "the-key")
    where = first.headers["location"]

    alice.patch(where, json={"text": "Buy oat milk"})
    assert same(create(alice, "the-key")) == same(first)
    stale = alice.delete(where, headers={"If-Match": create(alice, "the-key").headers["etag"]})
    assert stale.status_code == 412

    alice.delete(where)
    assert same(create(alice, "the-key")) == same(first)
    assert page(alice)["items"] == []


def test_the_same_key_with_another_body_is_refused(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    create(alice, "the-key")
    for body in ({"text": "Buy bread"}, MILK | {"order": 1}, MILK | {"completed": True}):
        with untouched(admin):
            assert_refused(create(alice, "the-key", body), 422, "Idempotency-Key")
    assert create(alice, "the-key").headers["idempotency-replayed"] == "true"


def test_another_key_is_another_task_and_so_is_none(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    ids = {create(alice, key).json()["id"] for key in ("a", "A", "a ".strip() + "a", str(uuid4()))}
    ids |= {add(alice)["id"], add(alice)["id"]}

    assert len(ids) == 6
    assert len(keys(admin)) == 4


def test_the_key_of_another_user_is_another_key(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection
) -> None:
    hers, his = create(alice, "the-key"), create(bob, "the-key", {"text": "Buy bread"})

    assert (hers.status_code, his.status_code) == (201, 201)
    assert "idempotency-replayed" not in his.headers
    assert his.json()["user_id"] == "bob"
    assert create(alice, "the-key").json() == hers.json()
    assert create(bob, "the-key", {"text": "Buy bread"}).json() == his.json()
    assert keys(admin) == [("alice", "the-key"), ("bob", "the-key")]


# ---- at once -----------------------------------------------------------------------------------------

NOBODY_WRITES = "lock table app.idempotency_keys in share mode"


@pytest.mark.usefixtures("way")
def test_the_same_sent_at_once_creates_one_task(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    responses = at_once(admin, NOBODY_WRITES, [partial(create, alice, "the-key")] * 4)

    assert {same(each) for each in responses} == {same(responses[0])}
    assert [each.headers.get("idempotency-replayed", "") for each in responses].count("true") == 3
    assert len(page(alice)["items"]) == 1


@pytest.mark.usefixtures("way")
def test_two_bodies_sent_at_once_with_one_key_create_one_task(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    calls = [partial(create, alice, "the-key", {"text": text}) for text in ("milk", "bread", "beer")]

    responses = at_once(admin, NOBODY_WRITES, calls)

    assert sorted(each.status_code for each in responses) == [201, 422, 422]
    [created] = [each for each in responses if each.status_code == 201]
    assert page(alice)["items"] == [created.json()]


@pytest.mark.usefixtures("way")
def test_an_expired_key_sent_at_once_creates_one_new_task(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    """All of them meet the old key, and one of them deletes it: the others meet its new owner."""
    for number in range(5):
        first = create(alice, f"key-{number}")
        age(admin, "25 hours")

        responses = at_once(admin, NOBODY_WRITES, [partial(create, alice, f"key-{number}")] * 4)

        assert [each.status_code for each in responses] == [201] * 4
        [again] = {each.json()["id"] for each in responses}
        assert again != first.json()["id"]


# ---- failures and expiry -----------------------------------------------------------------------------


def test_a_creation_that_fails_does_not_take_the_key(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    assert_refused(create(alice, "the-key", {"text": ""}), 422, "#/text")
    admin.execute("alter table app.tasks add constraint no_milk check (text <> 'Buy milk')")
    admin.commit()
    assert create(alice, "the-key").status_code == 422
    admin.execute("alter table app.tasks drop constraint no_milk")
    admin.execute("create schema scratch")
    admin.execute(
        "create function scratch.fail() returns trigger language plpgsql as 'begin raise sqlstate ''XX000''; end'"
    )
    admin.execute(
        "create constraint trigger late after insert on app.tasks deferrable initially deferred"
        " for each row execute function scratch.fail()"
    )
    admin.commit()
    assert create(alice, "the-key").status_code == 500  # at the commit
    admin.execute("drop trigger late on app.tasks")
    admin.commit()
    assert keys(admin) == []

    response = create(alice, "the-key")

    assert response.status_code == 201
    assert "idempotency-replayed" not in response.headers
    assert page(alice)["items"] == [response.json()]


def test_a_key_that_cannot_be_kept_leaves_no_task(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    admin.execute("revoke insert on app.idempotency_keys from app_api")
    admin.execute("revoke insert (key) on app.idempotency_keys from app_api")
    admin.commit()

    with untouched(admin):
        assert create(alice, "the-key").status_code == 500


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_session_that_ends_between_the_row_and_the_key_leaves_neither_and_the_next_try_creates_one(
    url: Url,
    admin: psycopg.Connection,
    pipelining: bool,  # noqa: FBT001 - a test parameter
) -> None:
    settings = Settings(
        _env_file=None, database_url=url("app_api"), jwt_secret=JWT_SECRET, database_pipelining=pipelining
    )
    with serving(settings) as address, caller(address, "alice") as alice:
        for _ in range(2):  # not prepared, and prepared
            create(alice, uuid4().hex)
        with untouched(admin), ThreadPoolExecutor() as threads:
            with held(admin, "lock table app.idempotency_keys in exclusive mode"):
                first = threads.submit(create, alice, "the-key")
                wait_for(admin, 1)  # the row is there, and the key is to come
                admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'")
            assert (first.result().status_code, first.result().json()["code"]) == (503, "database_unavailable")
        assert create(alice, "the-key").status_code == create(alice, "the-key").status_code == 201
        assert len(page(alice)["items"]) == 3


def test_a_key_is_good_for_24_hours(alice: httpx2.Client, admin: psycopg.Connection) -> None:
    first = create(alice, "the-key")

    age(admin, "23 hours 59 minutes")
    assert same(create(alice, "the-key")) == same(first)

    age(admin, "24 hours 1 minute")
    second = create(alice, "the-key", {"text": "Buy bread"})
    assert second.status_code == 201
    assert "idempotency-replayed" not in second.headers
    assert create(alice, "the-key", {"text": "Buy bread"}).json() == second.json()
    assert [task["text"] for task in page(alice)["items"]] == ["Buy milk", "Buy bread"]


# ---- what is a key -----------------------------------------------------------------------------------

GOOD_KEYS = {
    "k": "k",
    '"k"': "k",
    "5f0c2a9e-8d5c-4a31-9a3c-0c9a4d9a7f10": "5f0c2a9e-8d5c-4a31-9a3c-0c9a4d9a7f10",
    '"5f0c2a9e-8d5c-4a31-9a3c-0c9a4d9a7f10"': "5f0c2a9e-8d5c-4a31-9a3c-0c9a4d9a7f10",
    '"two words"': "two words",
    '" "': " ",
    r'"\"quoted\" and \\"': r'"quoted" and \ '.strip(),
    "~!#$%&'()*+,-./:;<=>?@[]^_`{|}": "~!#$%&'()*+,-./:;<=>?@[]^_`{|}",
    "x" * 255: "x" * 255,
    f'"{"x" * 255}"': "x" * 255,
}
BAD_KEYS = (
    *("", '""', '"', '"k', 'k"', 'k"k', '"k"k"', "two words", r"back\slash", r'"k\"', r'"\k"', '"k";a=1', '"k", "l"'),
    *("é", '"é"', "x" * 256, f'"{"x" * 256}"', "a\tb", '"a\tb"', ":a2V5:é"),
)


def test_a_key_is_a_string_of_a_structured_header_or_that_without_its_quotes(
    alice: httpx2.Client, admin: psycopg.Connection, subtests: pytest.Subtests
) -> None:
    for header, key in GOOD_KEYS.items():
        with subtests.test(header):
            admin.execute("truncate app.idempotency_keys")
            admin.commit()
            assert create(alice, header).status_code == 201
            assert keys(admin) == [("alice", key)]


def test_anything_else_is_refused(alice: httpx2.Client, admin: psycopg.Connection, subtests: pytest.Subtests) -> None:
    for header in BAD_KEYS:
        with subtests.test(header), untouched(admin):
            assert_refused(
                alice.post("/tasks", json=MILK, headers=[(b"Idempotency-Key", header.encode())]), 422, "Idempotency-Key"
            )
    assert keys(admin) == []


# ---- isolation --------------------------------------------------------------------------------------


@pytest.fixture
def api_role(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection, url: Url
) -> Iterator[psycopg.Connection]:
    """A session of the API's role; Alice and Bob have a key each, and both have expired."""
    create(alice, "hers")
    create(bob, "his")
    age(admin, "25 hours")
    with psycopg.connect(url("app_api"), autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    "statement",
    [
        "update app.idempotency_keys set body = '{}'",
        "update app.idempotency_keys set created_at = now()",
        "insert into app.idempotency_keys (user_id, key) values ('bob', 'new')",
        "insert into app.idempotency_keys (key, created_at) values ('new', now())",
        "truncate app.idempotency_keys",
    ],
)
def test_nobody_changes_a_kept_response_or_adds_one_for_another_user(
    api_role: psycopg.Connection, statement: str
) -> None:
    with api_role.transaction():
        api_role.execute("set local app.user_id = 'alice'")
        with pytest.raises(errors.InsufficientPrivilege):
            api_role.execute(sql.SQL(statement))


# ---- partywall clean ---------------------------------------------------------------------------------


def clean(url: str | None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    if url is not None:
        environment["MIGRATION_DATABASE_URL"] = url
    return subprocess.run([PARTYWALL, "clean"], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_clean_deletes_the_expired_keys_of_all_users_and_no_other(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection, url: Url, tmp_path: Path
) -> None:
    for client in (alice, bob):
        create(client, "old")
    age(admin, "24 hours 1 minute")
    for client in (alice, bob):
        create(client, "fresh")

    response = clean(url("app_migrator"))
    assert (response.returncode, response.stdout, response.stderr) == (0, "2 expired idempotency keys deleted\n", "")
    assert keys(admin) == [("alice", "fresh"), ("bob", "fresh")]
    assert len(page(alice)["items"]) == 2

    (tmp_path / ".env").write_text(
        f"MIGRATION_DATABASE_URL={url('app_migrator').replace('postgresql:', 'postgresql+asyncpg:')}\n"
    )
    assert clean(None, tmp_path).stdout == "0 expired idempotency keys deleted\n"
    assert len(keys(admin)) == 2


def test_the_owner_sees_only_keys_that_have_expired(alice: httpx2.Client, admin: psycopg.Connection, url: Url) -> None:
    create(alice, "old")
    age(admin, "25 hours")
    create(alice, "fresh")
    with psycopg.connect(url("app_migrator"), autocommit=True) as migrator:
        migrator.execute("set role app_owner")
        assert migrator.execute("select key from app.idempotency_keys").fetchall() == [("old",)]
        with pytest.raises(errors.InsufficientPrivilege):
            migrator.execute("update app.idempotency_keys set created_at = now()")
        assert migrator.execute("delete from app.idempotency_keys").rowcount == 1
    assert keys(admin) == [("alice", "fresh")]


def test_a_login_that_may_become_the_owner_but_does_not_inherit_its_rights_can_clean(
    alice: httpx2.Client, admin: psycopg.Connection, url: Url
) -> None:
    create(alice, "old")
    age(admin, "25 hours")
    admin.execute(f"create role janitor login noinherit password '{PASSWORD}' in role app_owner")
    admin.commit()
    try:
        assert clean(url("janitor")).stdout == "1 expired idempotency key deleted\n"
    finally:
        admin.execute("drop role janitor")
        admin.commit()


def test_clean_says_why_it_fails(url: Url, admin: psycopg.Connection, tmp_path: Path) -> None:
    reasons = {
        clean(None, tmp_path): "set MIGRATION_DATABASE_URL",
        clean(f"postgresql://app_migrator@/partywall?host={tmp_path}"): "cannot clean",
        clean("mysql://localhost/partywall"): "cannot clean",
        clean(url("app_api")): 'permission denied to set role "app_owner"',
    }
    admin.execute("drop table app.idempotency_keys")
    admin.commit()
    reasons[clean(url("app_migrator"))] = 'relation "app.idempotency_keys" does not exist'
    for response, reason in reasons.items():
        assert (response.returncode, response.stdout, response.stderr.count("\n")) == (1, "", 1)
        assert reason in response.stderr
