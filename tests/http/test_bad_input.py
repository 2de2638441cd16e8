"""Bodies that are not valid: refused with a reason and a place, and no row has changed."""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import product
from typing import NamedTuple

import httpx2
import psycopg
import pytest

from tests.support.refusals import assert_refused, untouched

WRITES = ("POST", "PUT", "PATCH")
GOOD = {
    "text": '"Buy milk"',
    "completed": "false",
    "order": "0",
}  # as JSON, so that a test can send what no library will
JSON = {"Content-Type": "application/json"}
LIMIT = 64 * 1024


class Stage(NamedTuple):
    """Alice, a task of hers, and a guard over all rows."""

    alice: httpx2.Client
    task: str
    untouched: Callable[[], AbstractContextManager[None]]

    def send(self, method: str, content: bytes | Iterator[bytes], headers: dict[str, str] = JSON) -> httpx2.Response:
        """Send `content` where Alice may write."""
        return self.alice.request(method, "/tasks" if method == "POST" else self.task, content=content, headers=headers)


@pytest.fixture
def stage(admin: psycopg.Connection, alice: httpx2.Client, bob: httpx2.Client) -> Stage:
    bob.post("/tasks", json={"text": "Bob's"})
    task = alice.post("/tasks", json={"text": "Alice's"}).headers["location"]
    return Stage(alice, task, partial(untouched, admin))


def body(**fields: str) -> bytes:
    """Return a body that is good but for `fields`, each given as JSON."""
    return ("{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in (GOOD | fields).items()) + "}").encode()


BAD_VALUES = {
    "text": (
        '""',
        '"   "',
        r'"\t\r\n\u000b\u000c"',
        '"\u00a0\u2003\u3000\u0085"',
        f'"{"x" * 501}"',
        f'"{"𝄞" * 501}"',
        r'"\u0000"',
        r'"a\u0000b"',
        r'"\ud800"',
        r'"Buy \udc00 milk"',
        r'"\udc00\ud800"',
        *("null", "true", "1", "1.5", "NaN", "[]", '["Buy milk"]', "{}"),
    ),
    "completed": ("null", "1", "0", "1.0", '"yes"', '"true"', '""', "NaN", "[]", "[true]", "{}"),
    "order": (
        *("2147483648", "-2147483649", "9223372036854775808", "1" + "0" * 4000),
        *("1.5", "-0.1", "1e400", "NaN", "Infinity", "-Infinity"),
        *("null", "true", "false", '"1"', '""', "[]", "[1]", "{}"),
    ),
}


def test_a_value_that_a_field_does_not_take_is_refused(stage: Stage, subtests: pytest.Subtests) -> None:
    cases = [(field, value) for field, values in BAD_VALUES.items() for value in values]
    for method, (field, value) in product(WRITES, cases):
        with subtests.test(method, field=field, value=value[:40]), stage.untouched():
            assert_refused(stage.send(method, body(**{field: value})), 422, f"#/{field}")


def test_a_number_without_a_fraction_may_be_written_with_one(stage: Stage) -> None:
    for method, (written, order) in product(
        WRITES, {"10.0": 10, "1e2": 100, "-0.0": 0, "-2147483648.0": -(2**31)}.items()
    ):
        response = stage.send(method, body(order=written))
        assert (response.is_success, json.dumps(response.json()["order"])) == (True, str(order))


UNKNOWN_FIELDS = {
    "id": "#/id",
    "user_id": "#/user_id",
    "created_at": "#/created_at",
    "updated_at": "#/updated_at",
    "completed_at": "#/completed_at",
    "Text": "#/Text",
    "": "#/",
    "a/b~c": "#/a~1b~0c",
    "__class__": "#/__class__",
}


def test_an_unknown_field_is_refused(stage: Stage, subtests: pytest.Subtests) -> None:
    for method, (name, pointer) in product(WRITES, UNKNOWN_FIELDS.items()):
        with subtests.test(method, name=name), stage.untouched():
            assert_refused(stage.send(method, body(**{name: '"bob"'})), 422, pointer)


def test_a_field_whose_name_is_no_unicode_is_refused(stage: Stage, subtests: pytest.Subtests) -> None:
    for method, name in product(WRITES, ("\ud800", "a\udfff", "\x00")):
        with subtests.test(method, name=name.encode(errors="backslashreplace")), stage.untouched():
            response = stage.send(method, body(**{name: "1"}))
            assert_refused(response, 422, response.json()["errors"][0]["pointer"])


NO_OBJECT = {
    "empty": b"",
    "white space": b" \n",
    "cut off": b'{"text": "Buy milk"',
    "words": b"Buy milk",
    "single quotes": b"{'text': 'Buy milk'}",
    "a comma too many": b'{"text": "Buy milk",}',
    "more after it": body() + b"{}",
    "a line break in a string": body(text='"Buy\nmilk"'),
    "a number longer than Python reads": body(order="1" + "0" * 5000),
    "NUL bytes": b"\x00\x00\x00\x00",
    "not UTF-8": body().replace(b"Buy", b"\xff\xfe"),
    "UTF-8 cut off": body().replace(b"milk", b"\xf0\x9d\x84"),
    "Latin-1": body(text='"Käse"').decode().encode("latin-1"),
    "array": b"[]",
    "array of a task": b"[" + body() + b"]",
    "string": b'"Buy milk"',
    "number": b"1",
    "NaN": b"NaN",
    "true": b"true",
    "null": b"null",
    "deep array": b"[" * 10_000 + b"]" * 10_000,
    # In an array: how deep is too deep for Python depends on its version.
    "deep object": b"[" + b'{"text":' * 7_000 + b"1" + b"}" * 7_000 + b"]",
    "deep and never closed": b"[" * 60_000,
    "deep in a field": body(text="[" * 10_000 + "]" * 10_000),
    "UTF-16": body().decode().encode("utf-16"),
    "UTF-32": body().decode().encode("utf-32"),
    "a surrogate in UTF-8": body().replace(b"Buy", b"\xed\xa0\x80"),
    "two BOMs": b"\xef\xbb\xbf" * 2 + body(),
    "a name twice": body()[:-1] + b',"order":0}',
    "a name twice, once escaped": body()[:-1] + b',"\\u006frder":1}',
    "a name twice in an object of a field": body(text='{"a": 1, "a": 2}'),
}


def test_a_body_that_is_no_json_object_is_refused(stage: Stage, subtests: pytest.Subtests) -> None:
    for method, (name, content) in product(WRITES, NO_OBJECT.items()):
        with subtests.test(method, name=name), stage.untouched():
            assert_refused(stage.send(method, content), 422, "#")


CODES: dict[str, tuple[str, dict[str, object]]] = {
    "a comma too many": ("invalid_json", {"position": 20}),
    "not UTF-8": ("not_utf8", {}),
    "UTF-16": ("not_utf8", {}),
    "a name twice": ("repeated_name", {"name": "order"}),
    "a number longer than Python reads": ("too_many_digits", {}),
    "deep array": ("too_deep", {}),
    "array": ("wrong_type", {"expected": "object"}),
    "empty": ("missing", {}),
}


def test_why_a_body_is_no_json_has_a_code(stage: Stage) -> None:
    for name, (code, parameters) in CODES.items():
        [error] = stage.send("POST", NO_OBJECT[name]).json()["errors"]
        assert (error["code"], error | parameters) == (code, error), name


def test_a_byte_order_mark_is_ignored(stage: Stage) -> None:
    """RFC 8259, 8.1."""
    for method in WRITES:
        assert stage.send(method, b"\xef\xbb\xbf" + body()).is_success


def test_every_field_that_is_wrong_is_reported_at_once(stage: Stage) -> None:
    content = body(text='""', completed="1", order='"x"', user_id='"bob"')
    for method in WRITES:
        with stage.untouched():
            assert_refused(stage.send(method, content), 422, "#/text", "#/completed", "#/order", "#/user_id")


def in_chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 10_000):
        yield content[start : start + 10_000]


FRAMES: dict[str, Callable[[bytes], bytes | Iterator[bytes]]] = {"Content-Length": bytes, "chunked": in_chunks}


def test_a_body_of_more_than_64_kib_is_refused(stage: Stage, subtests: pytest.Subtests) -> None:
    for method, size, frame in product(WRITES, (LIMIT + 1, 2 * LIMIT, 20 * LIMIT), FRAMES):
        with subtests.test(method, size=size, frame=frame), stage.untouched():
            assert_refused(stage.send(method, FRAMES[frame](body().ljust(size))), 413)


def test_a_body_of_64_kib_is_read(stage: Stage) -> None:
    for method, frame in product(WRITES, FRAMES.values()):
        assert stage.send(method, frame(body().ljust(LIMIT))).is_success


NO_JSON = (
    *("", "json", "text/plain", "text/json", "application/xml", "application/jsonx", "application/octet-stream"),
    *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/problem+json"),
)
MERGE_PATCH = "application/merge-patch+json"


def test_a_body_that_does_not_say_it_is_json_is_refused(stage: Stage, subtests: pytest.Subtests) -> None:
    headers = ({}, *({"Content-Type": content_type} for content_type in NO_JSON))
    cases = [
        *product(WRITES, headers),
        *(("POST", {"Content-Type": MERGE_PATCH}), ("PUT", {"Content-Type": MERGE_PATCH})),
    ]
    for method, header in cases:
        with subtests.test(method, header=header), stage.untouched():
            assert_refused(stage.send(method, body(), header), 415)


def test_a_body_that_says_that_it_is_not_utf_8_or_compressed_is_refused(stage: Stage) -> None:
    for charset in ("iso-8859-1", "utf-16", "utf-16le", "windows-1252", "utf-7", "x"):
        with stage.untouched():
            response = stage.send("PUT", body(), {"Content-Type": f"application/json; charset={charset}"})
        assert_refused(response, 415)
        assert response.headers["accept"] == "application/json"
    for coding in ("gzip", "deflate", "br", "zstd", "identity, gzip"):
        with stage.untouched():
            response = stage.send("PUT", gzip.compress(body()), JSON | {"Content-Encoding": coding})
        assert_refused(response, 415)
        assert response.headers["accept-encoding"] == "identity"
    assert stage.send("PUT", body(), JSON | {"Content-Encoding": "identity"}).status_code == 200


def test_json_may_be_declared_as_the_standard_allows(stage: Stage) -> None:
    for content_type in (
        *("application/json; charset=utf-8", "Application/JSON", "application/json ;x=y", "application/json;"),
        *('application/json; charset="UTF-8"', "application/json;charset=utf8", "application/json; charset=us-ascii"),
    ):
        assert stage.send("POST", body(), {"Content-Type": content_type}).status_code == 201, content_type


def test_a_patch_may_be_declared_as_a_merge_patch(stage: Stage) -> None:
    for content_type in (MERGE_PATCH, "Application/Merge-Patch+JSON; charset=utf-8"):
        assert stage.send("PATCH", body(), {"Content-Type": content_type}).status_code == 200, content_type
        assert_refused(stage.send("PATCH", body(text="null"), {"Content-Type": content_type}), 422, "#/text")
