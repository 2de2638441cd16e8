"""A real key server on this machine, and the private halves of what it publishes."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.support.forgery import base64url, claims

ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SIGNERS: dict[str, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = {
    "EdDSA": ED,
    "ES256": EC,
    "RS256": RSA,
    "RS512": RSA,
    "PS256": RSA,
}
ALGORITHMS = ("EdDSA", "ES256", "RS256")
OCT = b"a symmetric key has no place in a public document"

RSA_JWK = RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True)
JWKS: list[Any] = [
    OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True) | {"kid": "EdDSA", "use": "sig", "alg": "EdDSA"},
    ECAlgorithm.to_jwk(EC.public_key(), as_dict=True) | {"kid": "ES256", "use": "sig", "alg": "ES256"},
    RSA_JWK | {"kid": "RS256"},  # `use` and `alg` are optional: RFC 7517, 4
    RSA_JWK | {"kid": "RS512", "alg": "RS512"},
    RSA_JWK | {"kid": "for encryption", "use": "enc"},
    {"kty": "oct", "kid": "oct", "k": base64url(OCT)},
    {"kty": "oct", "kid": "oct RS256", "alg": "RS256", "k": base64url(OCT)},
]


def token(algorithm: str, **header: object) -> str:
    """Return a good token of Alice whose `kid` is its algorithm, unless `header` says otherwise."""
    return jwt.encode(claims(), SIGNERS[algorithm], algorithm, headers={"kid": algorithm} | header)


def key_set(*keys: object) -> bytes:
    """Return the document of a key server that publishes `keys`."""
    return json.dumps({"keys": keys}).encode()


class KeyServer(ThreadingHTTPServer):
    """Responds at every path with `status`, `headers` and `document`, but where one of `redirects` leads elsewhere.

    It waits until `responding` is set, and for `pause` seconds before each byte of the document.
    """

    status = 200
    headers: Mapping[str, str] = MappingProxyType({})
    document = key_set(*JWKS)
    redirects: Mapping[str, str] = MappingProxyType({})  # by path
    pause = 0.0

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.arrivals: list[float] = []  # of the requests, in seconds of time.monotonic
        self.responding = threading.Event()
        self.responding.set()

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return len(self.arrivals)

    @property
    def url(self) -> str:
        """Where the keys are."""
        return f"http://127.0.0.1:{self.server_port}/jwks.json"

    def stop(self) -> None:
        """Refuse connections from now on."""
        self.shutdown()
        self.server_close()
        self.responding.set()


class _Handler(BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        server = self.server
        server.arrivals.append(time.monotonic())
        server.responding.wait()
        # The client may have given up.
        with suppress(OSError):
            if target := server.redirects.get(self.path):
                self.send_response(302)
                self.send_header("Location", target)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(server.status)
            for name, value in {"Content-Length": str(len(server.document)), **server.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if not server.pause:
                self.wfile.write(server.document)
                return
            for byte in server.document:
                time.sleep(server.pause)
                self.wfile.write(bytes([byte]))

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def running(port: int = 0) -> Iterator[KeyServer]:
    """Run a key server on `port` of 127.0.0.1; 0 picks a free one."""
    server = KeyServer(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def shorten_lifetimes(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have the app that is served next keep keys for so long, whatever Cache-Control says."""
    for name in ("DEFAULT_LIFETIME", "MIN_LIFETIME", "MAX_LIFETIME"):
        monkeypatch.setattr(f"api.auth.jwks.{name}", seconds)
