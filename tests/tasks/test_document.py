"""What /openapi.json says of tasks."""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from api.tasks.models import Text
from tests.support.routes import ROUTES, SCHEMAS, operation, values_of


def test_operations_are_named_as_functions() -> None:
    one, many = "/tasks/{task_id}", "/tasks"
    assert {operation(*route)["operationId"]: route for route in ROUTES if route[1] in {one, many}} == {
        "createTask": ("POST", many),
        "listTasks": ("GET", many),
        "changeTasks": ("PATCH", many),
        "clearTasks": ("DELETE", many),
        "readTask": ("GET", one),
        "replaceTask": ("PUT", one),
        "changeTask": ("PATCH", one),
        "deleteTask": ("DELETE", one),
    }


def test_a_new_task_needs_a_text_and_a_whole_one_everything() -> None:
    assert SCHEMAS["TaskCreate"]["required"] == ["text"]
    assert SCHEMAS["TaskReplace"]["required"] == ["text", "completed", "order"]
    assert {name: field["type"] for name, field in SCHEMAS["TaskUpdate"]["properties"].items()} == {
        "text": "string",
        "completed": "boolean",
        "order": "integer",
    }


def test_no_field_of_a_task_that_can_be_sent_is_null() -> None:
    for name in ("TaskCreate", "TaskReplace", "TaskUpdate", "TaskBulkItem"):
        assert [*values_of("anyOf", SCHEMAS[name])] == []


def test_each_of_several_changes_has_an_id_and_at_least_one_field() -> None:
    one, several = SCHEMAS["TaskBulkItem"], SCHEMAS["TaskBulkUpdate"]["properties"]["tasks"]

    assert (one["required"], one["minProperties"]) == (["id"], 2)
    assert (several["minItems"], several["maxItems"]) == (1, 500)


def test_white_space_means_the_same_to_all_who_read_the_document() -> None:
    pattern = SCHEMAS["TaskCreate"]["properties"]["text"]["pattern"]
    text = TypeAdapter(Text)

    refused = [each for each in map(chr, range(0xD800)) if not re.search(pattern, each)]

    spaces = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    assert "".join(refused) == "\x00" + spaces + "\u2028\u2029\u202f\u205f\u3000"
    assert not [each for each in ("\\s", "\\u2028", "\\u2029") if each in pattern]  # nor what ends a line of JavaScript
    for each in refused:
        with pytest.raises(ValidationError):
            text.validate_python(each)
