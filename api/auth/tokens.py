"""From a bearer token to a user id (RFC 6750, RFC 7519)."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import jwt
from cachetools import TLRUCache
from jwt.algorithms import OKPAlgorithm

from api.auth.jwks import ALGORITHMS, SYNONYMS, KeySet
from api.http.problems import UnauthorizedError
from api.observability.metrics import token_cached, token_refused, token_verified
from api.settings import Settings
from db.session import is_user_id

MAX_TOKEN_LENGTH = 8 * 1024
CACHED_TOKENS = 4096
# RFC 7519, 5.1 and RFC 9068, 2.1. Others say what a token is instead: logout+jwt, secevent+jwt, dpop+jwt, …
# (RFC 8725, 3.11). Without one it is any JWT. Media types may leave out application/ (RFC 7515, 4.1.9).
TYPES = frozenset({"jwt", "at+jwt"})
ANY_AUDIENCE = "*"

with suppress(ValueError):  # once PyJWT knows it by itself
    jwt.register_algorithm("Ed25519", OKPAlgorithm())


Key = Any  # of PyJWT: bytes, str, or what a PyJWK has


class Verifier:
    """Verifies tokens by the settings, and remembers those it has verified until they expire.

    Which key verifies a token is decided by where keys come from, never by the token: HS256 only with JWT_SECRET
    and JWT_SECRET_PREVIOUS, the others only with a key from JWT_JWKS_URL made for that algorithm (RFC 8725, 3.1).
    """

    def __init__(self, settings: Settings) -> None:
        """Take the secrets, the key set and what `iss` and `aud` must be from `settings`.

        With JWT_JWKS_URL it starts to fetch, in the running event loop.
        """
        secrets = (settings.jwt_secret, settings.jwt_secret_previous)
        self._secrets = [secret.get_secret_value() for secret in secrets if secret]
        self._issuer = settings.jwt_issuer
        self._audience = None if settings.jwt_audience == ANY_AUDIENCE else settings.jwt_audience
        self._leeway = settings.jwt_leeway
        # Verifying costs as much as all the rest of a request. Each entry: the user id, and until when.
        self._verified: TLRUCache[str, tuple[str, float]] = TLRUCache(
            maxsize=CACHED_TOKENS, ttu=lambda _token, entry, _now: entry[1], timer=time.time
        )
        self._key_set = KeySet(settings.jwt_jwks_url, on_change=self._verified.clear) if settings.jwt_jwks_url else None

    async def user_id(self, token: str) -> str:
        """Return the user that `token` speaks for.

        Raises UnauthorizedError, and KeysUnavailableError when the key server had to be asked and did not answer.
        """
        try:
            user_id = self._verified[token][0]
        except KeyError:
            pass
        else:
            token_cached.inc()
            return user_id
        try:
            user_id = await self._verify(token)
        except UnauthorizedError:
            token_refused.inc()
            raise
        token_verified.inc()
        return user_id

    async def _verify(self, token: str) -> str:
        if len(token) > MAX_TOKEN_LENGTH:
            raise UnauthorizedError(f"The token is longer than {MAX_TOKEN_LENGTH} characters.")
        try:
            claims = self._claims(token, *await self._keys(jwt.get_unverified_header(token)))
            expiry = float(claims["exp"]) + self._leeway
        except (jwt.PyJWTError, OverflowError) as error:
            raise UnauthorizedError(f"The token is not valid: {error}.") from error
        subject: object = claims["sub"]
        if not is_user_id(subject):
            raise UnauthorizedError(
                'The token\'s sub must have 1 to 255 characters, no control characters, and must not be "." or "..".'
            )
        self._verified[token] = (subject, expiry)
        return subject

    async def aclose(self) -> None:
        """Leave the key server alone, if there is one."""
        if self._key_set:
            await self._key_set.aclose()

    async def _keys(self, header: dict[str, object]) -> tuple[str, Sequence[Key]]:
        """Return the one algorithm and the keys that may verify a token with this header."""
        kind = header.get("typ", "JWT")
        if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in TYPES:
            raise UnauthorizedError("The token's typ says that it is no access token.")
        algorithm, kid = header.get("alg"), header.get("kid") or None
        if algorithm == "HS256" and self._secrets:
            return "HS256", self._secrets
        made_for = SYNONYMS.get(algorithm, algorithm) if isinstance(algorithm, str) else None
        if isinstance(algorithm, str) and isinstance(kid, str | None) and made_for in ALGORITHMS and self._key_set:
            key = await self._key_set.key(kid)
            if key and key.algorithm_name == made_for:
                return algorithm, [key.key]
        raise UnauthorizedError("No key of this server verifies tokens of this algorithm and key id.")

    def _claims(self, token: str, algorithm: str, keys: Sequence[Key]) -> dict[str, Any]:
        """Return the claims of a token that one of `keys` has signed. Raises PyJWTError."""
        try:
            return jwt.decode(
                token,
                keys[0],
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                # `iat` says how old a token is (RFC 7519, 4.1.6); `nbf` and `exp` say when it is valid.
                options={
                    "require": ["exp", "sub"],
                    "verify_aud": self._audience is not None,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidSignatureError:
            if len(keys) == 1:
                raise
            return self._claims(token, algorithm, keys[1:])
