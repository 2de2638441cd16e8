"""The contenders that are not in Python are left out, with a reason, where they cannot be installed."""

import json
from pathlib import Path

import pytest

from benchmarks import peers

NODE = {"fastify_pg", "fastify_tuned", "fastify_postgres", "postgraphile"}


def test_without_their_programs_they_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ready, left_out = peers.install()

    assert ready == []
    assert left_out == dict.fromkeys(NODE, "there is no node on this machine") | {
        "go_pgx": "there is no go on this machine"
    }


def test_without_a_library_they_are_left_out_with_what_the_program_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'cannot find package \"github.com/jackc/pgx/v4\"' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    _, left_out = peers.install()

    assert left_out["go_pgx"] == 'go build failed: cannot find package "github.com/jackc/pgx/v4"'


def test_under_an_old_node_they_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program, says in (("node", "18.20.4"), ("npm", "never called")):
        (tmp_path / program).write_text(f"#!/bin/sh\necho {says}\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    _, left_out = peers.install()

    assert {left_out[name] for name in NODE} == {"Fastify needs Node 20, and this is 18.20.4"}


def test_the_lock_file_names_no_address_to_install_from() -> None:
    packages = json.loads((peers.NODE / "package-lock.json").read_text())["packages"]
    installed = [package for name, package in packages.items() if name]

    assert installed
    assert [package for package in installed if "resolved" in package or "integrity" not in package] == []


def test_the_packages_have_exact_versions() -> None:
    versions = json.loads((peers.NODE / "package.json").read_text())["dependencies"].values()

    assert [version for version in versions if not version[0].isdigit()] == []
