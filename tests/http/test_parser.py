"""Requests that offer another protocol, as Java's HttpClient does with each one that is not encrypted."""

import re
import socket

import httpx2
import pytest

from tests.support.tokens import make_token

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
WEBSOCKET = ("Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
BODY = '{"text": "Buy milk"}'
CHUNKED = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"


def post(*lines: str, body: str) -> bytes:
    """Return a request of Alice."""
    who = f"Authorization: Bearer {make_token('alice')}"
    return "\r\n".join(
        ["POST /tasks HTTP/1.1", "Host: x", who, "Content-Type: application/json", *lines, "", body]
    ).encode()


def pieces(request: bytes, size: int) -> list[bytes]:
    return [request[start : start + size] for start in range(0, len(request), size)]


@pytest.mark.parametrize("size", [1_000_000, 7], ids=["in one piece", "in many pieces"])
def test_a_request_that_offers_another_protocol_keeps_its_body(size: int, base_url: str, alice: httpx2.Client) -> None:
    requests = (
        post(*H2C, f"Content-Length: {len(BODY)}", body=BODY)
        + post("Transfer-Encoding: chunked", *H2C, body=CHUNKED)
        + post(*WEBSOCKET, f"Content-Length: {len(BODY)}", body=BODY)
        + b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    url = httpx2.URL(base_url)
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces(requests, size):
            connection.sendall(piece)
        received = connection.makefile("rb").read()

    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"201", b"201", b"201", b"200"]
    assert [task["text"] for task in alice.get("/tasks").json()["items"]] == ["Buy milk"] * 3
