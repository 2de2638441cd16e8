"""Which schema the API serves on, and which one alembic may change: by down_revision and by the database's record."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from db.connect import connect
from db.revision import (
    NOT_MIGRATED,
    BrokenChainError,
    Migrations,
    Schema,
    read_migrations,
    read_schema,
    why_not_served,
)
from tests.support.database import ROOT, Url, alembic, url_to

OURS = read_migrations()
SCRIPTS = ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))
TEMPLATE = 'from typing import Union\nrevision: str = "{}"\ndown_revision: Union[str, None] = {!r}\n'


def schema_of(url: str) -> Schema:
    """Return what the login of `url` reads of the schema."""

    async def read() -> Schema:
        connection = await connect(url, application_name="a test")
        try:
            return await read_schema(connection)
        finally:
            await connection.close()

    return asyncio.run(read())


def grow(tree: Path, *options: str) -> Migrations:
    """Add a migration to a copy of the tree, as a person does; return the migrations of the copy."""
    alembic("", "revision", "--message", "add a scratch table", *options, tree=tree)
    grown = read_migrations(tree / "migrations/versions")
    (file,) = (tree / "migrations/versions").glob(f"{grown.head}_*.py")
    file.write_text(re.sub(r'op.execute\(r""".*?"""\)', 'op.execute("select")', file.read_text(), flags=re.DOTALL))
    return grown


# ---- the files ---------------------------------------------------------------------------------------


def test_the_migrations_are_those_that_alembic_finds() -> None:
    assert OURS.head == SCRIPTS.get_current_head()
    assert OURS.revisions == {script.revision for script in SCRIPTS.walk_revisions()}


def test_importing_the_api_does_not_import_alembic() -> None:
    program = "import sys, api.main; sys.exit('alembic' in sys.modules or 'sqlalchemy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def write(directory: Path, **revisions: str | tuple[str, ...] | None) -> None:
    """Write a migration for each revision, named against its place in the chain."""
    for number, (revision, followed) in enumerate(revisions.items()):
        (directory / f"{9999 - number}_{number}.py").write_text(TEMPLATE.format(revision, followed))


def test_the_chain_is_followed_and_not_the_names_of_files(tmp_path: Path) -> None:
    write(tmp_path, f00=None, d0d0="f00", c0ffee="d0d0")
    assert read_migrations(tmp_path) == Migrations("c0ffee", frozenset({"f00", "d0d0", "c0ffee"}))


def test_two_branches_that_were_merged_have_one_newest_revision(tmp_path: Path) -> None:
    write(tmp_path, a=None, b="a", c="a", d=("b", "c"))
    assert read_migrations(tmp_path).head == "d"


@pytest.mark.parametrize(
    ("revisions", "message"),
    [
        ({"a": None, "b": "a", "c": "a"}, "there must be one newest revision, and there are 2: c, b"),
        ({"a": "b", "b": "a"}, "there must be one newest revision, and there are 0"),
        ({}, "there must be one newest revision, and there are 0"),
        ({"a": None, "c": "b"}, "a migration follows a revision that has no file: b"),
    ],
)
def test_a_chain_that_does_not_lead_to_one_newest_revision_is_refused(
    tmp_path: Path, revisions: dict[str, str | None], message: str
) -> None:
    write(tmp_path, **revisions)
    with pytest.raises(BrokenChainError, match=message):
        read_migrations(tmp_path)


def test_two_files_with_one_revision_are_refused(tmp_path: Path) -> None:
    """As after a merge of two branches that both added 0005."""
    for name in ("0005_notes", "0005_photos"):
        (tmp_path / f"{name}.py").write_text(TEMPLATE.format("0005", None))
    with pytest.raises(BrokenChainError, match="two migrations have the same revision: 0005"):
        read_migrations(tmp_path)


def test_a_file_without_a_revision_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.py").write_text("answer = 42\n")
    with pytest.raises(BrokenChainError, match=r"a migration does not say its revision: notes\.py"):
        read_migrations(tmp_path)


def test_alembic_refuses_a_chain_with_two_newest_revisions_in_the_same_words(tree: Path, url: Url) -> None:
    grow(tree)
    write(tree / "migrations/versions", f00=OURS.head)
    run = alembic(url("app_migrator"), "upgrade", "heads", check=False, tree=tree)
    assert run.returncode != 0
    assert "FAILED: there must be one newest revision, and there are 2" in run.stdout


# ---- the API -----------------------------------------------------------------------------------------


def test_the_newest_revision_is_served(url: Url) -> None:
    schema = schema_of(url("app_api"))
    assert schema == Schema(frozenset({OURS.head}), OURS.revisions)
    assert why_not_served(schema, OURS) == []


def test_an_older_schema_is_not_served(tree: Path, url: Url) -> None:
    newer = grow(tree)
    assert why_not_served(schema_of(url("app_api")), newer) == [
        f"The schema is at revision {OURS.head}, and this version needs {newer.head}: run alembic upgrade head."
    ]


@pytest.mark.parametrize("options", [(), ("--rev-id", "c0ffee123456")], ids=["a number", "a hash"])
def test_a_newer_schema_is_served(options: tuple[str, ...], tree: Path, url: Url) -> None:
    newer = [grow(tree, *options), grow(tree)][-1]
    alembic(url("app_migrator"), "upgrade", "head", tree=tree)

    schema = schema_of(url("app_api"))
    assert schema.revision == {newer.head} != {OURS.head}
    assert why_not_served(schema, OURS) == []


def test_a_schema_that_another_branch_made_is_not_served(tree: Path, url: Url) -> None:
    ours = grow(tree, "--rev-id", "0123456789ab")
    for file in (tree / "migrations/versions").glob("0123456789ab_*"):
        file.unlink()
    theirs = grow(tree, "--rev-id", "ba9876543210")
    alembic(url("app_migrator"), "upgrade", "head", tree=tree)

    (reason,) = why_not_served(schema_of(url("app_api")), ours)
    assert f"at revision {theirs.head}, which this version does not know, and which is not newer than" in reason


@pytest.mark.parametrize(
    ("change", "revision"),
    [
        ("update migrations.alembic_version set version_num = '9999'", "9999"),
        ("insert into migrations.alembic_version values ('9999')", f"{OURS.head}, 9999"),
    ],
    ids=["one that nobody recorded", "two"],
)
def test_an_unknown_revision_is_not_served(change: str, revision: str, admin: psycopg.Connection, url: Url) -> None:
    admin.execute(change)
    admin.commit()
    (reason,) = why_not_served(schema_of(url("app_api")), OURS)
    assert f"at revision {revision}, which this version does not know" in reason


@pytest.mark.parametrize("change", ["drop schema migrations cascade", "revoke usage on schema migrations from app_api"])
def test_a_schema_without_a_revision_that_the_api_may_read_is_not_served(
    change: str, admin: psycopg.Connection, url: Url
) -> None:
    admin.execute(change)
    admin.commit()
    assert why_not_served(schema_of(url("app_api")), OURS) == [NOT_MIGRATED]


# ---- the record --------------------------------------------------------------------------------------


def test_the_record_follows_upgrades_downgrades_and_stamps(empty: psycopg.Connection, migrator: str) -> None:
    for arguments in (("upgrade", "0002"), ("downgrade", "-1"), ("upgrade", "head"), ("stamp", "0001")):
        alembic(migrator, *arguments)
        schema = schema_of(url_to(empty, "postgres"))
        assert schema.included == {script.revision for script in SCRIPTS.iterate_revisions(str(schema), "base")}

    alembic(migrator, "stamp", "base")
    assert schema_of(url_to(empty, "postgres")) == Schema(frozenset(), frozenset())


def test_the_sql_that_is_printed_records_the_same(empty: psycopg.Connection, migrator: str) -> None:
    script = alembic(migrator, "upgrade", "head", "--sql").stdout
    with psycopg.connect(migrator, autocommit=True) as connection:
        connection.execute(script)
    assert schema_of(url_to(empty, "app_api")) == Schema(frozenset({OURS.head}), OURS.revisions)


# ---- alembic -----------------------------------------------------------------------------------------

UNRECORDED = "comment on table migrations.alembic_version is null"
FOREIGN = "was made by another program, or by migrations that were rewritten since: nothing was done"


@pytest.mark.parametrize("revision", ["0001", "9999"])
def test_alembic_leaves_a_schema_alone_that_other_migrations_made(
    revision: str, admin: psycopg.Connection, url: Url
) -> None:
    """Its revision may be one of ours by name: every chain of numbers begins with 0001."""
    admin.execute(UNRECORDED)
    admin.execute("update migrations.alembic_version set version_num = %s", [revision])
    admin.commit()

    run = alembic(url("app_migrator"), "upgrade", "head", check=False)

    assert run.returncode != 0
    assert run.stdout == f"FAILED: the schema (revision {revision}) {FOREIGN}\n"
    assert "Traceback" not in run.stderr
    assert admin.execute("table migrations.alembic_version").fetchall() == [(revision,)]


def test_whoever_knows_better_stamps_it(admin: psycopg.Connection, url: Url) -> None:
    admin.execute(UNRECORDED)
    admin.commit()
    alembic(url("app_migrator"), "stamp", "--purge", "head")
    assert schema_of(url("app_api")) == Schema(frozenset({OURS.head}), OURS.revisions)
    alembic(url("app_migrator"), "upgrade", "head")


def test_alembic_of_an_older_version_leaves_a_newer_schema_alone(tree: Path, url: Url) -> None:
    newer = grow(tree)
    alembic(url("app_migrator"), "upgrade", "head", tree=tree)

    run = alembic(url("app_migrator"), "upgrade", "head", check=False)

    assert run.returncode != 0
    made = f"the schema (revision {newer.head}) was made by a newer version than this ({OURS.head})"
    assert run.stdout == f"FAILED: {made}: nothing was done\n"


# ---- a new revision ----------------------------------------------------------------------------------


def test_a_new_revision_is_the_next_number_in_the_form_of_the_others(tree: Path) -> None:
    grow(tree, "--rev-id", "0998")

    alembic("", "revision", "--message", "add a scratch table", tree=tree)

    assert read_migrations(tree / "migrations/versions") == Migrations("0999", OURS.revisions | {"0998", "0999"})
    file = tree / "migrations/versions/0999_add_a_scratch_table.py"
    text = file.read_text()
    assert text.startswith('"""Add a scratch table."""\n\nfrom alembic import op\n\n')
    assert 'revision = "0999"\ndown_revision = "0998"\n' in text
    assert text.count('    op.execute(r"""\n') == 2
    shutil.copy(ROOT / "pyproject.toml", tree)
    for check in (("check",), ("format", "--check")):
        subprocess.run([sys.executable, "-m", "ruff", *check, file], cwd=tree, check=True)


def test_a_new_revision_that_nobody_filled_in_fails_and_so_runs_when_it_is(tree: Path, url: Url) -> None:
    alembic("", "revision", "--message", "add a scratch table", tree=tree)
    run = alembic(url("app_migrator"), "upgrade", "head", check=False, tree=tree)
    assert run.returncode != 0
    assert "The statement was: \ncreate table, comments, indexes, row-level security" in run.stdout
    assert schema_of(url("app_api")).revision == {OURS.head}


def test_hashes_are_followed_by_hashes_and_a_given_id_is_kept(tree: Path) -> None:
    assert grow(tree, "--rev-id", "c0ffee123456").head == "c0ffee123456"
    assert len(grow(tree).head) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), 'say what the revision is for: alembic revision -m "add notes"'),
        (("--message", "notes", "--autogenerate"), "migrations are SQL, written by hand"),
    ],
)
def test_a_revision_that_would_say_nothing_is_not_made(arguments: tuple[str, ...], message: str, tree: Path) -> None:
    run = alembic("", "revision", *arguments, check=False, tree=tree)
    assert run.returncode != 0
    assert message in run.stdout
    assert read_migrations(tree / "migrations/versions") == OURS
