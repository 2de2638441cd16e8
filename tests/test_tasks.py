"""What an owner can do with tasks."""

import httpx2


def test_a_new_task_is_answered_whole_and_says_where_it_is(alice: httpx2.Client) -> None:
    answer = alice.post("/tasks", json={"text": "Buy milk"})

    assert answer.status_code == 201
    task = answer.json()
    assert answer.headers["location"] == f"/tasks/{task['id']}"
    assert alice.get(answer.headers["location"]).json() == task
    assert task["user_id"] == "alice"
    assert (task["text"], task["completed"], task["order"]) == ("Buy milk", False, 0)
    assert task["completed_at"] is None
    assert task["created_at"] == task["updated_at"]
