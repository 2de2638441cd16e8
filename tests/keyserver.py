"""A real key server on this machine, and the private halves of what it publishes."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.forgery import base64url, claims

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


class KeyServer(ThreadingHTTPServer):
    """Answers every path with `status` and `document`, and counts how often."""

    status = 200
    document = json.dumps({"keys": JWKS}).encode()
    requests = 0

    @property
    def url(self) -> str:
        """Where the keys are."""
        return f"http://127.0.0.1:{self.server_port}/jwks.json"

    def stop(self) -> None:
        """Refuse connections from now on."""
        self.shutdown()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.document)))
        self.end_headers()
        self.wfile.write(self.server.document)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def running() -> Iterator[KeyServer]:
    """Run a key server."""
    server = KeyServer(("127.0.0.1", 0), _Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
