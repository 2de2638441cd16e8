"""A proxy between an app and PostgreSQL: it counts round trips, makes each take longer if asked to, hangs and cuts.

A round trip is counted when the app sends something after it has received something, or for the first time: whatever it
sends without waiting belongs to the same one. (PostgreSQL's messages would not tell: `begin`, a statement and `commit`
that are sent at once get three ReadyForQuery.) The count is exact with a delay, during which the proxy receives all
that the app sends without waiting for a response.

The whole delay is on the way to PostgreSQL, which makes a round trip as long as a half of it in each direction would,
for half of the work. Blocking sockets and select(2) carry more than an event loop, and wait with microseconds.
"""

import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

CHUNK = 1 << 16  # bytes; malloc takes more than twice as much from the kernel, each time


class Proxy:
    """Passes on connections to a unix socket, what goes there `delay` seconds later; nothing while it `hangs`.

    Whoever changes one of the two calls `wake`.
    """

    def __init__(self, upstream: Path, delay: float) -> None:
        """Listen on a free port for connections to `upstream`."""
        self.round_trips = 0
        self._upstream = upstream
        self.delay = delay
        self.hangs = False
        self._is_to_cut = self._is_to_stop = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._wake, self._woken = socket.socketpair()
        self._clients: dict[socket.socket, socket.socket] = {}  # each with its connection to PostgreSQL
        self._servers: dict[socket.socket, socket.socket] = {}
        self._waiting: deque[tuple[float, socket.socket, bytes]] = deque()  # when, where to and what to send
        self._has_response: set[socket.socket] = set()  # clients that have received something since they sent anything

    def url(self, role: str, database: str) -> str:
        """Return the URL by which `role` reaches `database` through the proxy."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def serve(self) -> None:
        """Pass on until `stop` is called."""
        ends = (self._listener, self._woken)
        while True:
            connections = () if self.hangs else (*self._clients, *self._servers)
            is_due = self._waiting and not self.hangs
            timeout = max(0.0, self._waiting[0][0] - time.monotonic()) if is_due else None
            readable, _, _ = select([*ends, *connections], (), (), timeout)
            if self._woken in readable and not self._wake_up():
                break
            # What clients have sent comes first: it was sent before they could receive what comes now.
            for end in readable:
                if end in self._clients:
                    self._receive_request(end)
            for end in readable:
                if end in self._servers:
                    self._receive_response(end)
            self._send_requests()
            if self._listener in readable:
                self._accept()
        for end in (*ends, self._wake, *self._clients, *self._servers):
            end.close()

    def stop(self) -> None:
        """Make `serve` return."""
        self._is_to_stop = True
        self.wake()

    def cut(self) -> None:
        """Break all connections. New ones are passed on."""
        self._is_to_cut = True
        self.wake()

    def wake(self) -> None:
        """Have `serve` notice that something has changed."""
        self._wake.send(b".")

    def _wake_up(self) -> bool:
        """Return whether to go on."""
        self._woken.recv(CHUNK)
        if self._is_to_cut:
            self._is_to_cut = False
            self._waiting.clear()
            for client, server in [*self._clients.items()]:
                self._close(client, server)
        return not self._is_to_stop

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(self._upstream))
        except OSError:  # PostgreSQL is not running
            client.close()
            server.close()
            return
        self._clients[client] = server
        self._servers[server] = client
        self._has_response.add(client)

    def _receive_request(self, client: socket.socket) -> None:
        server = self._clients[client]
        data = _receive(client)
        if not data:
            self._close(client, server)
            return
        if client in self._has_response:
            self._has_response.remove(client)
            self.round_trips += 1
        self._waiting.append((time.monotonic() + self.delay, server, data))

    def _receive_response(self, server: socket.socket) -> None:
        client = self._servers[server]
        data = _receive(server)
        if not data or not _send(client, data):
            self._close(client, server)
            return
        self._has_response.add(client)

    def _send_requests(self) -> None:
        while not self.hangs and self._waiting and self._waiting[0][0] <= time.monotonic():
            _, server, data = self._waiting.popleft()
            if server in self._servers and not _send(server, data):
                self._close(self._servers[server], server)

    def _close(self, client: socket.socket, server: socket.socket) -> None:
        del self._clients[client], self._servers[server]
        self._has_response.discard(client)
        client.close()
        server.close()


def _receive(end: socket.socket) -> bytes:
    """Return what there is to read; nothing if the connection has ended."""
    try:
        return end.recv(CHUNK)
    except OSError:
        return b""


def _send(end: socket.socket, data: bytes) -> bool:
    """Return whether the connection is still there."""
    try:
        end.sendall(data)
    except OSError:
        return False
    return True


@contextmanager
def proxy(socket_directory: Path, *, delay: float = 0.0) -> Iterator[Proxy]:
    """Run a proxy in a thread. A round trip takes `delay` seconds longer."""
    made = Proxy(socket_directory / ".s.PGSQL.5432", delay)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join()
