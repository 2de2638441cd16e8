"""Tokens that do not prove who is calling, and tokens that stop doing so. Public keys: see test_jwks.py."""

import secrets
import time
from typing import Any

import httpx2
import jwt
import psycopg
import pytest
from pydantic import SecretStr

from api.settings import Settings
from tests.support.forgery import assert_all_unauthorized, assert_asked_for_token, assert_unauthorized, claims, forge
from tests.support.refusals import untouched
from tests.support.servers import serving
from tests.support.tokens import JWT_SECRET, bearer, make_token

Values = tuple[Any, ...]

ISSUER = "https://auth.example.com"
AUDIENCE = "partywall"

NO_CREDENTIALS = {
    "empty": b"",
    "no token": b"Bearer",
    "no scheme": make_token("alice").encode(),
    "Basic": b"Basic YWxpY2U6YWxpY2U=",
    "Basic with a token": f"Basic {make_token('alice')}".encode(),
    "a tab": f"Bearer\t{make_token('alice')}".encode(),
}
BAD_CREDENTIALS = {
    "two tokens": f"Bearer {make_token('alice')} {make_token('bob')}".encode(),
    "two tokens in a list": f"Bearer {make_token('alice')}, Bearer {make_token('alice')}".encode(),
    "token in quotes": f'Bearer "{make_token("alice")}"'.encode(),
    "not ASCII": b"Bearer \xf0\x9d\x84\x9e.\xe9.\xff",
}


def test_credentials_that_are_no_bearer_token_are_refused(
    admin: psycopg.Connection, anonymous: httpx2.Client, subtests: pytest.Subtests
) -> None:
    """RFC 6750, 3.1: without credentials, or with those of another scheme, the challenge has no error."""
    for name, value in (NO_CREDENTIALS | BAD_CREDENTIALS).items():
        with subtests.test(name), untouched(admin):
            response = anonymous.post("/tasks", json={"text": "Stolen"}, headers={b"Authorization": value})
            (assert_asked_for_token if name in NO_CREDENTIALS else assert_unauthorized)(response)
    with untouched(admin):
        assert_asked_for_token(anonymous.post("/tasks", json={"text": "Stolen"}))


def test_the_scheme_is_case_insensitive_and_may_be_followed_by_several_spaces(anonymous: httpx2.Client) -> None:
    for form in ("Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}"):
        headers = {"Authorization": form.format(make_token("alice"))}
        assert anonymous.get("/tasks", headers=headers).status_code == 200, form


def test_a_token_that_is_malformed_is_refused(
    admin: psycopg.Connection, anonymous: httpx2.Client, subtests: pytest.Subtests
) -> None:
    header, payload, signature = make_token("alice").split(".")
    tokens = {
        "a word": "x",
        "dots": "..",
        "one part": header,
        "two parts": f"{header}.{payload}",
        "four parts": f"{header}.{payload}.{signature}.{signature}",
        "no signature": f"{header}.{payload}.",
        "signature cut off": f"{header}.{payload}.{signature[:-2]}",
        "padded": f"{header}.{payload}.{signature}====",
        "the payload of another": f"{header}.{make_token('bob').split('.')[1]}.{signature}",
        "header no JSON": forge("alg"),
        "header an array": forge([["alg", "HS256"]]),
        "header deep": forge("[" * 5000),
        "payload no JSON": forge(payload="sub"),
        "payload an array": forge(payload=["alice"]),
        "payload a string": forge(payload='"alice"'),
        "payload deep": forge(payload="[" * 2500 + "]" * 2500),
        "oversized": forge(payload=claims(filler="x" * 8192)),
    }
    assert_all_unauthorized(admin, anonymous, subtests, tokens.items())


ALGORITHMS: Values = ("", "none", "None", "NONE", "nOnE", "hs256", "HS256 ", None, 1, True, [], ["HS256"], {"HS256": 1})
KEY_IDS: Values = (1, ["x"], {})


def test_a_token_that_is_not_signed_by_the_secret_is_refused(
    admin: psycopg.Connection, anonymous: httpx2.Client, subtests: pytest.Subtests
) -> None:
    tokens = {
        "wrong secret": forge(key="x" * 32),
        "empty secret": forge(key=b""),
        "part of the secret": forge(key=JWT_SECRET[:-1]),
        "HS384": forge({"alg": "HS384"}, digest="sha384"),
        "HS512": forge({"alg": "HS512"}, digest="sha512"),
        "RS256 over the secret": forge({"alg": "RS256"}),
        "alg missing": forge({"typ": "JWT"}),
        **{f"alg {each!r}": forge({"alg": each}) for each in ALGORITHMS},
        **{f"alg {each!r}, unsigned": forge({"alg": each}).rpartition(".")[0] + "." for each in ALGORITHMS},
        "HS256, unsigned": forge().rpartition(".")[0] + ".",
        **{f"kid {each}": forge({"alg": "HS256", "kid": each}) for each in KEY_IDS},
        "critical extension": forge({"alg": "HS256", "crit": ["x"], "x": 1}),
        "detached payload": forge({"alg": "HS256", "crit": ["b64"], "b64": False}),
    }
    assert_all_unauthorized(admin, anonymous, subtests, tokens.items())


NO_TIMES: Values = ("soon", "", [], [2**31], {}, float("nan"), float("inf"), float("-inf"))
NO_EXPIRIES: Values = (*NO_TIMES, None, True, -1, 0, 10**400)


def test_a_token_that_is_not_valid_now_is_refused(
    admin: psycopg.Connection, anonymous: httpx2.Client, subtests: pytest.Subtests
) -> None:
    now = int(time.time())
    tokens = {
        "expired": make_token("alice", lifetime=-30),
        "not yet valid": make_token("alice", nbf=now + 3600),
        "exp missing": forge(payload={"sub": "alice"}),
        "exp too long to read": forge(payload='{"sub":"alice","exp":1' + "0" * 5000 + "}"),
        **{f"exp {each!r:.20}": forge(payload=claims(exp=each)) for each in NO_EXPIRIES},
        **{f"nbf {each!r}": forge(payload=claims(nbf=each)) for each in (*NO_TIMES, 10**400)},
    }
    assert_all_unauthorized(admin, anonymous, subtests, tokens.items())


def test_claims_that_nobody_asked_for_are_not_checked(anonymous: httpx2.Client) -> None:
    now = int(time.time())
    token = make_token("alice", iss=ISSUER, aud=["x"], iat=now + 5, nbf=now - 1, role="admin")

    assert anonymous.get("/tasks", headers=bearer(token)).status_code == 200


def test_the_secret_changes_and_no_good_token_is_refused(admin: psycopg.Connection, settings: Settings) -> None:
    next_secret = secrets.token_urlsafe(32)
    old, new = make_token("alice"), make_token("alice", key=next_secret)
    steps = (
        ({"jwt_secret": JWT_SECRET}, 200, 401),
        ({"jwt_secret": next_secret, "jwt_secret_previous": JWT_SECRET}, 200, 200),
        ({"jwt_secret": next_secret}, 401, 200),
    )
    for chosen, for_old, for_new in steps:
        step = settings.model_copy(update={name: SecretStr(secret) for name, secret in chosen.items()})
        with serving(step) as base_url, httpx2.Client(base_url=base_url) as client, untouched(admin):
            for _ in range(2):  # verified, then remembered
                assert client.get("/tasks", headers=bearer(old)).status_code == for_old
                assert client.get("/tasks", headers=bearer(new)).status_code == for_new


def test_with_two_secrets_a_bad_token_is_still_refused(
    admin: psycopg.Connection, settings: Settings, subtests: pytest.Subtests
) -> None:
    previous = secrets.token_urlsafe(32)
    both = settings.model_copy(update={"jwt_secret_previous": SecretStr(previous)})
    tokens = {
        **{f"expired {n}": make_token("alice", key=key, lifetime=-30) for n, key in enumerate((JWT_SECRET, previous))},
        **{f"no sub {n}": forge(payload={"exp": 2**31}, key=key) for n, key in enumerate((JWT_SECRET, previous))},
        "a third secret": forge(key="x" * 32),
        "both secrets": forge(key=JWT_SECRET + previous),
        "empty secret": forge(key=b""),
        "HS512": forge({"alg": "HS512"}, key=previous, digest="sha512"),
        "alg none": forge({"alg": "none"}, key=previous).rpartition(".")[0] + ".",
    }
    with serving(both) as base_url, httpx2.Client(base_url=base_url) as client:
        assert client.get("/tasks", headers=bearer(forge(key=previous))).status_code == 200
        assert_all_unauthorized(admin, client, subtests, tokens.items())


NO_ISSUERS: Values = (None, "", "x", f"{ISSUER}/", ISSUER[:-1], [ISSUER], 1)
NO_AUDIENCES: Values = (None, "", "x", AUDIENCE[:-1], [], ["x"], [1], 1, {})


def test_issuer_and_audience_are_checked_when_they_are_set(
    admin: psycopg.Connection, settings: Settings, subtests: pytest.Subtests
) -> None:
    good = claims(iss=ISSUER, aud=AUDIENCE)
    strict = settings.model_copy(update={"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE})
    with serving(strict) as base_url, httpx2.Client(base_url=base_url) as client:
        for audience in (AUDIENCE, [AUDIENCE], ["x", AUDIENCE]):
            token = forge(payload=good | {"aud": audience})
            assert client.get("/tasks", headers=bearer(token)).status_code == 200
        wrong = {
            **{f"iss {each}": forge(payload=good | {"iss": each}) for each in NO_ISSUERS},
            **{f"aud {each}": forge(payload=good | {"aud": each}) for each in NO_AUDIENCES},
            "no iss": forge(payload=claims(aud=AUDIENCE)),
            "no aud": forge(payload=claims(iss=ISSUER)),
        }
        assert_all_unauthorized(admin, client, subtests, wrong.items())


def test_a_token_that_worked_stops_working_when_it_expires(settings: Settings) -> None:
    leeway = 1
    with serving(settings.model_copy(update={"jwt_leeway": leeway})) as base_url:
        client = httpx2.Client(base_url=base_url)
        token = make_token("alice", lifetime=3)
        expiry = jwt.decode(token, JWT_SECRET, algorithms=["HS256"])["exp"]
        for _ in range(3):
            assert client.get("/tasks", headers=bearer(token)).status_code == 200

        time.sleep(max(expiry + leeway - time.time(), 0))

        assert_unauthorized(client.get("/tasks", headers=bearer(token)))
        client.close()


def test_the_clocks_of_issuer_and_api_may_differ_a_little(settings: Settings) -> None:
    with serving(settings) as address, httpx2.Client(base_url=address) as client:
        assert client.get("/tasks", headers=bearer(make_token("alice", nbf=int(time.time()) + 4))).status_code == 200
    with (
        serving(settings.model_copy(update={"jwt_leeway": 60})) as address,
        httpx2.Client(base_url=address) as client,
    ):
        for token in (make_token("alice", lifetime=-10), make_token("alice", nbf=int(time.time()) + 55)):
            for _ in range(2):  # verified, then remembered
                assert client.get("/tasks", headers=bearer(token)).status_code == 200
        assert_unauthorized(client.get("/tasks", headers=bearer(make_token("alice", lifetime=-61))))


def test_two_headers_with_credentials_are_refused(admin: psycopg.Connection, anonymous: httpx2.Client) -> None:
    """A proxy may have checked the one, and the API would take the other."""
    for others in (make_token("bob"), make_token("alice"), "forged"):
        for tokens in ((make_token("alice"), others), (others, make_token("alice"))):
            headers = [("Authorization", f"Bearer {token}") for token in tokens]
            with untouched(admin):
                assert_unauthorized(anonymous.post("/tasks", json={"text": "Stolen"}, headers=headers))


ACCESS_TOKENS = ("JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt")
NO_ACCESS_TOKENS: Values = (
    *("dpop+jwt", "logout+jwt", "secevent+jwt", "id_token", "id+jwt", "oauth-authz-req+jwt", "refresh+jwt", "JWE"),
    *("", "at", "application/dpop+jwt", "application/", "text/jwt", None, 1, True, [], ["JWT"], {}),
)


def test_a_token_that_says_that_it_is_something_else_is_refused(
    admin: psycopg.Connection, anonymous: httpx2.Client, subtests: pytest.Subtests
) -> None:
    for header in ({}, *({"typ": each} for each in ACCESS_TOKENS)):
        token = forge({"alg": "HS256"} | header)
        assert anonymous.get("/tasks", headers=bearer(token)).status_code == 200, header
    tokens = {f"typ {each!r}": forge({"alg": "HS256", "typ": each}) for each in NO_ACCESS_TOKENS}
    assert_all_unauthorized(admin, anonymous, subtests, tokens.items())


def test_without_a_key_server_any_audience_will_do(settings: Settings) -> None:
    for audience in (None, "*"):
        with serving(settings.model_copy(update={"jwt_audience": audience})) as address:
            for token in (make_token("alice"), make_token("alice", aud="x"), make_token("alice", aud=["x", "y"])):
                assert httpx2.get(f"{address}/tasks", headers=bearer(token)).status_code == 200
