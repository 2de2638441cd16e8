"""The contenders that are not in Python, and how to install what they need: where git ignores it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from benchmarks.servers import Contender
from benchmarks.stage import ROOT, BenchmarkError

OLDEST_NODE = 20
NODE = ROOT / "benchmarks" / "contenders" / "node"
GO = ROOT / "benchmarks" / "contenders" / "go"
BINARY = ROOT / ".bench" / "go_pgx"
# Debian's packages of Go libraries are not modules: golang-github-jackc-pgx-v4-dev, golang-github-golang-jwt-jwt-dev.
GO_ENVIRONMENT = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}


def _node(name: str, file: str, *, graphql: bool = False, **settings: str) -> Contender:
    production = {"NODE_ENV": "production", **settings}
    return Contender(name, ("node", str(NODE / file)), settings=(*production.items(),), graphql=graphql)


FASTIFY_PG = _node("fastify_pg", "fastify_pg.js")
FASTIFY_TUNED = _node("fastify_tuned", "fastify_pg.js", TUNED="true")
FASTIFY_POSTGRES = _node("fastify_postgres", "fastify_postgres.js")
POSTGRAPHILE = _node("postgraphile", "postgraphile.js", graphql=True)
GO_PGX = Contender("go_pgx", (str(BINARY),))


def install_node() -> None:
    """Install the packages as the lock file says, unless they are. Raises BenchmarkError."""
    _require("node", "npm")
    version = _run("node", "-p", "process.versions.node", at=NODE).strip()
    if int(version.partition(".")[0]) < OLDEST_NODE:
        raise BenchmarkError(f"Fastify needs Node {OLDEST_NODE}, and this is {version}")
    lock = (NODE / "package-lock.json").read_text()
    installed = NODE / "node_modules" / ".installed"
    if not installed.exists() or installed.read_text() != lock:
        click.echo("installing the packages of the contenders under Node (once)")
        _run("npm", "ci", at=NODE)
        installed.write_text(lock)  # last: an interrupted installation starts over


def install_go() -> None:
    """Build the contender in Go. Raises BenchmarkError."""
    _require("go")
    BINARY.parent.mkdir(exist_ok=True)
    _run("go", "build", "-o", str(BINARY), "main.go", at=GO, environment=GO_ENVIRONMENT)


INSTALL: Sequence[tuple[Callable[[], None], Sequence[Contender]]] = (
    (install_node, (FASTIFY_PG, FASTIFY_TUNED, FASTIFY_POSTGRES, POSTGRAPHILE)),
    (install_go, (GO_PGX,)),
)


def install() -> tuple[list[Contender], dict[str, str]]:
    """Install what the peers need. Return those that can be served, and of the others why they are left out."""
    ready: list[Contender] = []
    left_out: dict[str, str] = {}
    for prepare, contenders in INSTALL:
        try:
            prepare()
            ready += contenders
        except BenchmarkError as error:
            left_out |= {contender.name: str(error) for contender in contenders}
    return ready, left_out


def _require(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise BenchmarkError(f"there is no {program} on this machine")


def _run(program: str, *arguments: str, at: Path, environment: Mapping[str, str] | None = None) -> str:
    """Return what a program prints. Raises BenchmarkError if it fails."""
    done = subprocess.run(
        [program, *arguments],
        cwd=at,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"{program} {arguments[0]} failed: {(done.stderr.strip() or done.stdout.strip())[:500]}")
    return done.stdout
