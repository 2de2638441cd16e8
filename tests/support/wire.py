"""A network between the API and PostgreSQL that counts round trips, hangs and breaks."""

import select
import socket
import socketserver
import ssl
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Wire(socketserver.ThreadingTCPServer):
    """Passes on connections to the server of a URL; `url` leads through it. Refuses them until it is opened."""

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler, bind_and_activate=False)
        self.server_bind()  # the port is ours, but nobody listens
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        self._address = f"postgresql://{login}@127.0.0.1:{self.server_address[1]}{parts.path}"
        self.url = f"{self._address}?sslmode=disable"
        self._start_tls: Any = None
        self.connections = 0
        self.round_trips = 0
        self._upstream = parse_qs(parts.query)
        self._serving = threading.Thread(target=self.serve_forever, args=[0.02])
        self._networks: list[threading.Event] = []
        self._clients: list[socket.socket] = []
        self._broken = False
        self._withholds_ends = False
        self._refuses_several = False
        self._remaining: int | None = None
        self._dropped: bytes | None = None
        self.replace()

    def open(self) -> None:
        """Accept connections."""
        self.server_activate()
        self._serving.start()

    def freeze(self) -> None:
        """Pass on nothing more. New connections are accepted, and met with silence."""
        self._networks[-1].clear()

    def thaw(self) -> None:
        """Pass on everything again."""
        for network in self._networks:
            network.set()

    def replace(self) -> None:
        """Pass on what comes on new connections; a frozen old one stays so for ever, as after a failover."""
        network = threading.Event()
        network.set()
        self._networks.append(network)

    def withhold_ends(self) -> None:
        """Pass on the server's last words, but not yet that it has closed a connection."""
        self._withholds_ends = True

    def encrypt(self, certificate: Path, key: Path, *, direct: bool) -> None:
        """Speak TLS with clients: at once, or when they ask for it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["postgresql"])
        self.url = f"{self._address}?sslmode=require&sslnegotiation={'direct' if direct else 'postgres'}"

        def start_tls(client: socket.socket) -> socket.socket:
            if not direct:
                client.recv(8)  # SSLRequest
                client.sendall(b"S")
            return context.wrap_socket(client, server_side=True)

        self._start_tls = start_tls

    def refuse_several(self) -> None:
        """Break connections on which a client sends more than one message at once, as a simple proxy may."""
        self._refuses_several = True

    def drop(self, parameter: str) -> None:
        """Leave this parameter out of what clients ask for when they connect, as the proxy of a service may."""
        self._dropped = parameter.encode()

    def cut_after(self, number: int | None) -> None:
        """Break the connection on which the server says so many bytes more, after them; None: do not."""
        self._remaining = number

    def lead_to(self, url: str) -> None:
        """Connect new connections to the server of another URL."""
        self._upstream = parse_qs(urlsplit(url).query)

    def cut(self) -> None:
        """Break every connection, and each new one until `mend` is called."""
        self._broken = True
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Pass on new connections again."""
        self._broken = False

    def close(self) -> None:
        """Break everything, for good."""
        self.thaw()
        self.cut()
        if self._serving.is_alive():
            self.shutdown()
        self.server_close()

    def finish_request(self, request: Any, client_address: object) -> None:
        """Pass on what comes on one connection."""
        del client_address
        if self._broken:
            return
        self.connections += 1
        self._clients.append(request)
        network = self._networks[-1]
        if self._start_tls:
            request = self._start_tls(request)
        with closing(request), closing(self._connect(request)) as server, suppress(OSError):
            other = {server: request, request: server}  # its last words before what it does not take any more
            last = server
            while True:
                readable, _, _ = select.select([*other], [], [])
                for one in readable:
                    network.wait()
                    if not (data := _received(one)):
                        if one is request or not self._withholds_ends:
                            _drain(request)
                            return
                        del other[server]
                        break
                    self.round_trips += one is request and last is server  # whatever it says at once
                    last = one
                    if one is request and self._refuses_several and _is_query_and_more(data):
                        return
                    if one is server and self._remaining is not None:
                        data = data[: self._remaining]
                        self._remaining -= len(data)
                    other[one].sendall(data)
                    if one is server and self._remaining == 0:
                        self._remaining = None
                        return

    def _connect(self, client: socket.socket) -> socket.socket:
        server = self._server()
        if self._dropped is not None:
            server.sendall(_without(self._dropped, client.recv(65536)))
        return server

    def _server(self) -> socket.socket:
        [host], [port] = self._upstream["host"], self._upstream["port"]
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server


def _without(parameter: bytes, startup: bytes) -> bytes:
    """Return a startup message (a length, a version, names and values) without a parameter."""
    words = startup[8:-2].split(b"\0")
    pairs = [(name, value) for name, value in zip(words[::2], words[1::2], strict=True) if name.lower() != parameter]
    body = startup[4:8] + b"".join(name + b"\0" + value + b"\0" for name, value in pairs) + b"\0"
    return (len(body) + 4).to_bytes(4, "big") + body


def _drain(client: socket.socket) -> None:
    """Read what nobody will: closed with that unread, a connection is reset, and the client may miss the last words."""
    client.settimeout(0)
    with suppress(OSError):
        while client.recv(65536):
            pass


def _received(one: socket.socket) -> bytes:
    """Return what came, all that select does not see."""
    data = one.recv(65536)
    while isinstance(one, ssl.SSLSocket) and one.pending():
        data += one.recv(65536)
    return data


def _is_query_and_more(data: bytes) -> bool:
    """Return whether this is a Query message (a type, a length, a body) and another message."""
    return data[:1] == b"Q" and len(data) > 1 + int.from_bytes(data[1:5], "big")
