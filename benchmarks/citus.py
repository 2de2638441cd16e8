"""`python -m benchmarks.citus ONE CLUSTER`: each request on one node and on a Citus cluster, in turns.

ONE and CLUSTER are URLs by which app_api logs in to two databases with Partywall in them. All servers share this
machine, so the figures say what a request costs on a cluster, and not what its machines gain. There is one connection,
and one request at a time. Results are written to benchmarks/citus.json.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from socket import socket
from typing import Any

import click
import jwt

from benchmarks.machine import machine
from benchmarks.measure import spread
from benchmarks.servers import UVICORN
from benchmarks.stage import ROOT

SECRET = token_hex(32)
ROWS = 200  # tasks of the user, and of the workspace
ROUNDS = 15
REQUESTS = 40  # of a kind in a round

Request = Callable[["Client"], None]


class Client:
    """Alice, on one keep-alive connection to an API that is being served."""

    def __init__(self, port: int) -> None:
        """Add what is read and changed."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        claims = {"sub": f"bench-{token_hex(8)}", "exp": int(time.time()) + 3600}
        self._headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET)}", "Content-Type": "application/json"}
        self.workspace = f"/workspaces/{self.send('POST', '/workspaces', {'name': 'Garden'})['id']}"
        self.tasks = {"": self._add(""), self.workspace: self._add(self.workspace)}

    def send(self, method: str, path: str, body: object = None, **headers: str) -> Any:  # noqa: ANN401 - any JSON
        """Send a request; return its JSON."""
        data = json.dumps(body) if body is not None else None
        self._connection.request(method, path, data, {**self._headers, **headers})
        response = self._connection.getresponse()
        content = response.read()
        if not http.client.OK <= response.status < http.client.MULTIPLE_CHOICES:
            raise click.ClickException(f"{method} {path}: {response.status} {content.decode()}")
        return json.loads(content) if content else None

    def _add(self, home: str) -> list[str]:
        return [self.send("POST", f"{home}/tasks", {"text": f"Task {n}"})["id"] for n in range(ROWS)]


def requests(home: str) -> Mapping[str, Request]:
    """Return what is measured of the tasks of a user, or of a workspace."""

    def tasks(client: Client) -> tuple[str, list[str]]:
        place = client.workspace if home else ""
        return f"{place}/tasks", client.tasks[place]

    def one(client: Client) -> str:
        path, ids = tasks(client)
        return f"{path}/{ids[0]}"

    def several(client: Client) -> None:
        path, ids = tasks(client)
        client.send("PATCH", path, {"tasks": [{"id": each, "order": 1} for each in ids[:10]]})

    def create_once(client: Client) -> None:
        client.send("POST", tasks(client)[0], {"text": "x"}, **{"Idempotency-Key": token_hex(16)})

    def delete(client: Client) -> None:
        path, ids = tasks(client)
        client.send("DELETE", f"{path}/{ids.pop()}")

    return {
        f"read one{home}": lambda client: client.send("GET", one(client)),
        f"a page of 50{home}": lambda client: client.send("GET", tasks(client)[0]),
        f"create{home}": lambda client: client.send("POST", tasks(client)[0], {"text": "x"}),
        f"create, with a key{home}": create_once,
        f"change{home}": lambda client: client.send("PATCH", one(client), {"order": 1}),
        f"change ten{home}": several,
        f"delete{home}": delete,
    }


OF_WORKSPACES: Mapping[str, Request] = {
    "list workspaces": lambda client: client.send("GET", "/workspaces"),
    "create a workspace": lambda client: client.send("POST", "/workspaces", {"name": "x"}),
    "invite": lambda client: client.send("POST", f"{client.workspace}/invitations", {"role": "viewer"}),
}


@click.command()
@click.argument("one")
@click.argument("cluster")
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "benchmarks/citus.json")
def main(one: str, cluster: str, output: Path) -> None:
    """Measure both, and print the medians in milliseconds."""
    with ExitStack() as stack:
        clients = {name: Client(stack.enter_context(served(url))) for name, url in (("one", one), ("cluster", cluster))}
        measured = {}
        for name, request in {**requests(""), **requests(" of a workspace"), **OF_WORKSPACES}.items():
            measured[name] = in_turns(clients, request, requests_per_round=5 if name.startswith("delete") else REQUESTS)
            click.echo(f"{name}: " + ", ".join(f"{key} {value['median']}" for key, value in measured[name].items()))
    results = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "milliseconds": measured}
    output.write_text(f"{json.dumps(results, indent=2)}\n")


def in_turns(clients: Mapping[str, Client], request: Request, *, requests_per_round: int) -> dict[str, Any]:
    """Return the median milliseconds of a request on each, and the ratio, over the rounds."""
    rounds: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(ROUNDS + 1):
        for name, client in sorted(clients.items(), reverse=number % 2 == 0):
            times = []
            for _ in range(requests_per_round):
                started = time.perf_counter()
                request(client)
                times.append(1000 * (time.perf_counter() - started))
            if number:  # the first one warms up
                rounds[name].append(statistics.median(times))
    ratios = [cluster / one for one, cluster in zip(rounds["one"], rounds["cluster"], strict=True)]
    return {**{name: spread(values, digits=2) for name, values in rounds.items()}, "ratio": spread(ratios, digits=2)}


@contextmanager
def served(url: str) -> Iterator[int]:
    """Serve the API on a database; give its port."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = {**os.environ, "DATABASE_URL": url, "JWT_SECRET": SECRET}
    command = [sys.executable, "-m", "uvicorn", "api.main:app", *UVICORN, "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        while not _is_healthy(port):
            if process.poll() is not None:
                raise click.ClickException("the API does not start")
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait()


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
