"""An HTTP client that takes less CPU time than the server: HTTP/1.1 on connections that are kept open, and no more."""

import asyncio
import random
import re
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson

from benchmarks.soak.tally import Tally

TIMEOUT = 30.0  # seconds: longer than any request may take
IDLE = 3.0  # seconds that an idle connection is kept: less than uvicorn's --timeout-keep-alive, 5
TRIES, PAUSE = 60, 0.5  # of a creation that is repeated, and seconds between them
MARK = re.compile(rb"of:([^;]+);")  # each text and each name says whose it is


class Caller(NamedTuple):
    """Who calls, and the tenants whose rows they may see."""

    user: str
    token: str
    tenants: frozenset[str]


class Reply(NamedTuple):
    """A response, or that there was none: then `status` is 0."""

    status: int
    reason: str  # the code of a problem, or why there was no response
    request_id: str
    etag: str = ""
    is_replayed: bool = False
    body: Any = None

    @property
    def is_unknown(self) -> bool:
        """Whether it is unknown if the request was carried out.

        After a 503 nothing was saved, unless the connection to the database was lost meanwhile: docs/frontend.md.
        """
        if self.status == 0:
            return self.reason != "refused"
        return self.status == 500 or self.reason == "database_unavailable"

    @property
    def is_failure(self) -> bool:
        """Whether it failed for a reason that is not the request's."""
        return self.status in {0, 429} or self.status >= 500


class Client:
    """Sends requests to one address, and counts the responses."""

    def __init__(self, port: int, tally: Tally, chance: random.Random) -> None:
        """Connect to `port` when the first request is sent."""
        self.abandons = 0.0  # the part of the requests that are cut off before their response
        self._port = port
        self._tally = tally
        self._chance = chance
        self._count = 0
        self._idle: list[tuple[float, StreamReader, StreamWriter]] = []

    async def request(
        self, caller: Caller, method: str, path: str, expected: set[int], body: object = None, **headers: str
    ) -> Reply:
        """Return the response, which has one of the `expected` statuses unless it failed. `if_match` is If-Match."""
        self._count += 1
        request_id = f"soak-{self._count}"
        content = b"" if body is None else orjson.dumps(body)
        names = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        if content:
            names.append("content-type: application/json\r\n")
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: soak\r\nauthorization: Bearer {caller.token}\r\n"
            f"x-request-id: {request_id}\r\ncontent-length: {len(content)}\r\n{''.join(names)}\r\n"
        )
        is_abandoned = self._chance.random() < self.abandons
        started = time.monotonic()
        reply, raw = await self._exchange(
            head.encode() + content, request_id, self._chance.uniform(0, 0.02) if is_abandoned else TIMEOUT
        )
        if is_abandoned and reply.reason == "timeout":
            reply = reply._replace(reason="abandoned")
        self._tally.count(reply.status, reply.reason, request_id, started, is_failure=reply.is_failure)
        if reply.status not in expected and not reply.is_failure:
            what = f"{method} {path} by {caller.user}: {reply.status} {reply.reason}, not {expected}"
            self._tally.violation("contract", what, request_id)
        foreign = {mark.decode() for mark in MARK.findall(raw)} - caller.tenants
        if foreign:
            self._tally.violation("isolation", f"{caller.user} was shown a row of {', '.join(foreign)}", request_id)
        return reply

    async def _exchange(self, message: bytes, request_id: str, seconds: float) -> tuple[Reply, bytes]:
        try:
            reader, writer = self._kept() or await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return Reply(0, "refused", request_id), b""
        try:
            async with asyncio.timeout(seconds):
                writer.write(message)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                body = await reader.readexactly(int(_header(head, b"content-length") or 0))
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            writer.transport.abort()
            return Reply(0, "timeout" if isinstance(error, TimeoutError) else "connection lost", request_id), b""
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        if _header(head, b"connection") == b"close":
            writer.close()
        else:
            self._idle.append((time.monotonic(), reader, writer))
        return _reply(head, body, request_id), body

    def _kept(self) -> tuple[StreamReader, StreamWriter] | None:
        oldest = time.monotonic() - IDLE
        while self._idle:
            since, reader, writer = self._idle.pop()
            if since > oldest and not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    def close(self) -> None:
        """Close all connections."""
        for _, _, writer in self._idle:
            writer.close()


async def until_created(post: Callable[[], Awaitable[Reply]]) -> Reply:
    """Repeat a creation under one Idempotency-Key until it is acknowledged; return the last reply."""
    for _ in range(TRIES):
        if (reply := await post()).status == 201:
            break
        await asyncio.sleep(PAUSE)
    return reply


def _reply(head: bytes, body: bytes, request_id: str) -> Reply:
    status = int(head[9:12])
    content: Any = orjson.loads(body) if body else None
    reason = content["code"] if status >= 400 else ""
    etag = (_header(head, b"etag") or b"").decode().upper()  # the T between date and time
    return Reply(status, reason, request_id, etag, b"idempotency-replayed:" in head, content)


def _header(head: bytes, name: bytes) -> bytes | None:
    """Return the value of a header from a head in lower case."""
    _, _, rest = head.partition(b"\r\n" + name + b": ")
    return rest.partition(b"\r\n")[0] or None
