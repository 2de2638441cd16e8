"""What /openapi.json promises about every route, and that it is true."""

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from api.health.routes import DatabaseHealth, Health, Liveness
from api.http import docs_page as docs
from api.http.openapi import FieldError, HealthProblem, Problem
from api.tasks.models import DeletedCount, Task, TaskBulkResult, TaskPage, Text
from tests.support.database import ROOT
from tests.support.routes import APP, CONTEXTS, NEEDS_TOKEN, OPEN, ROUTES, SOME_ID, operation, resolve, response


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as a code generator reads it."""
    document: dict[str, Any] = json.loads(json.dumps(APP.openapi()))
    return document


def values_of(key: str, tree: object) -> Iterator[object]:
    """Yield what stands under `key`, anywhere in the tree."""
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, branch in branches:
        if name == key:
            yield branch
        yield from values_of(key, branch)


# ---- every route -------------------------------------------------------------------------------------


def test_every_route_is_known_here(document: dict[str, Any]) -> None:
    others = {context.path for context in CONTEXTS if not isinstance(context.original_route, APIRoute)}
    documented = [
        (method.upper(), path) for path, item in document["paths"].items() for method in item if method != "parameters"
    ]

    assert others == {"/openapi.json", "/docs", "/metrics", *(f"/docs/assets/{name}" for name in docs.NAMES)}
    assert sorted(documented) == ROUTES
    assert set(ROUTES) > OPEN
    assert len(NEEDS_TOKEN) >= 8


def test_every_route_but_health_wants_a_token_and_says_so(anonymous: httpx2.Client, document: dict[str, Any]) -> None:
    [(name, scheme)] = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for method, path in NEEDS_TOKEN:
        answer = anonymous.request(method, path.format(task_id=SOME_ID))

        assert (method, path, answer.status_code) == (method, path, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert operation(document, method, path)["security"] == [{name: []}]


def test_health_is_open_and_says_so(anonymous: httpx2.Client, document: dict[str, Any]) -> None:
    for method, path in OPEN:
        assert anonymous.request(method, path).status_code == 200
        assert "security" not in operation(document, method, path)


def expected_errors(method: str, path: str) -> set[str]:
    """Return the errors that every such route can answer, whatever it does."""
    if (method, path) in OPEN:
        return set() if path == "/health/live" else {"503"}
    errors = {"401", "422", "500", "503"}
    if "{" in path:
        errors |= {"404"}
        errors |= {"412"} if method != "GET" else set()
    if (method, path) == ("PATCH", "/tasks"):
        errors |= {"404"}
    if method in {"POST", "PUT", "PATCH"}:
        errors |= {"413", "415"}
    return errors


def test_every_route_documents_every_error_it_can_answer(document: dict[str, Any]) -> None:
    for method, path in ROUTES:
        errors = {status for status in operation(document, method, path)["responses"] if status >= "400"}

        assert (method, path, errors) == (method, path, expected_errors(method, path))
        for status in errors:
            [(media_type, content)] = response(document, method, path, status)["content"].items()
            model = "Problem" if "500" in errors else "HealthProblem"
            assert (media_type, content["schema"]) == (
                "application/problem+json",
                {"$ref": f"#/components/schemas/{model}"},
            )


def test_no_request_waits_for_a_thread() -> None:
    def calls(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
        yield dependant.call
        for dependency in dependant.dependencies:
            yield from calls(dependency)

    routes = [context.original_route for context in CONTEXTS if isinstance(context.original_route, APIRoute)]
    called = {call for route in routes for call in calls(route.dependant)}
    assert len(called) > len(ROUTES)
    for call in called:  # FastAPI runs in a thread whatever is no coroutine
        assert inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__), call


# ---- the document ------------------------------------------------------------------------------------


def test_the_committed_document_is_this_one() -> None:
    committed = (ROOT / "api" / "openapi.json").read_text()

    assert committed == json.dumps(APP.openapi(), indent=2, ensure_ascii=False) + "\n", "run make openapi"


def test_the_command_prints_it_without_any_settings() -> None:
    environment = {"PATH": os.environ["PATH"], "JWT_SECRET": "too short"}
    done = subprocess.run(
        [sys.executable, "-m", "api", "openapi"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout == (ROOT / "api" / "openapi.json").read_text()


def test_the_document_is_served_to_anybody(anonymous: httpx2.Client, document: dict[str, Any]) -> None:
    answer = anonymous.get("/openapi.json")

    assert (answer.status_code, answer.json()) == (200, document)
    assert "/openapi.json" in anonymous.get("/docs").text


def test_the_document_is_openapi_3_1_and_whole(document: dict[str, Any]) -> None:
    references = [{"$ref": reference} for reference in values_of("$ref", document)]
    operations = [operation(document, *route) for route in ROUTES]

    assert document["openapi"].startswith("3.1.")
    assert all(resolve(document, reference) for reference in references)
    assert "HTTPValidationError" not in json.dumps(document)
    assert all(re.fullmatch(r"[A-Z][a-z]+ .+[^.]", each["summary"]) for each in operations), "a sentence, for a person"


def test_operation_ids_are_function_names(document: dict[str, Any]) -> None:
    one, many = "/tasks/{task_id}", "/tasks"
    assert {operation(document, *route)["operationId"]: route for route in ROUTES} == {
        "createTask": ("POST", many),
        "listTasks": ("GET", many),
        "changeTasks": ("PATCH", many),
        "clearTasks": ("DELETE", many),
        "readTask": ("GET", one),
        "replaceTask": ("PUT", one),
        "changeTask": ("PATCH", one),
        "deleteTask": ("DELETE", one),
        "readHealth": ("GET", "/health"),
        "readDatabaseHealth": ("GET", "/health/db"),
        "readLiveness": ("GET", "/health/live"),
    }


def test_bodies_are_described_as_strictly_as_they_are_read(document: dict[str, Any]) -> None:
    for name in ("TaskCreate", "TaskReplace", "TaskUpdate", "TaskBulkUpdate", "TaskBulkItem"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False
    assert document["components"]["schemas"]["TaskReplace"]["required"] == ["text", "completed", "order"]
    new = document["components"]["schemas"]["TaskCreate"]
    assert new["required"] == ["text"]
    assert [*values_of("default", new)] == []  # what is generated from it would make them required


def test_white_space_means_the_same_to_all_who_read_the_document(document: dict[str, Any]) -> None:
    pattern = document["components"]["schemas"]["TaskCreate"]["properties"]["text"]["pattern"]
    text = TypeAdapter(Text)

    refused = [each for each in map(chr, range(0xD800)) if not re.search(pattern, each)]

    spaces = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    assert "".join(refused) == "\x00" + spaces + "\u2028\u2029\u202f\u205f\u3000"
    assert "\\s" not in pattern
    for each in refused:
        with pytest.raises(ValidationError):
            text.validate_python(each)


def test_headers_are_described_as_strictly_as_they_are_read(document: dict[str, Any], alice: httpx2.Client) -> None:
    """With a pattern that Python and JavaScript read alike."""
    where = {"/tasks": "/tasks", "/tasks/{task_id}": alice.post("/tasks", json={"text": "x"}).headers["location"]}
    sent = {
        ("POST", "/tasks", "Idempotency-Key"): ('"a b"', '"a\\\\b"', "k" * 255, f'"{"k" * 256}"', "a b", '"', ""),
        ("PATCH", "/tasks/{task_id}", "If-Match"): ("*", '"1"', 'W/"1", "2"', ', "é" ,', "1", '"1', "**", "* *", ""),
    }
    for (method, path, name), values in sent.items():
        parameters = operation(document, method, path)["parameters"]
        [pattern] = [each["schema"]["pattern"] for each in parameters if each["name"] == name]
        for value in values:
            headers = {name.encode(): value.encode("latin-1")}
            answer = alice.request(method, where[path], json={"text": "Buy milk"}, headers=headers)

            assert bool(re.search(pattern, value)) == (answer.status_code != 422), (name, value)


def test_a_change_is_described_without_nulls_and_without_defaults(document: dict[str, Any]) -> None:
    change = document["components"]["schemas"]["TaskUpdate"]

    assert {name: field["type"] for name, field in change["properties"].items()} == {
        "text": "string",
        "completed": "boolean",
        "order": "integer",
    }
    assert [*values_of("default", change), *values_of("anyOf", change), *values_of("nullable", change)] == []
    assert "required" not in change
    assert change["minProperties"] == 1


def test_one_of_many_is_described_as_strictly_as_a_change(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    one, many = schemas["TaskBulkItem"], schemas["TaskBulkUpdate"]["properties"]["tasks"]

    assert [*values_of("default", one), *values_of("anyOf", one), *values_of("nullable", one)] == []
    assert (one["required"], one["minProperties"]) == (["id"], 2)
    assert (many["minItems"], many["maxItems"]) == (1, 500)


def test_headers_are_described_where_they_are_read_and_answered(document: dict[str, Any]) -> None:
    read: dict[tuple[str, str], set[str]] = {}
    answered: dict[tuple[str, str, str], set[str]] = {}
    for method, path in ROUTES:
        described = operation(document, method, path)
        read[method, path] = {each["name"] for each in described.get("parameters", []) if each["in"] == "header"}
        for each in document["paths"][path]["parameters"]:
            read[method, path].add(resolve(document, each)["name"])
        for status in described["responses"]:
            answered[method, path, status] = set(response(document, method, path, status)["headers"])

    for each in (*read.values(), *answered.values()):
        each.remove("X-Request-ID")  # everywhere
    one = "/tasks/{task_id}"
    assert {route: names for route, names in read.items() if names} == {
        ("POST", "/tasks"): {"Idempotency-Key"},
        ("GET", one): {"If-None-Match"},
        **{(method, one): {"If-Match"} for method in ("PUT", "PATCH", "DELETE")},
    }
    assert {route: names for route, names in answered.items() if names and route[2] not in {"401", "503"}} == {
        ("POST", "/tasks", "201"): {"Location", "ETag", "Idempotency-Replayed"},
        ("GET", "/tasks", "200"): {"Link"},
        **{("GET", one, status): {"ETag"} for status in ("200", "304")},
        **{(method, one, status): {"ETag"} for method in ("PUT", "PATCH") for status in ("200", "412")},
        ("DELETE", one, "412"): {"ETag"},
    }


def test_a_change_may_be_sent_as_a_merge_patch_and_nothing_else_may(document: dict[str, Any]) -> None:
    bodies = {
        route: operation(document, *route)["requestBody"]["content"]
        for route in ROUTES
        if "requestBody" in operation(document, *route)
    }

    change = bodies.pop(("PATCH", "/tasks/{task_id}"))
    assert change["application/merge-patch+json"] == change["application/json"]
    assert len(change) == 2
    assert {tuple(each) for each in bodies.values()} == {("application/json",)}


def test_answers_are_described_without_fields_that_may_be_missing(document: dict[str, Any]) -> None:
    for name in ("Task", "TaskPage", "TaskBulkResult", "DeletedCount", "Health", "DatabaseHealth", "Liveness"):
        schema = document["components"]["schemas"][name]
        assert set(schema["required"]) == schema["properties"].keys()


# ---- and what is answered ----------------------------------------------------------------------------


class Exactly(BaseModel):
    """Nothing but what is declared, and nothing converted beyond what JSON cannot say."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ExactTask(Task, Exactly): ...


class ExactTaskPage(TaskPage, Exactly):
    items: list[ExactTask]  # type: ignore[assignment]


class ExactTaskBulkResult(TaskBulkResult, Exactly):
    items: list[ExactTask]  # type: ignore[assignment]


class ExactDeletedCount(DeletedCount, Exactly): ...


class ExactFieldError(FieldError, Exactly): ...


class ExactProblem(Problem, Exactly):
    errors: list[ExactFieldError] = Field(default_factory=list)  # type: ignore[assignment]


class ExactHealthProblem(HealthProblem, Exactly): ...


class ExactHealth(Health, Exactly): ...


class ExactDatabaseHealth(DatabaseHealth, Exactly): ...


class ExactLiveness(Liveness, Exactly): ...


MODELS = {
    f"#/components/schemas/{model.__name__.removeprefix('Exact')}": model
    for model in (
        *(ExactTask, ExactTaskPage, ExactTaskBulkResult, ExactDeletedCount, ExactProblem),
        *(ExactHealth, ExactDatabaseHealth, ExactLiveness, ExactHealthProblem),
    )
}


def assert_as_documented(answer: httpx2.Response, document: dict[str, Any], path: str) -> None:
    """The status is documented for this route, and the body is what is documented for this status."""
    documented = response(document, answer.request.method, path, answer.status_code)
    headers = {name.lower(): resolve(document, header) for name, header in documented["headers"].items()}
    ours = {name.lower() for name in document["components"]["headers"]} & answer.headers.keys()
    assert {name for name, header in headers.items() if header.get("required")} <= ours <= headers.keys()
    if "content" not in documented:
        assert (answer.content, "content-type" in answer.headers) == (b"", False)
        return
    schema = documented["content"][answer.headers["content-type"]]["schema"]
    MODELS[schema["$ref"]].model_validate_json(answer.content)


def test_what_is_answered_is_what_is_documented(alice: httpx2.Client, document: dict[str, Any]) -> None:
    seen: set[tuple[str, str, int]] = set()

    def ask(method: str, path: str, suffix: str = "", **more: Any) -> httpx2.Response:
        answer = alice.request(method, path.format(task_id=task_id) + suffix, **more)
        assert_as_documented(answer, document, path)
        seen.add((method, path, answer.status_code))
        return answer

    task_id = str(SOME_ID)
    whole = {"text": "Buy milk", "completed": True, "order": 3}
    one = "/tasks/{task_id}"
    for each in OPEN:
        ask(*each)
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        ask(method, one, json=None if method in {"GET", "DELETE"} else whole)
    for method, path in NEEDS_TOKEN:
        ask(method, path, headers={"Authorization": ""})
    for method, path in (("POST", "/tasks"), ("PATCH", "/tasks"), ("PUT", one), ("PATCH", one)):
        ask(method, path, json={})
        ask(method, path, json=whole | {"text": "x" * 70_000})
        ask(method, path, content="text=x")
    ask("GET", "/tasks", "?limit=0")
    ask("DELETE", "/tasks")
    ask("PATCH", "/tasks", json={"tasks": [{"id": task_id, "order": 1}]})
    ask("GET", one, "x")
    ask("DELETE", one, "x")
    task_id = ask("POST", "/tasks", json={"text": "Buy milk"}).json()["id"]
    for _ in range(2):
        ask("POST", "/tasks", json=whole, headers={"Idempotency-Key": '"the-key"'})
    ask("PATCH", "/tasks", json={"tasks": [{"id": task_id, "order": 1}]})
    ask("GET", "/tasks")
    ask("GET", "/tasks", "?limit=1")
    tag = ask("GET", one).headers["etag"]
    ask("GET", one, headers={"If-None-Match": tag})
    ask("PUT", one, json=whole)
    for method in ("PUT", "PATCH", "DELETE"):
        ask(method, one, json=None if method == "DELETE" else whole, headers={"If-Match": tag})
    ask("PATCH", one, json={"completed": False})
    ask("DELETE", one)
    ask("DELETE", "/tasks", "?completed=true")

    documented = {(*route, int(status)) for route in ROUTES for status in operation(document, *route)["responses"]}
    assert {each for each in documented - seen if each[2] < 500} == set()
