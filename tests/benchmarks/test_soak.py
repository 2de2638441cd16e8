"""The soak finds what is lost, doubled, moved or shown to others; and ends with everything that it has started."""

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from uvloop import run

from benchmarks.soak.client import Caller, Client
from benchmarks.soak.compare import ROWS, Comparison, compare
from benchmarks.soak.ledger import Creation, Ledger
from benchmarks.soak.tally import SERVES_WITHIN, Fault, Tally
from db.embedded import Cluster
from tests.support.database import ROOT
from tests.support.tokens import make_token

TWO_TASKS = """
insert into app.tasks (id, user_id, text) values
    ('0198c0de-0000-7000-8000-000000000001', 'alice', 'of:alice; Buy milk'),
    ('0198c0de-0000-7000-8000-000000000002', 'bob', 'of:bob; Call Alice')
"""


@pytest.fixture
def ledger(admin: psycopg.Connection) -> Ledger:
    """A ledger in which all rows are acknowledged: a task of Alice's and one of Bob's."""
    admin.autocommit = True
    admin.execute(TWO_TASKS)
    ledger = Ledger(Tally())
    for tenant, row_id, etag, state, _ in admin.execute(ROWS.encode()):
        ledger.add(tenant, row_id, etag, state)
    return ledger


def compared(ledger: Ledger, admin: psycopg.Connection) -> Comparison:
    return compare(ledger, admin.execute(ROWS.encode()))


def test_rows_that_are_as_acknowledged_break_no_promise(ledger: Ledger, admin: psycopg.Connection) -> None:
    assert vars(compared(ledger, admin)) == {"acknowledged": 2, "found": 2, "doubtful": 0, "doubtful_found": 0}
    assert ledger.tally.violations == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("delete from app.tasks where user_id = 'alice'", "is lost"),
        ("insert into app.tasks (user_id, text) select user_id, text from app.tasks limit 1", "nobody was told of it"),
        ("update app.tasks set user_id = 'alice', updated_at = updated_at where user_id = 'bob'", "is of bob"),
        ("update app.tasks set text = 'Buy oat milk' where user_id = 'alice'", "a state that nobody wrote"),
        (
            "alter table app.tasks disable trigger tasks_timestamps; update app.tasks set text = '' || text || '!'",
            "the ETag of",
        ),
        (
            "alter table app.tasks disable trigger tasks_timestamps; update app.tasks set updated_at = '2000-01-01'",
            "an older version",
        ),
    ],
    ids=["lost", "doubled", "moved", "changed", "changed under the same ETag", "set back"],
)
def test_a_row_that_is_otherwise_is_found(
    change: str, sentence: str, ledger: Ledger, admin: psycopg.Connection
) -> None:
    admin.execute(change.encode())
    compared(ledger, admin)
    assert any(sentence in each.sentence for each in ledger.tally.violations), ledger.tally.violations


def test_a_deleted_row_that_is_there_is_found(ledger: Ledger, admin: psycopg.Connection) -> None:
    ledger.remove(next(iter(ledger.rows.values())))
    compared(ledger, admin)
    [violation] = ledger.tally.violations
    assert "its deletion was acknowledged" in violation.sentence


def test_a_creation_that_failed_for_certain_and_is_there_is_found(ledger: Ledger, admin: psycopg.Connection) -> None:
    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'of:alice; refused')")
    ledger.refused["of:alice; refused"] = "soak-7"
    compared(ledger, admin)
    [violation] = ledger.tally.violations
    assert ("its creation failed" in violation.sentence, violation.request_id) == (True, "soak-7")


def test_a_creation_without_a_response_may_be_there_once_or_not_at_all(
    ledger: Ledger, admin: psycopg.Connection
) -> None:
    for text in ("of:alice; once", "of:alice; never", "of:alice; twice"):
        ledger.creations[text] = Creation("alice", {"text": text})
    for text in ("of:alice; once", "of:alice; twice"):
        admin.execute("insert into app.tasks (user_id, text) values ('alice', %s)", [text])
    assert vars(compared(ledger, admin)) == {"acknowledged": 2, "found": 2, "doubtful": 3, "doubtful_found": 2}
    assert ledger.tally.violations == []

    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'of:alice; twice')")
    compared(ledger, admin)
    assert len(ledger.tally.violations) == 1


def test_a_write_without_a_response_may_have_happened_or_not(ledger: Ledger, admin: psycopg.Connection) -> None:
    for row in ledger.rows.values():
        row.open.append({"completed": True})
    admin.execute("update app.tasks set completed = true where user_id = 'alice'")
    compared(ledger, admin)
    assert ledger.tally.violations == []

    admin.execute("update app.tasks set completed = true, text = 'And more' where user_id = 'bob'")
    compared(ledger, admin)
    assert len(ledger.tally.violations) == 1


def test_a_row_of_another_tenant_in_any_response_is_found(
    ledger: Ledger, admin: psycopg.Connection, base_url: str
) -> None:
    caller = Caller("alice", make_token("alice"), frozenset({"alice"}))

    async def read() -> None:
        client = Client(urlsplit(base_url).port or 0, ledger.tally, random.Random(1))  # noqa: S311 - no secret
        await client.request(caller, "GET", "/tasks", {200})
        client.close()

    run(read())
    assert ledger.tally.violations == []

    admin.execute("update app.tasks set user_id = 'alice' where user_id = 'bob'")
    run(read())
    assert [each.promise for each in ledger.tally.violations] == ["isolation"]


def test_a_request_may_fail_during_a_fault_and_a_moment_after_it_only() -> None:
    tally = Tally()
    tally.faults.append(Fault("worker killed", began=100, over=110))
    for sent in (105, 110 + SERVES_WITHIN):
        tally.count(503, "busy", "soak-1", sent, is_failure=True)
    assert (tally.faults[0].failed, tally.violations) == (2, [])

    tally.count(503, "busy", "soak-2", 110.1 + SERVES_WITHIN, is_failure=True)
    assert [(each.promise, each.request_id) for each in tally.violations] == [("recovery", "soak-2")]


def test_a_restart_of_the_workers_makes_no_request_fail() -> None:
    tally = Tally()
    tally.faults.append(Fault("workers restarted", began=100))
    tally.count(0, "connection lost", "soak-1", 101, is_failure=True)
    assert [(each.promise, each.request_id) for each in tally.violations] == [("recovery", "soak-1")]


# ---- the command -------------------------------------------------------------------------------------


class Soak:
    """A soak that runs in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        self.process = process
        self.lines = process.stdout
        [self.directory] = re.findall(r"all is in (\S+)", self.lines.readline())
        assert "requests" in self.lines.readline()  # it is under way

    def end(self) -> str:
        """Press Ctrl-C; return what it has printed."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> str:
        """Return what it has printed when it has ended by itself."""
        return self.lines.read()


@pytest.fixture
def start() -> Iterator[Callable[..., Soak]]:
    """Return a function that starts the soak with these options."""
    processes = []

    def start(*options: str) -> Soak:
        command = [sys.executable, "-m", "benchmarks.soak", "--seed", "1", "--calm", "1", *options]
        processes.append(
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
        return Soak(processes[-1])

    yield start
    for process in processes:
        with process:
            process.kill()


def processes_in(directory: str) -> list[str]:
    """Return the command lines of the processes that work in a directory, as PostgreSQL and uvicorn do."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if str((process / "cwd").readlink()).startswith(directory):
                found.append((process / "cmdline").read_text())
    return found


@pytest.mark.slow("the soak")
def test_a_soak_of_a_few_seconds_keeps_all_promises_and_leaves_nothing_running(start: Callable[..., Soak]) -> None:
    soak = start("--minutes", "0.1", "--fault", "sessions ended")
    printed = soak.wait()
    assert soak.process.wait() == 0, printed
    assert "BROKEN" not in printed
    assert "sessions ended" in printed
    assert processes_in(soak.directory) == []
    assert not Path(soak.directory).exists()


@pytest.mark.slow("the soak")
def test_a_lost_row_is_exit_code_1_and_ctrl_c_ends_with_the_report(start: Callable[..., Soak]) -> None:
    soak = start("--minutes", "10", "--fault", "requests abandoned")
    with psycopg.connect(Cluster(Path(soak.directory)).url("postgres"), autocommit=True) as admin:
        admin.execute("delete from app.tasks")
    printed = soak.end()
    assert soak.process.wait() == 1, printed
    assert "BROKEN  each acknowledged row is there once" in printed
    assert processes_in(soak.directory) == []


def test_what_cannot_run_is_exit_code_2(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak"],
        cwd=ROOT,
        env=os.environ | {"PG_BIN": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
