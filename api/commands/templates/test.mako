% if shared:
"""What each role can do with ${human_plural}, and that nobody else can."""
% else:
"""What an owner can do with ${human_plural}, and that nobody else can."""
% endif

from typing import Any

import httpx2
% if shared:
import psycopg
% endif
import pytest

from api.${plural}.examples import SENT
from api.${plural}.models import ${Singular}
% if shared:
from tests.support.workspaces import add_member, workspace
% endif

Json = dict[str, Any]
OTHER: Json = ${other}


% if shared:
@pytest.fixture
def workspace_id(admin: psycopg.Connection) -> str:
    """Return the id of a workspace that Alice owns."""
    return workspace(admin, "alice")


@pytest.fixture
def collection(workspace_id: str) -> str:
    """Return the path of its ${human_plural}."""
    return f"/workspaces/{workspace_id}/${plural}"


% endif
def add(client: httpx2.Client${given}, **headers: str) -> Json:
    response = client.post(${at}, json=SENT, headers=headers)
    assert response.status_code == 201, response.text
    ${singular}: Json = response.json()
    return ${singular}


def path(${singular}: Json) -> str:
% if shared:
    return "/workspaces/{workspace_id}/${plural}/{id}".format(**${singular})
% else:
    return f"/${plural}/{${singular}['id']}"
% endif


def etag(${singular}: Json) -> str:
    return f'"{${singular}["updated_at"]}"'


def test_a_new_${singular}_has_every_field_and_says_where_it_is(alice: httpx2.Client${given}) -> None:
    response = alice.post(${at}, json=SENT)

    assert response.status_code == 201
    ${singular} = response.json()
    assert list(${singular}) == list(${Singular}.model_fields)
    assert ${singular} == {**${singular}, **SENT, "user_id": "alice"}
    assert response.headers["location"] == path(${singular})
    assert response.headers["etag"] == etag(${singular})
    assert alice.get(path(${singular})).json() == ${singular}


def test_the_list_is_by_age_page_by_page(alice: httpx2.Client${given}) -> None:
    every = [add(alice${pass_on}) for _ in range(3)]

    first = alice.get(${at}, params={"limit": 2}).json()
    assert first["items"] == every[:2]
    rest = alice.get(${at}, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert rest == {"items": every[2:], "next_cursor": None}
    assert alice.get(${at}, params={"sort": "-created"}).json()["items"] == every[::-1]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_is_written_is_what_is_read_and_the_etag_moves(alice: httpx2.Client${given}, method: str) -> None:
    before = add(alice${pass_on})

    response = alice.request(method, path(before), json=OTHER)

    assert response.status_code == 200
    after = response.json()
    assert after == {**before, **OTHER, "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    assert response.headers["etag"] == etag(after)
    assert alice.get(path(before)).json() == after


@pytest.mark.parametrize("name", OTHER)
def test_a_field_that_is_not_sent_stays_as_it_is(alice: httpx2.Client${given}, name: str) -> None:
    before = add(alice${pass_on})
    after = alice.patch(path(before), json={name: OTHER[name]}).json()
    assert after == {**before, name: OTHER[name], "updated_at": after["updated_at"]}
% if optional:


@pytest.mark.parametrize("name", [${", ".join(f'"{field.name}"' for field in optional)}])
def test_an_optional_field_can_be_null(alice: httpx2.Client${given}, name: str) -> None:
    before = add(alice${pass_on})
    assert alice.patch(path(before), json={name: None}).json()[name] is None
    assert alice.post(${at}, json={**SENT, name: None}).json()[name] is None
% endif
% if required:


@pytest.mark.parametrize("name", [${", ".join(f'"{field.name}"' for field in required)}])
def test_a_required_field_is_asked_for(alice: httpx2.Client${given}, name: str) -> None:
    for json in ({key: value for key, value in SENT.items() if key != name}, {**SENT, name: None}):
        response = alice.post(${at}, json=json)
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, f"#/{name}")
% endif


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_nobody_overwrites_what_they_have_not_seen(alice: httpx2.Client${given}, method: str) -> None:
    seen = add(alice${pass_on})
    alice.patch(path(seen), json=OTHER)
    now = alice.get(path(seen)).json()

    body = None if method == "DELETE" else SENT
    refused = alice.request(method, path(seen), json=body, headers={"If-Match": etag(seen)})

    assert (refused.status_code, refused.headers["etag"]) == (412, etag(now))
    assert alice.get(path(seen)).json() == now
    assert alice.request(method, path(seen), json=body, headers={"If-Match": etag(now)}).is_success


def test_nobody_downloads_what_they_have(alice: httpx2.Client${given}) -> None:
    ${singular} = add(alice${pass_on})
    assert alice.get(path(${singular}), headers={"If-None-Match": etag(${singular})}).status_code == 304


def test_a_creation_that_is_sent_twice_happens_once(alice: httpx2.Client${given}) -> None:
    assert add(alice${pass_on}, **{"Idempotency-Key": '"a"'}) == add(alice${pass_on}, **{"Idempotency-Key": '"a"'})
    assert len(alice.get(${at}).json()["items"]) == 1


def test_what_is_deleted_is_gone(alice: httpx2.Client${given}) -> None:
    ${singular} = add(alice${pass_on})
    assert alice.delete(path(${singular})).status_code == 204
    assert [alice.get(path(${singular})).status_code, alice.delete(path(${singular})).status_code] == [404, 404]


% if shared:
BODIES = {"POST": {**SENT}, "PUT": OTHER, "PATCH": OTHER}


def send(client: httpx2.Client, method: str, collection: str, ${singular}: Json) -> httpx2.Response:
    """Send a request to a list, or to one of it: whoever may do so changes something."""
    address = collection if method == "POST" else f"{collection}/{${singular}['id']}"
    return client.request(method, address, json=BODIES.get(method), headers={"X-Request-ID": "the-same"})


@pytest.mark.parametrize("role", ["viewer", "editor", "owner"])
def test_every_member_reads_and_editors_and_owners_write(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection, workspace_id: str, collection: str, role: str
) -> None:
    ${singular} = add(alice, collection)
    add_member(admin, workspace_id, "bob", role)

    assert bob.get(path(${singular})).json() == ${singular}
    assert bob.get(collection).json()["items"] == [${singular}]
    responses = [send(bob, method, collection, ${singular}) for method in ("POST", "PUT", "PATCH", "DELETE")]

    left = alice.get(collection).json()["items"]
    if role == "viewer":
        assert [(each.status_code, each.json()["code"]) for each in responses] == [(403, "role_required")] * 4
        assert left == [${singular}]
    else:
        assert [each.status_code for each in responses] == [201, 200, 200, 204]
        assert left == [responses[0].json()]
        assert left[0]["user_id"] == "bob"


@pytest.mark.parametrize("who", ["a member of none", "a former member", "a member of another workspace"])
def test_a_workspace_does_not_exist_for_whoever_is_no_member(
    alice: httpx2.Client, bob: httpx2.Client, admin: psycopg.Connection, workspace_id: str, collection: str, who: str
) -> None:
    ${singular} = add(alice, collection)
    if who == "a former member":
        add_member(admin, workspace_id, "bob", "editor")
        assert alice.delete(f"/workspaces/{workspace_id}/members/bob").status_code == 204
    elif who == "a member of another workspace":
        workspace(admin, "bob")

    nowhere = "/workspaces/00000000-0000-7000-8000-000000000000/${plural}"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        refused = send(bob, method, collection, ${singular})
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert refused.content == send(bob, method, nowhere, ${singular}).content
    assert bob.get(collection).json()["code"] == "not_found"
    assert alice.get(collection).json()["items"] == [${singular}]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_what_another_workspace_has_is_not_in_this_one(
    alice: httpx2.Client, admin: psycopg.Connection, collection: str, method: str
) -> None:
    ${singular} = add(alice, collection)

    response = send(alice, method, f"/workspaces/{workspace(admin, 'alice')}/${plural}", ${singular})

    assert response.status_code == 404
    assert alice.get(path(${singular})).json() == ${singular}


def test_what_a_workspace_has_is_deleted_with_it(
    alice: httpx2.Client, admin: psycopg.Connection, workspace_id: str, collection: str
) -> None:
    add(alice, collection)
    assert alice.delete(f"/workspaces/{workspace_id}").status_code == 204
    assert admin.execute("select count(*) from app.${plural}").fetchone() == (0,)
% else:
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_what_belongs_to_another_user_does_not_exist(alice: httpx2.Client, bob: httpx2.Client, method: str) -> None:
    ${singular} = add(alice)

    response = bob.request(method, path(${singular}), json=OTHER if method in {"PUT", "PATCH"} else None)

    assert response.status_code == 404
    assert bob.get("/${plural}").json()["items"] == []
    assert alice.get(path(${singular})).json() == ${singular}
% endif
