"""What an owner can do with ${human_plural}, and that nobody else can."""

from typing import Any

import httpx2
import pytest

from api.${plural}.examples import SENT
from api.${plural}.models import ${Singular}

Json = dict[str, Any]
OTHER: Json = ${other}


def add(client: httpx2.Client, **headers: str) -> Json:
    response = client.post("/${plural}", json=SENT, headers=headers)
    assert response.status_code == 201, response.text
    ${singular}: Json = response.json()
    return ${singular}


def path(${singular}: Json) -> str:
    return f"/${plural}/{${singular}['id']}"


def etag(${singular}: Json) -> str:
    return f'"{${singular}["updated_at"]}"'


def test_a_new_${singular}_has_every_field_and_says_where_it_is(alice: httpx2.Client) -> None:
    response = alice.post("/${plural}", json=SENT)

    assert response.status_code == 201
    ${singular} = response.json()
    assert list(${singular}) == list(${Singular}.model_fields)
    assert ${singular} == {**${singular}, **SENT, "user_id": "alice"}
    assert response.headers["location"] == path(${singular})
    assert response.headers["etag"] == etag(${singular})
    assert alice.get(path(${singular})).json() == ${singular}


def test_the_list_is_by_age_page_by_page(alice: httpx2.Client) -> None:
    every = [add(alice) for _ in range(3)]

    first = alice.get("/${plural}", params={"limit": 2}).json()
    assert first["items"] == every[:2]
    rest = alice.get("/${plural}", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert rest == {"items": every[2:], "next_cursor": None}
    assert alice.get("/${plural}", params={"sort": "-created"}).json()["items"] == every[::-1]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_is_written_is_what_is_read_and_the_etag_moves(alice: httpx2.Client, method: str) -> None:
    before = add(alice)

    response = alice.request(method, path(before), json=OTHER)

    assert response.status_code == 200
    after = response.json()
    assert after == {**before, **OTHER, "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    assert response.headers["etag"] == etag(after)
    assert alice.get(path(before)).json() == after


@pytest.mark.parametrize("name", OTHER)
def test_a_field_that_is_not_sent_stays_as_it_is(alice: httpx2.Client, name: str) -> None:
    before = add(alice)
    after = alice.patch(path(before), json={name: OTHER[name]}).json()
    assert after == {**before, name: OTHER[name], "updated_at": after["updated_at"]}
% if optional:


@pytest.mark.parametrize("name", [${", ".join(f'"{field.name}"' for field in optional)}])
def test_an_optional_field_can_be_null(alice: httpx2.Client, name: str) -> None:
    before = add(alice)
    assert alice.patch(path(before), json={name: None}).json()[name] is None
    assert alice.post("/${plural}", json={**SENT, name: None}).json()[name] is None
% endif
% if required:


@pytest.mark.parametrize("name", [${", ".join(f'"{field.name}"' for field in required)}])
def test_a_required_field_is_asked_for(alice: httpx2.Client, name: str) -> None:
    for json in ({key: value for key, value in SENT.items() if key != name}, {**SENT, name: None}):
        response = alice.post("/${plural}", json=json)
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, f"#/{name}")
% endif


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_nobody_overwrites_what_they_have_not_seen(alice: httpx2.Client, method: str) -> None:
    seen = add(alice)
    alice.patch(path(seen), json=OTHER)
    now = alice.get(path(seen)).json()

    body = None if method == "DELETE" else SENT
    refused = alice.request(method, path(seen), json=body, headers={"If-Match": etag(seen)})

    assert (refused.status_code, refused.headers["etag"]) == (412, etag(now))
    assert alice.get(path(seen)).json() == now
    assert alice.request(method, path(seen), json=body, headers={"If-Match": etag(now)}).is_success


def test_nobody_downloads_what_they_have(alice: httpx2.Client) -> None:
    ${singular} = add(alice)
    assert alice.get(path(${singular}), headers={"If-None-Match": etag(${singular})}).status_code == 304


def test_a_creation_that_is_sent_twice_happens_once(alice: httpx2.Client) -> None:
    assert add(alice, **{"Idempotency-Key": '"a"'}) == add(alice, **{"Idempotency-Key": '"a"'})
    assert len(alice.get("/${plural}").json()["items"]) == 1


def test_what_is_deleted_is_gone(alice: httpx2.Client) -> None:
    ${singular} = add(alice)
    assert alice.delete(path(${singular})).status_code == 204
    assert [alice.get(path(${singular})).status_code, alice.delete(path(${singular})).status_code] == [404, 404]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_what_belongs_to_another_user_does_not_exist(alice: httpx2.Client, bob: httpx2.Client, method: str) -> None:
    ${singular} = add(alice)

    response = bob.request(method, path(${singular}), json=OTHER if method in {"PUT", "PATCH"} else None)

    assert response.status_code == 404
    assert bob.get("/${plural}").json()["items"] == []
    assert alice.get(path(${singular})).json() == ${singular}
