"""The public keys behind a JWKS URL (RFC 7517): fetched in the background, kept, and asked for by name."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Container, Mapping
from contextlib import aclosing
from typing import Any

import httpx2
from jwt import PyJWK, PyJWTError

from api.http.problems import UnavailableError
from api.observability.metrics import fetch_failed, fetch_succeeded, keys_fetched

log = logging.getLogger("partywall.jwks")

ALGORITHMS = frozenset({"EdDSA", "ES256", "RS256"})
SYNONYMS = {"Ed25519": "EdDSA"}  # RFC 9864; a key for EdDSA must be one for Ed25519 here
RSA_BITS = 2048  # RFC 7518, 3.3: or larger
MAX_IGNORED = 20  # keys whose reasons are logged
MAX_BYTES = 64 * 1024
MAX_REDIRECTS = 5

# Seconds. A key that the key server withdraws is refused after the lifetime of its response at the latest.
FETCH_TIMEOUT = 5.0  # for the whole document
DEFAULT_LIFETIME = 600.0  # of a response whose Cache-Control does not tell
MIN_LIFETIME, MAX_LIFETIME = 60.0, 3600.0  # whatever it tells
COOL_DOWN = 30.0  # between two fetches for unknown key ids, and until a refresh that failed is repeated
REFRESH_AFTER = 0.8  # of the lifetime


class KeysUnavailableError(UnavailableError):
    """The token names a key that is not known, and the key server could not be asked for it."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("The token cannot be verified now: the key server does not respond. Try again in a moment.")


def parse(document: bytes) -> tuple[dict[str | None, PyJWK], list[str]]:
    """Return the usable keys of a JWKS document by their `kid`; of the others, which and why.

    Keys of other kinds are left out; above all symmetric and private ones, which a public document must not hold.
    A key without `kid` is usable if it is the only one. Raises ValueError when it is not a JWKS.
    """
    try:
        entries = json.loads(document)["keys"]
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"not a JWKS: {error!r}") from error
    if not isinstance(entries, list):
        raise ValueError("not a JWKS: keys is not an array")  # noqa: TRY004 - the document's fault, not the caller's
    keys: dict[str | None, PyJWK] = {}
    unnamed: dict[int, PyJWK] = {}
    ignored: dict[int, str] = {}
    for number, entry in enumerate(entries):
        try:
            kid, key = _kid(entry, keys), _usable(entry)
        except ValueError as reason:
            name = entry.get("kid") if isinstance(entry, dict) else None
            ignored[number] = f"key {number} (kid {name!r:.80}): {reason}"
        else:
            if kid is None:
                unnamed[number] = key
            else:
                keys[kid] = key
    if len(unnamed) == 1 and not keys:
        keys[None] = unnamed.popitem()[1]
    ignored |= {number: f"key {number}: it has no kid, and is not the only key" for number in unnamed}
    return keys, [ignored[number] for number in sorted(ignored)]


def _kid(entry: Any, others: Container[str | None]) -> str | None:  # noqa: ANN401 - what JSON can hold
    """Return the `kid` of a key, None if it has none. Raises ValueError with the reason why the key is ignored."""
    if not isinstance(entry, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - the document's fault, not the caller's
    kid = entry.get("kid")
    if "kid" in entry and (not isinstance(kid, str) or not kid):
        raise ValueError("its kid is no name")
    if kid in others:
        raise ValueError("another key has the same kid")
    return kid


def _usable(entry: Mapping[str, Any]) -> PyJWK:
    """Return a key. Raises ValueError with the reason why it is ignored, in which nothing of the key is.

    RFC 7517, 5: a key that cannot be understood is ignored, the others stay.
    """
    if entry.get("use") not in (None, "sig"):
        raise ValueError("its use is not sig")
    if "key_ops" in entry and not (isinstance(entry["key_ops"], list) and "verify" in entry["key_ops"]):
        raise ValueError("its key_ops have no verify")
    if "d" in entry or "k" in entry:
        raise ValueError("it is no public key, and must not be published")
    try:
        alg = entry.get("alg")
        key = PyJWK(dict(entry), SYNONYMS.get(alg, alg) if isinstance(alg, str) else None)
    except (PyJWTError, LookupError, TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from None  # PyJWT's message has the key
    if key.algorithm_name not in ALGORITHMS:
        raise ValueError(f"its algorithm is none of {', '.join(sorted(ALGORITHMS))}")
    if key.algorithm_name == "EdDSA" and entry.get("crv") != "Ed25519":
        raise ValueError("its curve is not Ed25519")
    if key.algorithm_name == "RS256" and key.key.key_size < RSA_BITS:
        raise ValueError(f"it has less than {RSA_BITS} bits")
    return key


def lifetime(cache_control: str) -> float:
    """Return for how many seconds a response with this Cache-Control (RFC 9111, 5.2.2) is kept: within our bounds."""
    directives = cache_control.lower()
    if re.search(r"\bno-(store|cache)\b", directives):
        return MIN_LIFETIME
    max_age = re.search(r'(?<![\w-])max-age="?([0-9]+)', directives)
    return min(max(float(max_age[1]), MIN_LIFETIME), MAX_LIFETIME) if max_age else DEFAULT_LIFETIME


class KeySet:
    """The keys of one JWKS URL. Known keys stay usable while the key server is down."""

    def __init__(self, url: str, *, on_change: Callable[[], None]) -> None:
        """Start to fetch, in the running event loop. `on_change` is called when a key was withdrawn or replaced."""
        self._url = url
        self._on_change = on_change
        # Uncompressed: a few bytes can unfold to gigabytes before anybody counts them.
        self._client = httpx2.AsyncClient(timeout=FETCH_TIMEOUT, headers={"Accept-Encoding": "identity"})
        self._keys: dict[str | None, PyJWK] = {}
        self._ignored: list[str] = []
        self._reachable = False
        self._cool_at = time.monotonic()  # when unknown key ids may cause the next fetch
        self._fetching = asyncio.Lock()
        self._refreshing = asyncio.create_task(self._refresh())

    async def key(self, kid: str | None) -> PyJWK | None:
        """Return the key named `kid`, or None. Waits only when it is unknown.

        Without a `kid` it is the only key that there is; an only key without one is any token's. Raises
        KeysUnavailableError when the key server cannot tell now whether the key exists.
        """
        if not (key := self._find(kid)):
            await self._fetch_unknown(kid)
            key = self._find(kid)
        if not key and not self._reachable:
            raise KeysUnavailableError
        return key

    def _find(self, kid: str | None) -> PyJWK | None:
        if None in self._keys or (kid is None and len(self._keys) == 1):
            [key] = self._keys.values()
            return key
        return self._keys.get(kid)

    async def aclose(self) -> None:
        """Stop fetching, and close the connections to the key server."""
        self._refreshing.cancel()
        await asyncio.wait([self._refreshing])
        await self._client.aclose()

    async def _fetch_unknown(self, kid: str | None) -> None:
        # Whoever else asks meanwhile waits for the same fetch. Made-up key ids must not make us flood the key server.
        async with self._fetching:
            if not self._find(kid) and time.monotonic() >= self._cool_at:
                self._cool_at = time.monotonic() + COOL_DOWN
                await self._fetch()

    async def _refresh(self) -> None:
        while True:
            async with self._fetching:
                kept = await self._fetch()
            await asyncio.sleep(COOL_DOWN if kept is None else REFRESH_AFTER * kept)

    async def _fetch(self) -> float | None:
        """Fetch the keys; return for how many seconds to keep them, or None if that failed."""
        try:
            document, kept = await self._download()
            keys, ignored = parse(document)
        except Exception as error:  # noqa: BLE001 - whatever the key server sends, refreshing must go on
            self._reachable = False
            fetch_failed.inc()
            log.warning("JWT_JWKS_URL could not be read: %s", error if isinstance(error, ValueError) else repr(error))
            return None
        fetch_succeeded.inc()
        keys_fetched().set_to_current_time()
        if ignored != self._ignored:
            log.warning("keys of JWT_JWKS_URL are ignored", extra={"ignored": ignored[:MAX_IGNORED]})
        self._ignored = ignored
        before, self._keys, self._reachable = self._keys, keys, True
        if any(kid not in keys or not _same(key, keys[kid]) for kid, key in before.items()):
            self._on_change()
        return kept

    async def _download(self) -> tuple[bytes, float]:
        """Return the document and for how many seconds to keep it.

        Raises ValueError for another status, a redirect elsewhere, or too much; TimeoutError, and what httpx2 raises.
        """
        request = self._client.build_request("GET", self._url)
        async with asyncio.timeout(FETCH_TIMEOUT):
            for _ in range(MAX_REDIRECTS + 1):
                response = await self._client.send(request, stream=True)
                async with aclosing(response):
                    if response.next_request is None:
                        if not response.is_success:  # httpx2's own error has the URL
                            raise ValueError(f"its status is {response.status_code}")
                        return await _read(response), lifetime(response.headers.get("Cache-Control", ""))
                request = _followed(request, response.next_request)
        raise ValueError(f"more than {MAX_REDIRECTS} redirects")


def _followed(request: httpx2.Request, redirected: httpx2.Request) -> httpx2.Request:
    """Return the request that a redirect asks for. Raises ValueError if it is to another origin: nobody chose that."""
    here, there = (f"{each.url.scheme}://{each.url.netloc.decode()}" for each in (request, redirected))
    if here != there:
        raise ValueError(f"it redirects from {here} to {there}, another origin: set it to where the keys are")
    return redirected


async def _read(response: httpx2.Response) -> bytes:
    document = b""
    async for chunk in response.aiter_raw():
        document += chunk
        if len(document) > MAX_BYTES:
            raise ValueError(f"the document is larger than {MAX_BYTES} bytes")
    return document


def _same(one: PyJWK, other: PyJWK) -> bool:
    return bool(one.algorithm_name == other.algorithm_name and one.key == other.key)
