"""A wire between the app and PostgreSQL that counts round trips, freezes and is cut."""

import contextlib
import socket
import threading
from typing import Self
from urllib.parse import parse_qs, urlsplit

READY_FOR_QUERY = b"Z"  # ends the answer to each message that the client waits for


class Wire:
    """Forwards connections to the server of a URL; `url` leads through it."""

    def __init__(self, url: str) -> None:
        """Listen on a free port of 127.0.0.1."""
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        host, port = query["host"][0], query["port"][0]
        self._server: str | tuple[str, int] = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._flowing = threading.Event()
        self._flowing.set()
        self._open = True
        self.round_trips = 0
        port = self._listener.getsockname()[1]
        # Without TLS, whose handshake is not made of messages.
        self.url = f"postgresql://{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}{parts.path}?sslmode=disable"

    def __enter__(self) -> Self:
        """Start forwarding."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cut everything."""
        self._flowing.set()
        self.cut()
        self._listener.close()

    def freeze(self) -> None:
        """Let nothing through, without closing anything: a server that hangs."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let everything through again."""
        self._flowing.set()

    def cut(self) -> None:
        """Close every connection that is open: a server that died. New ones are refused until `mend`."""
        self._open = False
        for end in self._sockets[1:]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        del self._sockets[1:]

    def mend(self) -> None:
        """Accept connections again."""
        self._open = True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self._open:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX if isinstance(self._server, str) else socket.AF_INET)
                server.connect(self._server)
                self._sockets += [client, server]
                threading.Thread(target=self._forward, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._forward, args=(server, client, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, count: bool) -> None:  # noqa: FBT001
        unread = b""
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65536):
                self._flowing.wait()
                if count:
                    unread = self._count(unread + data)
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def _count(self, data: bytes) -> bytes:
        """Count the messages that end a round trip; return what is incomplete."""
        while len(data) >= 5 and len(data) > (length := int.from_bytes(data[1:5], "big")):
            self.round_trips += data[:1] == READY_FOR_QUERY
            data = data[1 + length :]
        return data
