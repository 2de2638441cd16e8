"""The public keys behind a JWKS URL (RFC 7517), fetched when a token names one that is not known."""

import asyncio
import json
import logging
import time
from collections.abc import Callable

import httpx2
from jwt import PyJWK, PyJWTError

log = logging.getLogger("partywall.jwks")

ALGORITHMS = frozenset({"EdDSA", "ES256", "RS256"})
COOL_DOWN = 30.0  # seconds between two fetches: made-up key ids must not make us hammer the key server
TIMEOUT = 5.0  # seconds for a whole fetch
MAX_BYTES = 64 * 1024


class KeysUnavailableError(Exception):
    """The token names a key that is not known, and the key server could not be asked for it."""


def parse(document: bytes) -> dict[str, PyJWK]:
    """Return the usable keys of a JWKS document by their `kid`.

    Keys of other kinds are left out; above all symmetric ones, which a public document must not hold.
    Raises ValueError when it is not a JWKS.
    """
    try:
        entries = json.loads(document)["keys"]
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"not a JWKS: {error!r}") from error
    if not isinstance(entries, list):
        raise ValueError("not a JWKS: keys is not an array")  # noqa: TRY004 - the document's fault, not the caller's
    keys = (_usable(entry) for entry in entries if isinstance(entry, dict))
    return {key.key_id: key for key in keys if key and key.key_id}


def _usable(entry: dict[str, object]) -> PyJWK | None:
    # RFC 7517, 5: a key that cannot be understood is ignored, the others stay.
    if not isinstance(entry.get("kid"), str) or entry.get("use") not in (None, "sig"):
        return None
    try:
        key = PyJWK(entry)
    except (PyJWTError, LookupError, TypeError, ValueError, NotImplementedError):
        return None
    return key if key.algorithm_name in ALGORITHMS else None


class KeySet:
    """The keys of one JWKS URL. Keys once fetched stay usable while the key server is down."""

    def __init__(self, url: str, *, on_change: Callable[[], None]) -> None:
        """Start empty. `on_change` is called whenever keys came or went."""
        self._url = url
        self._on_change = on_change
        self._client = httpx2.AsyncClient(timeout=TIMEOUT)
        self._keys: dict[str, PyJWK] = {}
        self._fetching = asyncio.Lock()
        self._next_fetch = 0.0
        self._reachable = True

    async def key(self, kid: str) -> PyJWK | None:
        """Return the key named `kid`, or None. Raises KeysUnavailableError when that cannot be known now."""
        if kid not in self._keys:
            async with self._fetching:
                if kid not in self._keys and time.monotonic() >= self._next_fetch:
                    self._next_fetch = time.monotonic() + COOL_DOWN
                    await self._fetch()
        if kid not in self._keys and not self._reachable:
            raise KeysUnavailableError
        return self._keys.get(kid)

    async def aclose(self) -> None:
        """Close the connections to the key server."""
        await self._client.aclose()

    async def _fetch(self) -> None:
        try:
            keys = parse(await self._download())
        except (httpx2.HTTPError, OSError, ValueError) as error:
            self._reachable = False
            log.warning("JWT_JWKS_URL could not be read: %r", error)
            return
        self._reachable = True
        if keys.keys() != self._keys.keys():
            self._on_change()
        self._keys = keys

    async def _download(self) -> bytes:
        """Return the document. Raises ValueError when it is too large, and what httpx raises."""
        async with asyncio.timeout(TIMEOUT), self._client.stream("GET", self._url) as response:
            response.raise_for_status()
            document = b""
            async for chunk in response.aiter_bytes():
                document += chunk
                if len(document) > MAX_BYTES:
                    raise ValueError(f"the answer is larger than {MAX_BYTES} bytes")
            return document
