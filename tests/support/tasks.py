"""Tasks, added and listed."""

from typing import Any

import httpx2
import pytest

A_USERS, A_WORKSPACES = "a user's", "a workspace's"
IN_EVERY_HOME = pytest.mark.parametrize("home", [A_USERS, A_WORKSPACES], indirect=True)
"""For a test of the tasks of a user, which is one of the tasks of a workspace as well."""

Json = dict[str, Any]


def add(client: httpx2.Client, text: str = "Buy milk", **fields: object) -> Json:
    response = client.post("/tasks", json={"text": text} | fields)
    assert response.status_code == 201, response.text
    task: Json = response.json()
    return task


def path(task: Json) -> str:
    return f"/tasks/{task['id']}"


def page(client: httpx2.Client, **parameters: str | int | bool) -> Json:
    response = client.get("/tasks", params=parameters)
    assert response.status_code == 200, response.text
    result: Json = response.json()
    return result
