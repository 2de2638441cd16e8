"""White space around the values of headers, and several lines of one header (RFC 9110, 5.3 and 5.5)."""

import json
import re
import socket
from typing import Any

import httpx2
import pytest

from tests.support.tasks import add, path
from tests.support.tokens import make_token


def send(base_url: str, request: str, *headers: str, body: str = "") -> tuple[int, dict[str, str], Any]:
    """Send a request whose headers are written exactly so; return status, headers and body of the response."""
    url = httpx2.URL(base_url)
    lines = [f"{request} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(body)}", *headers, "", body]
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        head, _, content = connection.makefile("rb").read().decode().partition("\r\n\r\n")
    start, *rest = head.split("\r\n")
    found = dict(re.split(": ", line.lower(), maxsplit=1) for line in rest)
    return int(start.split()[1]), found, json.loads(content) if content else None


SPACES = ("{}", " {}", "{} ", "\t{}\t", "  \t {} \t  ")


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_white_space_around_the_value_of_a_header_is_no_part_of_it(
    space: str, base_url: str, alice: httpx2.Client
) -> None:
    task = add(alice)
    tag, stale = f'"{task["updated_at"]}"', '"0"'
    who = f"Authorization:{space.format('bearer  ' + make_token('alice'))}"
    kind = f"Content-Type:{space.format('application/json; charset=UTF-8')}"
    body = '{"text": "Call Bob"}'

    assert send(base_url, "GET /tasks", who)[0] == 200
    assert send(base_url, f"GET {path(task)}", who, f"If-None-Match:{space.format(tag)}")[0] == 304
    assert send(base_url, f"GET {path(task)}", who, f"If-Match:{space.format('*')}")[0] == 200
    assert send(base_url, f"DELETE {path(task)}", who, f"If-Match:{space.format(stale)}")[0] == 412
    _, found, _ = send(base_url, "GET /health/live", f"X-Request-ID:{space.format('mine')}")
    assert found["x-request-id"] == "mine"
    made = [send(base_url, "POST /tasks", who, kind, f"Idempotency-Key:{space.format('a')}", body=body) for _ in "ab"]
    assert [status for status, _, _ in made] == [201, 201]
    assert made[0][2] == made[1][2]
    length = [f"Content-Encoding:{space.format('identity')}", f"Expect:{space.format('100-continue')}"]
    url = httpx2.URL(base_url)
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        lines = ["POST /tasks HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", who, kind, *length, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 201 ")


def test_lines_of_one_header_are_one_list(base_url: str, alice: httpx2.Client) -> None:
    task = add(alice)
    who, tag = f"Authorization: Bearer {make_token('alice')}", f'"{task["updated_at"]}"'

    assert send(base_url, f"GET {path(task)}", who, 'If-None-Match: "0"', f"If-None-Match: {tag}")[0] == 304
    assert send(base_url, f"GET {path(task)}", who, 'If-Match: "0"', f"If-Match: {tag}")[0] == 200
    for lines in (('If-Match: "0"', 'If-Match: "1,2"'), (f"If-None-Match: {tag}", 'If-None-Match: "0"')):
        assert send(base_url, f"DELETE {path(task)}", who, *lines)[0] == 412
    for lines in (("If-Match: *", f"If-Match: {tag}"), ("If-None-Match: *", 'If-None-Match: "0"')):
        assert send(base_url, f"DELETE {path(task)}", who, *lines)[0] == 422
    assert send(base_url, f"DELETE {path(task)}", who, 'If-Match: "0"', f"If-Match: {tag}")[0] == 204


def test_a_header_that_is_no_list_is_refused_when_it_comes_twice(base_url: str) -> None:
    who = f"Authorization: Bearer {make_token('alice')}"
    kind = "Content-Type: application/json"
    for status, *lines in (
        (422, kind, "Idempotency-Key: a", "Idempotency-Key: a"),
        (415, kind, "Content-Type: text/plain"),
        (415, kind, kind),
        (401, kind, who),
    ):
        assert send(base_url, "POST /tasks", who, *lines, body='{"text": "Buy milk"}')[0] == status, lines


def test_a_request_that_is_refused_for_its_headers_is_not_asked_for_its_body(base_url: str) -> None:
    url = httpx2.URL(base_url)
    for who, status in (("", 401), (f"Authorization: Bearer {make_token('alice')}\r\n", 415)):
        lines = f"POST /tasks HTTP/1.1\r\nHost: x\r\n{who}Content-Length: 9\r\nContent-Type: text/plain\r\n"
        with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
            connection.sendall(f"{lines}Expect: 100-continue\r\n\r\n".encode())
            assert connection.recv(1000).startswith(f"HTTP/1.1 {status} ".encode())
