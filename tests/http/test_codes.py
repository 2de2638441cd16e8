"""Codes: every error has one, each of them is explained, and no error of pydantic's is without one."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, TypeAdapter

from api.commands.new_fields import TYPES
from api.http import fields
from api.http.codes import BY_STATUS, ERRORS, PROBLEMS, field_error, parameters
from api.http.validation import TRANSLATED, translate
from tests.support.database import ROOT
from tests.support.refusals import assert_refused
from tests.support.routes import ENDPOINTS, SCHEMAS

# ---- what is explained -------------------------------------------------------------------------------


def test_every_code_is_explained_where_the_type_of_a_problem_leads(anonymous: httpx2.Client) -> None:
    problem = anonymous.get("/nowhere").json()

    page = anonymous.get(problem["type"])

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert re.findall(r'<tr id="(\w+)">', page.text) == [*PROBLEMS, *ERRORS]
    assert problem["type"] == f"/docs/errors#{problem['code']}"
    for sentence in ERRORS.values():
        assert sentence in page.text.replace("&lt;", "<").replace("&gt;", ">")


def test_the_document_has_every_code_and_every_parameter() -> None:
    assert SCHEMAS["Problem"]["properties"]["code"]["enum"] == [*PROBLEMS]
    described = SCHEMAS["FieldError"]["properties"]
    assert described["code"]["enum"] == [*ERRORS]
    used = {name for code in ERRORS for name in parameters(code)}
    assert described.keys() - {"code", "detail", "pointer", "parameter"} == used


def test_the_page_for_frontends_names_every_code() -> None:
    text = (ROOT / "docs/frontend.md").read_text()
    assert [code for code in {**PROBLEMS, **ERRORS} if f"`{code}`" not in text] == []


def test_each_status_has_a_code_of_its_own() -> None:
    assert {status: PROBLEMS[code].status for status, code in BY_STATUS.items()} == {each: each for each in BY_STATUS}
    assert (BY_STATUS[401], BY_STATUS[404], BY_STATUS[503]) == ("invalid_token", "not_found", "unavailable")
    assert not {*PROBLEMS} & {*ERRORS}


# ---- what pydantic can say ---------------------------------------------------------------------------

# By the type of a core schema: the errors that it can raise here, where models are strict. What an option adds.
KINDS: dict[str, set[str]] = {
    "str": {"string_type", "string_unicode"},
    "int": {"int_type"},
    "bool": {"bool_type"},
    "uuid": {"uuid_type", "uuid_parsing", "string_unicode"},
    "date": {"date_parsing", "date_from_datetime_parsing"},  # a validator has seen the form
    "datetime": {"datetime_parsing", "datetime_from_date_parsing"},
    "literal": {"literal_error"},
    "list": {"list_type"},
    "model": {"model_type", "model_attributes_type"},
    "model-fields": set(),
    "model-field": {"missing"},
    **{kind: set() for kind in ("nullable", "default", "function-before", "function-after", "definitions")},
}
OPTIONS = {
    ("str", "min_length"): "string_too_short",
    ("str", "max_length"): "string_too_long",
    ("list", "min_length"): "too_short",
    ("list", "max_length"): "too_long",
    ("int", "ge"): "greater_than_equal",
    ("int", "le"): "less_than_equal",
    ("model-fields", "extra_behavior"): "extra_forbidden",
}


def errors_of(schema: Any) -> Iterator[str]:
    """Yield the types of the errors that a core schema can raise. Fails for one that nobody has looked at."""
    kind = schema["type"]
    yield from KINDS[kind]
    for name, value in schema.items():
        if (kind, name) in OPTIONS:
            yield OPTIONS[kind, name]
        elif name in {"pattern", "gt", "lt", "multiple_of", "max_digits"}:
            yield f"{kind} {name}"
        elif name in {"schema", "items_schema"} and isinstance(value, dict):
            yield from errors_of(value)
        elif name == "fields" and kind == "model-fields":
            for field in value.values():
                yield from errors_of(field)


def taken() -> dict[str, Any]:
    """Return the core schema of everything that a route takes, and of every type that `partywall new` offers."""
    found = {
        f"{route.path} {field.name}": TypeAdapter(field.field_info.annotation, config=None)
        for route in ENDPOINTS.values()
        for source in ("path", "query", "header", "body")
        for field in getattr(route.dependant, f"{source}_params")
    }
    new = {name: TypeAdapter(eval(each.python, vars(fields))) for name, each in TYPES.items()}  # noqa: S307
    return {name: adapter.core_schema for name, adapter in (found | new).items()}


def test_every_error_that_a_model_can_raise_has_a_code() -> None:
    for name, schema in taken().items():
        assert set(errors_of(schema)) <= TRANSLATED, name


def test_an_error_that_nobody_has_thought_of_is_told_as_pydantic_tells_it() -> None:
    said = {"type": "url_parsing", "loc": ("body", "a/b", 0), "msg": "Input should be a valid URL", "ctx": {"x": 1}}
    assert translate(said) == {
        "pointer": "#/a~1b/0",
        "code": "invalid",
        "detail": "Input should be a valid URL",
        "reason": "Input should be a valid URL",
    }


# ---- and what is said instead ------------------------------------------------------------------------

SAID: dict[str, tuple[object, dict[str, Any]]] = {
    "too_short": ({"text": ""}, {"limit": 1}),
    "too_long": ({"text": "x" * 501}, {"limit": 500}),
    "blank": ({"text": " \u2003\n"}, {}),
    "nul_character": ({"text": "a\0"}, {}),
    "wrong_type": ({"text": 1}, {"expected": "string"}),
    "too_large": ({"text": "x", "order": 2**31}, {"limit": 2**31 - 1}),
    "too_small": ({"text": "x", "order": -(2**31) - 1}, {"limit": -(2**31)}),
    "unknown_field": ({"text": "x", "colour": "red"}, {}),
    "missing": ({}, {}),
}


@pytest.mark.parametrize("code", SAID)
def test_a_field_that_is_wrong_has_a_code_with_what_a_translation_needs(code: str, alice: httpx2.Client) -> None:
    body, more = SAID[code]
    response = alice.post("/tasks", json=body)

    [error] = response.json()["errors"]
    place = "#/" + {"too_large": "order", "too_small": "order", "unknown_field": "colour"}.get(code, "text")
    assert_refused(response, 422, place)
    assert error == field_error(code, pointer=place, **more)
    assert "pydantic" not in response.text
    assert "pattern" not in response.text


def test_parameters_have_codes_too(alice: httpx2.Client) -> None:
    sorts = ["order", "-order", "created", "-created"]
    said = {
        "/tasks?limit=201": field_error("too_large", parameter="limit", limit=200),
        "/tasks?limit=x": field_error("wrong_type", parameter="limit", expected="integer"),
        "/tasks?sort=x": field_error("not_allowed", parameter="sort", allowed=sorts),
        "/tasks?page=2": field_error("unknown_parameter", parameter="page"),
        "/tasks?cursor=x": field_error("invalid_cursor", parameter="cursor"),
        "/tasks/1": field_error("not_a_uuid", parameter="task_id"),
    }
    assert {path: alice.get(path).json()["errors"] for path in said} == {path: [each] for path, each in said.items()}


class Times(BaseModel):
    """A model with what tasks do not have."""

    day: fields.Date
    at: fields.Timestamp


def test_days_and_times_have_codes() -> None:
    for name, code, values in (
        ("day", "not_a_date", ("", "x", "2026-02-30", "0000-01-01", "2026-11-21T00:00:00Z", 1)),
        ("at", "not_a_timestamp", ("", "2026-11-21", "2026-02-30T00:00:00Z", "2026-11-21T08:30:00", 1)),
        ("at", "out_of_range", ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00")),
    ):
        for value in values:
            sent = {"day": "2026-11-21", "at": "2026-11-21T08:30:00Z"} | {name: value}
            with pytest.raises(ValueError, match="validation error") as caught:
                Times.model_validate(sent)
            [error] = caught.value.errors()  # type: ignore[attr-defined]  # pydantic's
            assert translate(error | {"loc": ("body", name)})["code"] == code, value
