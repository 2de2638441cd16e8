"""Tasks, added and listed."""

from typing import Any

import httpx2

Json = dict[str, Any]


def add(client: httpx2.Client, text: str = "Buy milk", **fields: object) -> Json:
    answer = client.post("/tasks", json={"text": text} | fields)
    assert answer.status_code == 201, answer.text
    task: Json = answer.json()
    return task


def path(task: Json) -> str:
    return f"/tasks/{task['id']}"


def page(client: httpx2.Client, **parameters: str | int | bool) -> Json:
    answer = client.get("/tasks", params=parameters)
    assert answer.status_code == 200, answer.text
    result: Json = answer.json()
    return result
