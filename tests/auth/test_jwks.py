"""Public keys from JWT_JWKS_URL: which tokens they verify, and what happens when the key server does not help."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from typing import Any

import httpx2
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import encode
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from api.auth.jwks import DEFAULT_LIFETIME, FETCH_TIMEOUT, MAX_LIFETIME, MIN_LIFETIME, REFRESH_AFTER, lifetime, parse
from api.settings import Settings
from tests.support.forgery import assert_all_unauthorized, assert_unauthorized, base64url, claims, forge
from tests.support.keyserver import (
    ALGORITHMS,
    EC,
    ED,
    JWKS,
    OCT,
    RSA,
    RSA_JWK,
    SIGNERS,
    KeyServer,
    key_set,
    running,
    shorten_lifetimes,
    token,
)
from tests.support.refusals import assert_refused, untouched
from tests.support.servers import serving
from tests.support.tokens import JWT_SECRET, bearer, make_token
from tests.support.waiting import eventually

Serve = Callable[..., AbstractContextManager[httpx2.Client]]


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    with running() as server:
        yield server


@pytest.fixture
def serve(settings: Settings, key_server: KeyServer) -> Serve:
    """Start an app that takes its keys from the key server, and from `secret`."""

    @contextmanager
    def start(secret: str | None = None) -> Iterator[httpx2.Client]:
        chosen = {"jwt_jwks_url": key_server.url, "jwt_audience": "*"} | ({} if secret else {"jwt_secret": None})
        with serving(settings.model_copy(update=chosen)) as base_url, httpx2.Client(base_url=base_url) as client:
            yield client

    return start


@pytest.fixture
def short_lifetimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are refreshed again and again."""
    shorten_lifetimes(monkeypatch, 0.2)


def call(client: httpx2.Client, with_token: str) -> httpx2.Response:
    return client.get("/tasks", headers=bearer(with_token))


def test_each_algorithm_works_and_the_keys_are_fetched_once(serve: Serve, key_server: KeyServer) -> None:
    with serve() as client:
        for algorithm in ALGORITHMS * 2:
            response = client.post("/tasks", json={"text": "Buy milk"}, headers=bearer(token(algorithm)))
            assert response.status_code == 201, algorithm
            assert response.json()["user_id"] == "alice"
    assert key_server.requests == 1


def test_a_secret_and_a_key_server_serve_side_by_side(serve: Serve) -> None:
    with serve(JWT_SECRET) as client:
        assert call(client, make_token("alice")).status_code == 200
        assert call(client, token("RS256")).status_code == 200


def test_without_a_secret_no_secret_verifies(serve: Serve, key_server: KeyServer) -> None:
    with serve() as client:
        assert_unauthorized(call(client, make_token("alice")))
        assert_unauthorized(call(client, forge(key=b"")))
        eventually(lambda: key_server.requests == 1)
    assert key_server.requests == 1


@pytest.mark.parametrize("secret", [None, JWT_SECRET], ids=["key server alone", "key server and secret"])
def test_a_public_key_is_not_a_secret(
    serve: Serve, admin: psycopg.Connection, subtests: pytest.Subtests, secret: str | None
) -> None:
    spki, pkcs1 = PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1
    public = {
        "RSA PEM": RSA.public_key().public_bytes(Encoding.PEM, spki),
        "RSA PEM, stripped": RSA.public_key().public_bytes(Encoding.PEM, spki).strip(),
        "RSA DER": RSA.public_key().public_bytes(Encoding.DER, spki),
        "RSA PKCS1": RSA.public_key().public_bytes(Encoding.PEM, pkcs1),
        "RSA modulus": RSA_JWK["n"],
        "EC PEM": EC.public_key().public_bytes(Encoding.PEM, spki),
        "oct": OCT,
    }
    headers = (
        *({"alg": "HS256"} | kid for kid in ({}, {"kid": "RS256"}, {"kid": "oct"}, {"kid": "unknown"})),
        {"alg": "RS256", "kid": "RS256"},
        {"alg": "RS256", "kid": "oct RS256"},
    )
    with serve(secret) as client:
        assert call(client, token("RS256")).status_code == 200
        forged = ((f"{name}, {header}", forge(header, key=key)) for name, key in public.items() for header in headers)
        assert_all_unauthorized(admin, client, subtests, forged)


def test_a_token_that_does_not_fit_its_key_is_refused(
    serve: Serve, admin: psycopg.Connection, subtests: pytest.Subtests, key_server: KeyServer
) -> None:
    unknown = generate_private_key(public_exponent=65537, key_size=2048)
    pairs = [(algorithm, kid) for algorithm in ALGORITHMS for kid in ALGORITHMS if algorithm != kid]
    tokens = {
        **{f"{algorithm} with the key {kid}": token(algorithm, kid=kid) for algorithm, kid in pairs},
        **{f"{each} with the key RS256": token(each, kid="RS256") for each in ("RS512", "PS256")},
        "an algorithm that is not ours": token("RS512"),
        "a key for another algorithm": token("RS256", kid="RS512"),
        "a key for encryption": token("RS256", kid="for encryption"),
        "somebody else's key": encode(claims(), unknown, "RS256", headers={"kid": "RS256"}),
        "a key in the header": encode(claims(), unknown, "RS256", headers={"kid": "x", "jwk": {"kty": "RSA"}}),
        "a key server in the header": token("RS256", kid="x", jku=key_server.url, x5u=key_server.url),
        "no key id": token("RS256", kid=""),
        "alg none": forge({"alg": "none", "kid": "RS256"}).rpartition(".")[0] + ".",
    }
    with serve() as client:
        assert_all_unauthorized(admin, client, subtests, tokens.items())
    assert key_server.requests == 2


def test_made_up_key_ids_cause_one_fetch_per_cool_down(
    serve: Serve, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.auth.jwks.COOL_DOWN", 1)
    with serve() as client, ThreadPoolExecutor(8) as threads:
        assert call(client, token("RS256")).status_code == 200
        while key_server.requests < 4:
            for response in threads.map(lambda n: call(client, token("RS256", kid=f"made up {n}")), range(40)):
                assert_unauthorized(response)
            assert call(client, token("RS256")).status_code == 200
    _, *for_unknown_keys = key_server.arrivals
    assert min(later - earlier for earlier, later in pairwise(for_unknown_keys)) > 0.5


def test_a_new_key_is_found_with_its_first_token(serve: Serve, key_server: KeyServer) -> None:
    key_server.document = key_set(*JWKS[:1])
    with serve() as client:
        assert call(client, token("EdDSA")).status_code == 200
        key_server.document = key_set(*JWKS)

        assert call(client, token("RS256")).status_code == 200
    assert key_server.requests == 2


def test_the_keys_are_there_before_anybody_asks(serve: Serve, key_server: KeyServer) -> None:
    with serve() as client:
        eventually(lambda: key_server.requests == 1)
        key_server.stop()

        for algorithm in ALGORITHMS:
            assert call(client, token(algorithm)).status_code == 200


LIFETIMES = {
    **dict.fromkeys(("", "public", "max-age=", "max-age=-1", "s-maxage=90", "x-max-age=90"), DEFAULT_LIFETIME),
    **dict.fromkeys(("max-age=90", 'MAX-AGE="90"', "public, max-age=90, must-revalidate", "s-maxage=1,max-age=90"), 90),
    **dict.fromkeys(("max-age=0", "max-age=59", "no-store", "No-Cache", "no-cache, max-age=3600"), MIN_LIFETIME),
    **dict.fromkeys(("max-age=3601", "max-age=31536000, immutable", f"max-age={'9' * 5000}"), MAX_LIFETIME),
}


def test_a_response_is_kept_for_as_long_as_it_says_within_bounds(subtests: pytest.Subtests) -> None:
    for cache_control, seconds in LIFETIMES.items():
        with subtests.test(cache_control=cache_control[:40]):
            assert lifetime(cache_control) == seconds


def test_keys_are_refreshed_before_they_expire(
    serve: Serve, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 5
    monkeypatch.setattr("api.auth.jwks.MIN_LIFETIME", seconds)
    key_server.headers = {"Cache-Control": f"max-age={seconds}"}
    with serve():
        eventually(lambda: key_server.requests == 2)
    first, second = key_server.arrivals
    assert REFRESH_AFTER * seconds - 0.5 < second - first < seconds


@pytest.mark.usefixtures("short_lifetimes")
def test_a_caller_with_a_known_key_does_not_wait_for_a_refresh(serve: Serve, key_server: KeyServer) -> None:
    with serve() as client:
        assert call(client, token("RS256")).status_code == 200
        key_server.responding.clear()
        before = key_server.requests
        eventually(lambda: key_server.requests > before)

        started = time.monotonic()
        for algorithm in ALGORITHMS:
            assert call(client, token(algorithm, x="another token")).status_code == 200
        assert time.monotonic() - started < FETCH_TIMEOUT / 2


def test_the_app_stops_at_once_while_the_key_server_hangs(serve: Serve, key_server: KeyServer) -> None:
    key_server.responding.clear()
    with serve():
        eventually(lambda: key_server.requests == 1)
        started = time.monotonic()
    assert time.monotonic() - started < FETCH_TIMEOUT / 2


REPLACED: dict[str, Callable[[], dict[str, Any]]] = {
    "EdDSA": lambda: OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True),
    "ES256": lambda: ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True),
    "RS256": lambda: RSAAlgorithm.to_jwk(generate_private_key(65537, 2048).public_key(), as_dict=True),
}


@pytest.mark.usefixtures("short_lifetimes")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("replaced", [True, False], ids=["replaced under its name", "withdrawn"])
def test_a_token_that_worked_stops_working_with_its_key(
    serve: Serve, key_server: KeyServer, algorithm: str, *, replaced: bool
) -> None:
    others = [jwk for jwk in JWKS if jwk["kid"] != algorithm]
    with serve() as client:
        known = token(algorithm)
        for _ in range(2):  # verified, then remembered
            assert call(client, known).status_code == 200
        key_server.document = key_set(*([REPLACED[algorithm]() | {"kid": algorithm}] if replaced else []), *others)

        eventually(lambda: call(client, known).status_code != 200)
        assert_unauthorized(call(client, known))
        for other in ALGORITHMS:
            assert call(client, token(other)).status_code == (401 if other == algorithm else 200)


def assert_unavailable(response: httpx2.Response) -> None:
    assert_refused(response, 503)
    assert int(response.headers["retry-after"]) > 0


def test_a_key_server_that_is_down_makes_keys_unavailable(
    serve: Serve, key_server: KeyServer, admin: psycopg.Connection
) -> None:
    key_server.stop()
    with serve(JWT_SECRET) as client, untouched(admin):
        for algorithm in ALGORITHMS:
            headers = bearer(token(algorithm))
            assert_unavailable(client.post("/tasks", json={"text": "Buy milk"}, headers=headers))
        assert_unauthorized(call(client, "malformed"))
        assert call(client, make_token("alice")).status_code == 200


@pytest.mark.usefixtures("short_lifetimes")
def test_known_keys_work_while_the_key_server_is_down(
    serve: Serve, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failures() -> int:
        return [record.name for record in caplog.records].count("partywall.jwks")

    monkeypatch.setattr("api.auth.jwks.COOL_DOWN", 0.1)
    with serve() as client:
        assert call(client, token("RS256")).status_code == 200
        key_server.stop()
        for number in range(10):
            eventually(lambda number=number: failures() > number)  # type: ignore[misc]
            for algorithm in ALGORITHMS:  # a new token each time: the key is needed
                assert call(client, token(algorithm, number=number)).status_code == 200
        assert_unavailable(call(client, token("RS256", kid="unknown")))
        assert call(client, token("RS256")).status_code == 200

        with running(key_server.server_port) as revived:
            revived.document = key_set(*JWKS[:1])
            eventually(lambda: call(client, token("RS256")).status_code == 401)
            assert call(client, token("EdDSA")).status_code == 200


GOOD = json.dumps({"keys": JWKS})
NOT_KEY_SETS = (
    *("", "<!doctype html>", GOOD[:-1], "[" * 60_000, '{"keys":' + "[" * 20_000 + "]" * 20_000 + "}"),
    *("[]", "{}", "null", '"keys"', "1", *(f'{{"keys": {keys}}}' for keys in ("null", "1", '"RS256"', "{}"))),
)


def test_a_document_that_is_not_a_key_set_is_refused(subtests: pytest.Subtests) -> None:
    for document in NOT_KEY_SETS:
        with subtests.test(document=document[:40]), pytest.raises(ValueError, match=r".+"):
            parse(document.encode())
    with pytest.raises(ValueError, match=r".+"):
        parse(b"\xff")


BAD_RESPONSES = {
    "too large": (200, GOOD.ljust(64 * 1024 + 1)),
    "much too large": (200, GOOD.ljust(10 * 1024 * 1024)),
    "no JSON": (200, "<!doctype html>"),
    "wrong shape": (200, "[]"),
    "deep": (200, "[" * 60_000),
    **{f"status {status}": (status, GOOD) for status in (302, 404, 500)},
}


def test_a_response_without_a_key_set_makes_keys_unavailable(
    serve: Serve, key_server: KeyServer, subtests: pytest.Subtests
) -> None:
    for name, (status, document) in BAD_RESPONSES.items():
        key_server.status, key_server.document = status, document.encode()
        with subtests.test(name), serve() as client:
            assert_unavailable(call(client, token("RS256")))


def test_what_goes_wrong_is_logged_without_the_url_which_can_hold_credentials(
    settings: Settings, key_server: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    key_server.status = 403
    url = key_server.url.replace("//", "//alice:the-password@") + "?key=the-key"
    with serving(settings.model_copy(update={"jwt_jwks_url": url, "jwt_audience": "*"})) as address:
        assert_unavailable(httpx2.get(f"{address}/tasks", headers=bearer(token("RS256"))))

    assert "JWT_JWKS_URL could not be read: its status is 403" in caplog.messages
    assert "the-" not in caplog.text


def test_a_compressed_response_makes_keys_unavailable(serve: Serve, key_server: KeyServer) -> None:
    key_server.headers = {"Content-Encoding": "gzip"}
    key_server.document = gzip.compress(GOOD.encode())
    with serve() as client:
        assert_unavailable(call(client, token("RS256")))


def test_a_response_that_trickles_makes_keys_unavailable(
    serve: Serve, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.auth.jwks.FETCH_TIMEOUT", 0.3)
    key_server.pause = 0.01
    with serve() as client:
        started = time.monotonic()
        assert_unavailable(call(client, token("RS256")))
        assert time.monotonic() - started < 2


NO_KEY_OPS: tuple[Any, ...] = ([], ["encrypt"], ["sign"], "verify", 1, None, {})
SMALL_RSA = generate_private_key(65537, 1024)  # noqa: S505 - to see it ignored
SMALL = RSAAlgorithm.to_jwk(SMALL_RSA.public_key(), as_dict=True) | {"kid": "x"}
USELESS: list[Any] = [
    *(None, 1, "RS256", [], {}),
    *(RSA_JWK | {"kid": "x", "key_ops": each} for each in NO_KEY_OPS),
    SMALL,
    *({"kty": "OKP", "crv": "Ed448", "kid": "x", "x": base64url(b"1" * 57)} | alg for alg in ({}, {"alg": "EdDSA"})),
    JWKS[1] | {"kid": "x", "alg": "Ed25519"},
    RSA_JWK | {"kid": "RS256", "use": "enc"},
    *({"kty": kty, "kid": "x"} for kty in ("RSA", "EC", "OKP", "oct", "new")),
    *({"kty": 1, "kid": "x"}, {"kty": ["RSA"], "kid": "x"}, {"kty": {"a": 1}, "kid": "x"}, {"kid": "x"}),
    *(RSA_JWK | {"kid": kid} for kid in (None, "", 1, [], ["RS256"], {"a": 1})),
    *(RSA_JWK | {"kid": "x", "n": n} for n in (1, None, "", "AQ", "é", "!")),
    *(RSA_JWK | {"kid": "x", "alg": alg} for alg in ("none", "HS256", "ES256", "new", 1, ["RS256"], {"a": 1})),
    *(RSA_JWK | {"kid": "x", "use": use} for use in ("enc", 1, ["sig"], {"a": 1})),
    *(JWKS[1] | {"kid": "x", "y": y} for y in ("AQ", 1, "A" * 43)),
    *(JWKS[1] | {"kid": "x", "crv": crv} for crv in ("P-384", "new", 1, ["P-256"])),
    *(JWKS[0] | {"kid": "x", "x": x} for x in ("AQ", 1, "é")),
    *(jwk | {"kid": "x"} for jwk in (OKPAlgorithm.to_jwk(ED, as_dict=True), RSAAlgorithm.to_jwk(RSA, as_dict=True))),
]


def test_a_useless_key_is_left_out(subtests: pytest.Subtests) -> None:
    for entry in USELESS:
        with subtests.test(entry=str(entry)[-60:]):
            keys, ignored = parse(json.dumps({"keys": [entry, *JWKS]}).encode())
            assert list(keys) == list(ALGORITHMS)
            assert len(ignored) == 1 + len(JWKS) - len(ALGORITHMS)


def test_a_key_may_say_that_it_verifies() -> None:
    keys, ignored = parse(
        key_set(RSA_JWK | {"kid": "x", "key_ops": ["verify"]}, JWKS[0] | {"key_ops": ["sign", "verify"]})
    )

    assert (list(keys), ignored) == (["x", "EdDSA"], [])


@pytest.mark.parametrize("alg", ["Ed25519", "EdDSA", None])
def test_ed25519_is_another_name_of_eddsa(serve: Serve, key_server: KeyServer, alg: str | None) -> None:
    key_server.document = key_set(JWKS[0] | {"alg": alg} if alg else {k: v for k, v in JWKS[0].items() if k != "alg"})
    with serve() as client:
        for name in ("EdDSA", "Ed25519"):
            good = encode(claims(), ED, "EdDSA", headers={"kid": "EdDSA", "alg": name})
            assert call(client, good).status_code == 200, name
            forged = encode(
                claims(), ed25519.Ed25519PrivateKey.generate(), "EdDSA", headers={"kid": "EdDSA", "alg": name}
            )
            assert_unauthorized(call(client, forged))


REASONS = {
    "it has no kid, and is not the only key": RSA_JWK,
    "its kid is no name": RSA_JWK | {"kid": 1},
    "another key has the same kid": RSA_JWK | {"kid": "RS256", "alg": "RS256"},
    "its use is not sig": RSA_JWK | {"kid": "x", "use": "enc"},
    "its key_ops have no verify": RSA_JWK | {"kid": "x", "key_ops": ["encrypt"]},
    "it is no public key": {"kty": "oct", "kid": "x", "k": base64url(OCT)},
    "it cannot be read": {"kty": "new", "kid": "x", "secret": base64url(OCT)},
    "its algorithm is none of ES256, EdDSA, RS256": RSA_JWK | {"kid": "x", "alg": "RS512"},
    "it has less than 2048 bits": SMALL,
}


def test_a_key_that_is_ignored_is_logged_once_with_its_reason(
    serve: Serve, key_server: KeyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def logged() -> list[list[str]]:
        return [vars(record)["ignored"] for record in caplog.records if record.name == "partywall.jwks"]

    shorten_lifetimes(monkeypatch, 0.1)
    key_server.document = key_set(*JWKS[:3], *REASONS.values())
    with serve() as client:
        eventually(lambda: key_server.requests > 3)
        assert call(client, token("RS256")).status_code == 200
        [reasons] = logged()
        assert len(reasons) == len(REASONS)
        for reason, sentence in zip(REASONS, reasons, strict=True):
            assert reason in sentence
        for material in (base64url(OCT), RSA_JWK["n"]):
            assert material not in str(reasons)

        key_server.document = key_set(*JWKS[:3], RSA_JWK)
        eventually(lambda: len(logged()) == 2)
        assert len(logged()[1]) == 1


def test_useless_keys_do_not_spoil_the_others(serve: Serve, key_server: KeyServer) -> None:
    key_server.document = json.dumps({"keys": [*USELESS, *JWKS]}).encode()
    with serve() as client:
        assert call(client, token("RS256")).status_code == 200


ONLY = {name: value for name, value in JWKS[0].items() if name != "kid"}


def without_kid(algorithm: str) -> str:
    """Return a good token that names no key."""
    return encode(claims(), SIGNERS[algorithm], algorithm)


def test_a_key_that_is_the_only_one_needs_no_kid(
    serve: Serve, key_server: KeyServer, subtests: pytest.Subtests
) -> None:
    """Neither in the document nor in the token; keys that are ignored do not count."""
    documents = {
        "no kid": (key_set(ONLY), {without_kid("EdDSA"): 200, token("EdDSA"): 200, token("EdDSA", kid="x"): 200}),
        "a kid": (key_set(JWKS[0]), {without_kid("EdDSA"): 200, token("EdDSA"): 200, token("EdDSA", kid="x"): 401}),
        "useless ones": (key_set({"kty": "oct", "k": "x"}, ONLY, SMALL), {without_kid("EdDSA"): 200}),
        "two without": (key_set(ONLY, RSA_JWK), {without_kid("EdDSA"): 401, without_kid("RS256"): 401}),
        "two, one without": (key_set(JWKS[0], RSA_JWK), {without_kid("RS256"): 401, token("EdDSA"): 200}),
        "two with": (key_set(*JWKS[:2]), {without_kid("EdDSA"): 401, token("ES256"): 200}),
    }
    for name, (document, statuses) in documents.items():
        key_server.document = document
        with subtests.test(name), serve() as client:
            assert [call(client, each).status_code for each in statuses] == [*statuses.values()]
            assert_unauthorized(call(client, without_kid("RS256" if name == "no kid" else "ES256")))
            assert_unauthorized(call(client, encode(claims(), ed25519.Ed25519PrivateKey.generate(), "EdDSA")))


def test_redirects_are_followed_within_the_origin_only(
    serve: Serve, key_server: KeyServer, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    origin = key_server.url.removesuffix("/jwks.json")
    with running() as elsewhere:
        for target, status, reason in (
            ("/keys/", 200, ""),
            (f"{origin}/keys", 200, ""),
            (elsewhere.url, 503, f"it redirects from {origin} to {elsewhere.url.removesuffix('/jwks.json')}, another"),
            (f"{origin.replace('http:', 'https:')}/keys", 503, "another origin"),
            (f"{origin.replace('127.0.0.1', 'localhost')}/keys", 503, "another origin"),
            ("/jwks.json", 503, "more than 5 redirects"),
        ):
            key_server.redirects = {"/jwks.json": target}
            caplog.clear()
            with subtests.test(target), serve() as client:
                assert call(client, token("RS256")).status_code == status
                assert reason in caplog.text
        assert elsewhere.requests == 0


def test_a_key_set_may_be_empty(serve: Serve, key_server: KeyServer) -> None:
    key_server.document = b'{"keys": []}'
    with serve() as client:
        assert_unauthorized(call(client, token("RS256")))
