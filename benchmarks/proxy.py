"""A proxy between an app and PostgreSQL: it counts round trips, and delays them if asked to."""

import asyncio
import selectors
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

READY_FOR_QUERY = b"Z"  # the message that ends a round trip
HEADER = 5  # bytes of a message's type and length


class Proxy:
    """Passes on connections to a unix socket, everything `delay` seconds later, in each direction."""

    def __init__(self, upstream: Path, delay: float) -> None:
        """Name both ends."""
        self.upstream = upstream
        self.delay = delay
        self.round_trips = 0
        self.port = 0
        self.started = threading.Event()
        self.stop = asyncio.Event()

    def url(self, role: str, database: str) -> str:
        """Return the URL by which `role` reaches `database` through the proxy."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    async def serve(self) -> None:
        """Pass on until `stop` is set."""
        loop = asyncio.get_running_loop()
        self.loop = loop
        server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.started.set()
        await self.stop.wait()
        server.close()


class _End(asyncio.Protocol):
    """One end of a connection. What it receives, it sends to the other end."""

    transport: asyncio.Transport

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.other: _End | None = None
        self.waiting: deque[bytes] = deque()  # for the delay, or for the other end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.waiting.append(data)
        if self.proxy.delay:
            self.proxy.loop.call_later(self.proxy.delay, self.pass_on)
        else:
            self.pass_on()

    def pass_on(self) -> None:
        if self.other and self.waiting:
            self.other.transport.write(self.waiting.popleft())

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other:
            self.other.transport.close()


class _Client(_End):
    """The end towards the app."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connecting = self.proxy.loop.create_task(self.connect())

    async def connect(self) -> None:
        path = str(self.proxy.upstream)
        _, server = await self.proxy.loop.create_unix_connection(lambda: _Server(self.proxy), path)
        self.other, server.other = server, self
        while self.waiting:
            self.pass_on()


class _Server(_End):
    """The end towards PostgreSQL, whose messages are a type, a length and a body."""

    incomplete = b""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        data = self.incomplete + data
        while len(data) >= HEADER and len(data) > (length := int.from_bytes(data[1:HEADER], "big")):
            self.proxy.round_trips += data[:1] == READY_FOR_QUERY
            data = data[1 + length :]
        self.incomplete = data


@contextmanager
def proxy(socket_directory: Path, *, delay: float = 0.0) -> Iterator[Proxy]:
    """Run a proxy in a thread. Its loop waits with select(2), whose clock is finer than epoll's milliseconds."""
    made = Proxy(socket_directory / ".s.PGSQL.5432", delay)

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
            runner.run(made.serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    made.started.wait()
    try:
        yield made
    finally:
        made.loop.call_soon_threadsafe(made.stop.set)
        thread.join()
