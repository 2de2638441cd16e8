"""`pip install .` in an empty environment is Partywall: from any directory, migrations included."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest

from db.revision import read_migrations
from tests.support.database import ROOT, Url
from tests.support.tokens import JWT_SECRET

pytestmark = pytest.mark.slow("pip")

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package from a copy of the sources, to which a resource was added; return its file."""
    source, directory = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("api", "db", "migrations"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "api/scratch_resource").mkdir()
    (source / "api/scratch_resource/routes.py").touch()
    build = [
        *PIP,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(directory),
        str(source),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (file,) = directory.iterdir()
    return file


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package where nothing of this checkout is; return the directory of its programs."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True)
    python = environment / "bin/python"
    subprocess.run([*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    # What Partywall depends on, without the network. The checkout is in a .pth beside it, which is not read from here.
    paths = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    (Path(paths["purelib"]) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the package with nothing in its environment but this."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_file_that_the_program_reads_is_in_it(wheel: Path) -> None:
    needed = {
        str(file.relative_to(ROOT))
        for folder in ("api", "db", "migrations")
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    packaged = set(ZipFile(wheel).namelist())
    assert needed - packaged == {"api/openapi.json"}  # for who reads the repository
    assert "api/scratch_resource/routes.py" in packaged


def test_the_app_is_imported_from_the_environment_and_not_from_here(programs: Path, tmp_path: Path, url: Url) -> None:
    program = "import api.main; print(api.main.app, api.main.__file__)"
    settings = {"DATABASE_URL": url("app_api"), "JWT_SECRET": JWT_SECRET}
    imported = run(programs / "python", "-c", program, cwd=tmp_path, **settings)
    assert (imported.returncode, imported.stderr) == (0, "")
    assert str(programs.parent) in imported.stdout


def test_its_command_runs(programs: Path, tmp_path: Path) -> None:
    shown = run(programs / "partywall", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "dev" in shown.stdout


def test_it_migrates_and_passes_the_audit(programs: Path, tmp_path: Path, url: Url, admin: psycopg.Connection) -> None:
    for command in (("downgrade", "base"), ("upgrade", "head"), ("check",)):
        migrations = (programs / "python", "-m", "migrations", *command)
        migrated = run(*migrations, cwd=tmp_path, MIGRATION_DATABASE_URL=url("app_migrator"))
        assert migrated.returncode == 0, migrated.stderr
    assert admin.execute("table migrations.alembic_version").fetchall() == [(read_migrations().head,)]

    audited = run(programs / "partywall", "audit", cwd=tmp_path, DATABASE_URL=url("app_api"))
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_a_package_migrations_in_the_working_directory_is_somebody_elses(
    programs: Path, tmp_path: Path, url: Url
) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/__init__.py").write_text("raise SystemExit('not ours')")
    program = "import sys; sys.path.remove(''); from migrations import alembic; sys.exit(alembic(sys.argv[1], 'check'))"
    checked = run(programs / "python", "-c", program, url("app_migrator"), cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
