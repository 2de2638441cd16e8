"""Tokens by hand: those that PyJWT would refuse to make."""

import base64
import hmac
import json
import time
from collections.abc import Iterable

import httpx2
import psycopg
import pytest

from tests.support.refusals import assert_refused, untouched
from tests.support.tokens import JWT_SECRET, LIFETIME, bearer


def forge(
    header: object = None, payload: object = None, *, key: str | bytes = JWT_SECRET, digest: str = "sha256"
) -> str:
    """Return a token with a good HMAC over whatever; a string is taken for JSON that is ready."""
    parts = ({"alg": "HS256", "typ": "JWT"} if header is None else header, claims() if payload is None else payload)
    signed = ".".join(base64url((part if isinstance(part, str) else json.dumps(part)).encode()) for part in parts)
    secret = key if isinstance(key, bytes) else key.encode()
    return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), digest))}"


def claims(**changed: object) -> dict[str, object]:
    """Return good claims of Alice but for `changed`."""
    return {"sub": "alice", "exp": int(time.time() + LIFETIME)} | changed


def base64url(raw: bytes) -> str:
    """Return `raw` as the parts of a token are written."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def assert_unauthorized(response: httpx2.Response) -> None:
    """See that the response is the same as to all bad tokens."""
    assert_refused(response, 401)
    assert response.json()["code"] == "invalid_token"
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def assert_asked_for_token(response: httpx2.Response) -> None:
    """See that the response is the one to a request without a token: a challenge that says nothing of an error."""
    assert_refused(response, 401)
    assert response.json()["code"] == "missing_token"
    assert response.headers["www-authenticate"] == "Bearer"


def assert_all_unauthorized(
    admin: psycopg.Connection, client: httpx2.Client, subtests: pytest.Subtests, tokens: Iterable[tuple[str, str]]
) -> None:
    """See to it that nobody can write with any of `tokens`, and that the response does not repeat it."""
    for name, token in tokens:
        with subtests.test(name), untouched(admin):
            response = client.post("/tasks", json={"text": "Stolen"}, headers=bearer(token))
            assert_unauthorized(response)
            assert token not in response.text
