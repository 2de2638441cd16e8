"""The requests of the scenarios, as the contender's API takes them: REST, or GraphQL with the same fields."""

from typing import Any

import httpx2

from benchmarks.servers import Server

_TASK = (
    "id: rowId user_id: userId text completed order"
    " created_at: createdAt updated_at: updatedAt completed_at: completedAt"
)
DOCUMENTS = {
    "list_50": f"{{ page: allTasks(first: 50, orderBy: PRIMARY_KEY_DESC) {{ items: nodes {{ {_TASK} }}"
    " pageInfo { endCursor hasNextPage } } }",
    "read_one": "query($user: String!, $id: UUID!)"
    f" {{ task: taskByUserIdAndRowId(userId: $user, rowId: $id) {{ {_TASK} }} }}",
    "create": "mutation($text: String!, $order: Int!)"
    f" {{ written: createTask(input: {{task: {{text: $text, order: $order}}}}) {{ task {{ {_TASK} }} }} }}",
    "patch": "mutation($user: String!, $id: UUID!, $text: String!) { written: updateTaskByUserIdAndRowId("
    f"input: {{userId: $user, rowId: $id, taskPatch: {{text: $text}}}}) {{ task {{ {_TASK} }} }} }}",
}


def call(
    client: httpx2.Client, server: Server, scenario: str, user_id: str = "", task_id: str = "", **body: object
) -> httpx2.Response:
    """Send the request of a scenario: about `task_id`, which belongs to `user_id`, with fields of a task in `body`."""
    if server.contender.graphql:
        variables = {"user": user_id, "id": task_id, **body}
        return client.post("/graphql", json={"query": DOCUMENTS[scenario], "variables": variables})
    task = f"/tasks/{task_id}"
    method, path = {
        "list_50": ("GET", "/tasks?sort=-created"),
        "read_one": ("GET", task),
        "create": ("POST", "/tasks"),
        "patch": ("PATCH", task),
    }[scenario]
    return client.request(method, path, json=body or None)


def content(response: httpx2.Response) -> Any:  # noqa: ANN401 - JSON
    """Return the page or the task that a response has; None for GraphQL's way to say that there is none."""
    body = response.json()
    if "data" not in body:
        return body
    [found] = body["data"].values()
    return found["task"] if found and "task" in found else found


def has_status(server: Server, response: httpx2.Response, status: int) -> bool:
    """Return whether the response means this status of REST. GraphQL has 200 for a new task, and for none."""
    if not server.contender.graphql or status == httpx2.codes.UNAUTHORIZED:
        return response.status_code == status
    found = response.status_code == httpx2.codes.OK and "errors" not in response.json()
    return found and (content(response) is None) == (status == httpx2.codes.NOT_FOUND)
