"""Pages in every order: what they hold, what they promise while others write, and how PostgreSQL finds them."""

import itertools
import json
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg import sql

from api.http import pages
from api.http.problems import InvalidInputError
from api.tasks.examples import TASK_ID
from api.tasks.list import TASKS
from tests.support.database import Url
from tests.support.refusals import assert_refused
from tests.support.servers import caller
from tests.support.tasks import IN_EVERY_HOME, Json, add, page, path

Key = Callable[[Json], Any]
Listing = tuple[str, bool | None]  # sort, completed

LISTS = tuple(itertools.product(TASKS.sorts, (None, False, True)))

# By age is by id: the text of a UUID sorts as the UUID does.
KEYS: dict[str, tuple[Key, bool]] = {
    "order": (lambda task: (task["order"], task["id"]), False),
    "-order": (lambda task: (task["order"], task["id"]), True),
    "created": (lambda task: task["id"], False),
    "-created": (lambda task: task["id"], True),
}


def listed(listing: Listing) -> dict[str, str]:
    """Return the parameters of a list."""
    sort, completed = listing
    return {"sort": sort} | ({} if completed is None else {"completed": str(completed).lower()})


def expected(tasks: list[Json], listing: Listing) -> list[Json]:
    sort, completed = listing
    key, descending = KEYS[sort]
    return sorted((task for task in tasks if completed in {None, task["completed"]}), key=key, reverse=descending)


def turn(client: httpx2.Client, **parameters: str | int) -> Iterator[list[Json]]:
    """Yield page after page, each by the Link of the one before."""
    response = client.get("/tasks", params=parameters)
    while True:
        assert response.status_code == 200, response.text
        yield response.json()["items"]
        if (link := response.links.get("next")) is None:
            assert response.json()["next_cursor"] is None
            return
        response = client.get(link["url"])


# ---- what a page holds -------------------------------------------------------------------------------


@IN_EVERY_HOME
def test_every_sort_and_filter_lists_its_tasks_in_its_order_and_on_pages_of_any_size(alice: httpx2.Client) -> None:
    orders = (5, -(2**31), 0, 2**31 - 1, 5, 0, 0)
    tasks = [add(alice, f"{n}", order=order, completed=n % 3 == 0) for n, order in enumerate(orders)]

    for listing, limit in itertools.product(LISTS, (1, 2, 3, 7, 200)):
        pages = list(turn(alice, limit=limit, **listed(listing)))

        assert list(itertools.chain(*pages)) == expected(tasks, listing), (listing, limit)
        assert {len(each) for each in pages[:-1]} <= {limit}


def test_the_order_of_a_list_is_by_position_unless_it_is_asked_for(alice: httpx2.Client) -> None:
    add(alice, "later", order=2)
    add(alice, "sooner", order=1)

    assert page(alice) == page(alice, sort="order") != page(alice, sort="created")


def test_an_unknown_sort_is_refused(alice: httpx2.Client) -> None:
    for sort in ("", "text", "+order", "order,created", "ORDER", " order", "--order", "id"):
        assert_refused(alice.get("/tasks", params={"sort": sort}), 422, "sort")


@IN_EVERY_HOME
def test_the_link_to_the_next_page_has_the_same_query_and_the_last_page_has_none(alice: httpx2.Client) -> None:
    for n in range(5):
        add(alice, f"{n}", completed=n != 0)

    first = alice.get("/tasks", params={"completed": "true", "limit": 2, "sort": "-created"})
    cursor = first.json()["next_cursor"]
    assert first.headers["link"] == f'</tasks?limit=2&completed=true&sort=-created&cursor={cursor}>; rel="next"'
    second = alice.get(first.links["next"]["url"])
    assert second.json() == page(alice, completed=True, limit=2, sort="-created", cursor=cursor)
    assert "link" not in second.headers

    plain = alice.get("/tasks?limit=1")
    assert plain.headers["link"] == f'</tasks?limit=1&cursor={plain.json()["next_cursor"]}>; rel="next"'
    further = alice.get(plain.links["next"]["url"])
    assert further.headers["link"].count("cursor=") == 1
    assert "link" not in alice.get("/tasks").headers


# ---- cursors -----------------------------------------------------------------------------------------


@IN_EVERY_HOME
def test_a_cursor_of_another_list_is_refused_with_the_name_of_its_list(alice: httpx2.Client) -> None:
    for n in range(4):
        add(alice, f"{n}", completed=n % 2 == 0)
    cursors = {each: page(alice, limit=1, **listed(each))["next_cursor"] for each in LISTS}
    assert len(set(cursors.values())) == len(LISTS)

    for (mine, cursor), other in itertools.product(cursors.items(), LISTS):
        response = alice.get("/tasks", params={"cursor": cursor, **listed(other)})
        if other == mine:
            assert response.status_code == 200
            continue
        assert_refused(response, 422, "cursor")
        [error] = response.json()["errors"]
        assert error["code"] == "cursor_of_another_list"
        assert error["of"] == "/tasks?" + "&".join(f"{k}={v}" for k, v in listed(mine).items())
        assert "another list" in response.json()["detail"]


def test_a_cursor_works_with_another_limit(alice: httpx2.Client) -> None:
    tasks = [add(alice, f"{n}") for n in range(5)]

    cursor = page(alice, limit=1)["next_cursor"]

    assert page(alice, cursor=cursor, limit=3)["items"] == tasks[1:4]


@pytest.mark.parametrize(
    "content",
    [
        ["/notes?sort=order", 0, TASK_ID],  # another resource's, by the same user
        ["/workspaces/1/tasks?sort=order", 0, TASK_ID],
        ["/tasks?sort=colour", 0, TASK_ID],
        [7, 0, TASK_ID],
        ["/tasks?sort=order"],
        ["/tasks?sort=order", 0],
        ["/tasks?sort=order", 0, TASK_ID, 1],
        ["/tasks?sort=order", 2**31, TASK_ID],
        ["/tasks?sort=order", "0", TASK_ID],
        ["/tasks?sort=order", True, TASK_ID],
        ["/tasks?sort=order", 0.5, TASK_ID],
        ["/tasks?sort=order", None, TASK_ID],
        ["/tasks?sort=order", 0, "no id"],
        ["/tasks?sort=order", 0, 7],
        ["/tasks?sort=order", 0, None],
    ],
    ids=str,
)
def test_a_cursor_of_another_resource_or_of_nothing_is_refused_even_if_its_checksum_is_right(
    alice: httpx2.Client, content: list[object]
) -> None:
    add(alice)
    name, *position = content
    forged = pages.encode_cursor("alice", name, position)  # type: ignore[arg-type]  # the point of the test
    assert_refused(alice.get("/tasks", params={"cursor": forged}), 422, "cursor")


def test_a_well_made_cursor_goes_on_where_it_says(alice: httpx2.Client) -> None:
    task = add(alice, order=7)
    for order, items in ((6, [task]), (7, [])):
        cursor = pages.encode_cursor("alice", "/tasks?sort=order", [order, task["id"]])
        assert page(alice, cursor=cursor)["items"] == items


@IN_EVERY_HOME
def test_a_cursor_of_another_user_is_refused(alice: httpx2.Client, bob: httpx2.Client) -> None:
    for n in range(2):
        add(alice, f"{n}")
    cursor = page(alice, limit=1)["next_cursor"]
    assert_refused(bob.get("/tasks", params={"cursor": cursor}), 422, "cursor")


def test_each_refusal_is_an_exception_of_its_own() -> None:
    """One that is raised again and again keeps every frame it ever passed, and what its caller sent."""

    def refusal() -> InvalidInputError:
        with pytest.raises(InvalidInputError) as caught:
            pages.decode_cursor("garbage", "alice", "/tasks?sort=order", TASKS.sorts["order"])
        return caught.value

    first, second = refusal(), refusal()
    assert first is not second
    assert len(traceback.extract_tb(first.__traceback__)) == len(traceback.extract_tb(second.__traceback__))


# ---- while others write ------------------------------------------------------------------------------

STAYING = 60


def test_no_task_that_stays_put_is_seen_twice_or_missed_whatever_is_written_meanwhile(
    base_url: str, admin: psycopg.Connection
) -> None:
    admin.execute(
        """
        insert into app.tasks (user_id, text, completed, "order")
        select 'alice', 'stays', n %% 2 = 0, n %% 7 * 100 from generate_series(1, %s) as n
        """,
        [STAYING],
    )
    admin.commit()
    over = Event()

    def come_and_go(number: int) -> int:
        with caller(base_url, "alice") as client:
            rounds = 0
            while not over.is_set():
                task = add(client, "goes", order=rounds * 37 % 800 - 50, completed=rounds % 2 == 0)
                client.patch(path(task), json={"order": (rounds + number) * 53 % 800, "completed": rounds % 3 == 0})
                assert client.delete(path(task)).status_code == 204
                rounds += 1
        return rounds

    def rewrite() -> int:
        """Change what stays, all but its place."""
        with caller(base_url, "alice") as client:
            staying = [task for task in page(client, limit=200)["items"] if task["text"] == "stays"]
            rounds = 0
            while not over.is_set():
                task = staying[rounds % len(staying)]
                changed = client.put(path(task), json={name: task[name] for name in ("text", "completed", "order")})
                assert changed.status_code == 200
                rounds += 1
        return rounds

    with ThreadPoolExecutor() as threads, caller(base_url, "alice") as alice:
        try:
            staying = [task for task in page(alice, limit=200)["items"] if task["text"] == "stays"]
            assert len(staying) == STAYING
            writers = [threads.submit(come_and_go, 1), threads.submit(come_and_go, 2), threads.submit(rewrite)]
            met = 0
            for listing in LISTS * 2:
                seen = list(itertools.chain(*turn(alice, limit=4, **listed(listing))))
                met += sum(task["text"] == "goes" for task in seen)
                found = [task["id"] for task in seen if task["text"] == "stays"]
                assert found == [task["id"] for task in expected(staying, listing)], listing
        finally:
            over.set()
        assert min(writer.result() for writer in writers) > 0
    assert met > 0


# ---- how a page is found -----------------------------------------------------------------------------

INDEXES = {
    ("order", False): "tasks_by_order",
    ("order", True): "tasks_by_completed_order",
    ("created", False): "tasks_pkey",
    ("created", True): "tasks_by_completed_age",
}
# Name, tasks, of which every n-th is open.
USERS = (("one", 1, 2), ("few", 40, 2), ("some", 300, 2), ("many", 6000, 2), ("done", 6000, 2000))
FILL = """
    insert into app.tasks (user_id, text, completed, "order")
    select name, 'x', n %% open <> 0, (random() * 50)::int
    from unnest(%s::text[], %s::int[], %s::int[]) as u (name, tasks, open), generate_series(1, tasks) as n
    order by random()
"""


def fill(admin: psycopg.Connection, *users: tuple[str, int, int]) -> None:
    admin.execute(FILL, [list(column) for column in zip(*users, strict=True)])


@pytest.fixture
def crowded(admin: psycopg.Connection) -> psycopg.Connection:
    """A table with statistics, and with users of whom these know nothing yet."""
    admin.autocommit = True
    admin.execute("alter table app.tasks set (autovacuum_enabled = false)")
    admin.execute("select setseed(0.5)")
    fill(admin, *USERS, *((f"other {n}", 20, 2) for n in range(200)))
    admin.execute("analyze app.tasks")
    fill(admin, ("new", 4000, 2), ("new and done", 4000, 2000))
    return admin


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def complaints(plan: dict[str, Any], index: str, limit: int) -> list[str]:
    """Return why this plan is not one range of that index; empty if it is."""
    found = []
    for node in nodes(plan):
        kind = node["Node Type"]
        if kind not in {"Aggregate", "Subquery Scan", "Limit", "Index Scan", "Result"}:  # Result: a parameter
            found.append(kind)
        if node.get("Index Name", index) != index:
            found.append(f"reads {node['Index Name']}")
        if (removed := node.get("Rows Removed by Filter", 0)) or "Filter" in node:
            found.append(f"a filter removes {removed} rows: {node.get('Filter')}")
        if kind == "Index Scan" and node["Actual Rows"] > limit:
            found.append(f"reads {node['Actual Rows']} rows for a page of {limit}")
    return found


def read_plans(url: Url, mode: str, **searched: str) -> dict[tuple[object, ...], list[str]]:
    """Explain the first and the second page of every list of every user; return the complaints."""
    wrong: dict[tuple[object, ...], list[str]] = {}
    users = [*(name for name, _, _ in USERS), "new", "new and done", "nobody", "other 7"]
    with psycopg.connect(url("app_api"), autocommit=True) as api:
        api.execute(sql.SQL("set plan_cache_mode = {}").format(mode))
        for (sort, completed), user in itertools.product(LISTS, users):
            with api.transaction():
                api.execute(sql.SQL("set local app.user_id = {}").format(user))
                filters = ({} if completed is None else {"completed": completed}) | searched
                query = pages.statement(TASKS, sort, (*filters,))
                api.execute(f"prepare page as {query}".encode())
                position = pages.start(TASKS.sorts[sort])
                for number, limit in enumerate((51, 201, 2)):
                    values = [user, limit, *position, *filters.values()]
                    execute = sql.SQL("execute page ({})").format(sql.SQL(", ").join(map(sql.Literal, values)))
                    explain = sql.SQL("explain (analyze, format json) ") + execute
                    [[[explained]]] = api.execute(explain).fetchall()
                    index = INDEXES[sort.removeprefix("-"), completed is not None]
                    if found := complaints(explained["Plan"], index, limit):
                        wrong[sort, completed, user, number] = found
                    [(tasks,)] = api.execute(execute).fetchall()
                    if tasks and len(tasks) == limit:
                        last = json.loads(tasks[-2])
                        position = [last["order"], last["id"]] if "order" in sort else [last["id"]]
                api.execute("deallocate page")
    return wrong


MODES = pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])


@MODES
@pytest.mark.usefixtures("crowded")
def test_every_page_is_one_range_of_its_index(url: Url, mode: str) -> None:
    assert read_plans(url, mode) == {}


@MODES
@pytest.mark.usefixtures("crowded")
def test_every_page_of_a_search_reads_that_index_until_it_is_full(url: Url, mode: str) -> None:
    plans = read_plans(url, mode, q="[xX]")
    assert plans
    for found in plans.values():
        assert [each for each in found if not each.startswith("a filter removes 0 rows: regexp_like(")] == []


@MODES
@pytest.mark.parametrize("index", ["tasks_by_order", "tasks_by_completed_order", "tasks_by_completed_age"])
def test_without_its_index_a_page_is_not(crowded: psycopg.Connection, url: Url, mode: str, index: str) -> None:
    crowded.execute(sql.SQL("drop index app.{}").format(sql.Identifier(index)))

    lists = {(sort, completed) for sort, completed, *_ in read_plans(url, mode)}

    assert lists == {
        (sort, completed)
        for sort, completed in LISTS
        if INDEXES[sort.removeprefix("-"), completed is not None] == index
    }


def test_there_is_no_index_that_no_page_needs(admin: psycopg.Connection) -> None:
    rows = admin.execute("select indexrelid::regclass::text from pg_index where indrelid = 'app.tasks'::regclass")

    assert {name.removeprefix("app.") for (name,) in rows} == set(INDEXES.values())
