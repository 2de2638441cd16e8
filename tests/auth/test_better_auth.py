"""Better Auth, under Node: its users sign in there, and have tasks here. See tests/node.py."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import jwt
import pytest

from api.settings import Settings
from tests.support.forgery import assert_unauthorized
from tests.support.keyserver import shorten_lifetimes
from tests.support.node import AUDIENCE, PASSWORD, sign_up, trusting
from tests.support.refusals import assert_refused
from tests.support.servers import serving
from tests.support.tokens import bearer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow("Node")

GRACE_PERIOD = 24 * 60 * 60


Serve = Callable[..., Any]


@pytest.fixture
def serve(settings: Settings, better_auth: str) -> Serve:
    """Start an app that trusts Better Auth, for tokens to `audience`; give a function that calls it."""

    @contextmanager
    def start(audience: str = AUDIENCE, issuer: str = better_auth) -> Iterator[httpx2.Client]:
        chosen = trusting(better_auth) | {"jwt_issuer": issuer, "jwt_audience": audience}
        with serving(settings.model_copy(update=chosen)) as base_url, httpx2.Client(base_url=base_url) as client:
            yield client

    return start


def browser(better_auth: str) -> httpx2.Client:
    """Return what keeps cookies, on a page that Better Auth trusts."""
    return httpx2.Client(base_url=better_auth, headers={"Origin": better_auth})


@contextmanager
def signed_in(better_auth: str, email: str) -> Iterator[httpx2.Client]:
    with browser(better_auth) as client:
        response = client.post("/api/auth/sign-in/email", json={"email": email, "password": PASSWORD})
        assert response.status_code == 200, response.text
        yield client


def token(session: httpx2.Client) -> str:
    """Return a new token of who is signed in."""
    found: str = session.get("/api/auth/token").raise_for_status().json()["token"]
    return found


@pytest.fixture
def alice_at(better_auth: str) -> Iterator[httpx2.Client]:
    """Alice, signed in at Better Auth."""
    with signed_in(better_auth, sign_up(better_auth, "alice")) as session:
        yield session


@pytest.fixture
def bob_at(better_auth: str) -> Iterator[httpx2.Client]:
    """Bob, signed in at Better Auth."""
    with signed_in(better_auth, sign_up(better_auth, "bob")) as session:
        yield session


def key_ids(better_auth: str) -> list[str]:
    """Return the names of the keys that are published."""
    return [key["kid"] for key in httpx2.get(f"{better_auth}/api/auth/jwks").raise_for_status().json()["keys"]]


def expire(better_auth: str, kid: str, *, ago: int = 0) -> None:
    """Have the time to sign with a key be over for `ago` seconds."""
    httpx2.post(f"{better_auth}/expire-key", params={"kid": kid, "ago": ago}).raise_for_status()


def test_a_token_names_its_key_its_user_and_a_quarter_of_an_hour(better_auth: str, alice_at: httpx2.Client) -> None:
    found = token(alice_at)

    user = alice_at.get("/api/auth/get-session").json()["user"]
    header, claims = jwt.get_unverified_header(found), jwt.decode(found, options={"verify_signature": False})
    assert header == {"alg": "EdDSA", "kid": key_ids(better_auth)[-1]}
    assert claims.keys() == {"iat", "exp", "sub", "iss", "aud"}
    assert (claims["iss"], claims["aud"], claims["sub"]) == (better_auth, AUDIENCE, user["id"])
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert abs(claims["iat"] - time.time()) < 60


def test_who_has_signed_in_has_tasks(serve: Serve, alice_at: httpx2.Client) -> None:
    user = alice_at.get("/api/auth/get-session").json()["user"]
    with serve() as api:
        hers = bearer(token(alice_at))
        created = api.post("/tasks", json={"text": "Buy milk"}, headers=hers)
        assert created.status_code == 201
        assert created.json()["user_id"] == user["id"]
        assert api.get("/tasks", headers=hers).json()["items"] == [created.json()]


def test_users_are_isolated_from_each_other(serve: Serve, alice_at: httpx2.Client, bob_at: httpx2.Client) -> None:
    with serve() as api:
        hers, his = bearer(token(alice_at)), bearer(token(bob_at))
        task = api.post("/tasks", json={"text": "Buy milk"}, headers=hers).headers["location"]

        assert api.get("/tasks", headers=his).json()["items"] == []
        assert_refused(api.get(task, headers=his), 404)
        assert_refused(api.delete(task, headers=his), 404)
        assert api.get(task, headers=hers).status_code == 200


def test_a_token_for_somebody_else_is_refused(serve: Serve, better_auth: str, alice_at: httpx2.Client) -> None:
    hers = bearer(token(alice_at))
    better_auth_url = f"{better_auth}/api/auth"  # the issuer is its origin, which `serve` takes
    for wrong in (
        *({"audience": f"{AUDIENCE}/"}, {"audience": better_auth}),
        *({"issuer": f"{better_auth}/"}, {"issuer": better_auth_url}),
    ):
        with serve(**wrong) as api:
            assert_unauthorized(api.get("/tasks", headers=hers))


def test_tokens_work_through_a_rotation_of_the_keys(
    serve: Serve,
    better_auth: str,
    alice_at: httpx2.Client,
    bob_at: httpx2.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten_lifetimes(monkeypatch, 0.2)

    def status(with_token: str) -> int:
        response: httpx2.Response = api.get("/tasks", headers=bearer(with_token))
        return response.status_code

    with serve() as api:
        old, unused = token(alice_at), token(bob_at)
        assert status(old) == 200

        # The rotation interval is over: the next token has a new key, which the app has not seen.
        before = jwt.get_unverified_header(old)["kid"]
        expire(better_auth, before)
        new = token(alice_at)
        after = jwt.get_unverified_header(new)["kid"]
        assert after != before
        assert {before, after} <= set(key_ids(better_auth))
        assert status(new) == 200
        assert status(old) == status(unused) == 200

        # So is the grace period: a refresh takes the old key away from the app, too.
        expire(better_auth, before, ago=GRACE_PERIOD + 1)
        assert before not in key_ids(better_auth)
        eventually(lambda: status(old) == 401)
        assert_unauthorized(api.get("/tasks", headers=bearer(unused)))
        assert status(new) == 200
