"""Tasks, added and listed."""

from typing import Any

import httpx2

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
