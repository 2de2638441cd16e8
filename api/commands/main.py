"""The `partywall` command: a development server, a token for it, a psql into it."""

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import jwt
import uvicorn
from pydantic import SecretStr

from api.commands.audit import audit
from api.commands.clean import clean
from api.main import create_app
from api.observability.logs import configure_logging
from api.settings import Settings, load_settings
from db.connect import environment
from db.embedded import Cluster, EmbeddedPostgresError, binary
from db.session import is_user_id

ROOT = Path(__file__).parent.parent.parent
TOKEN_SECONDS = 24 * 60 * 60

# app_owner does not log in: the login that may become it does.
LOGINS = {
    "app_api": ("app_api", None),
    "app_auditor": ("app_auditor", None),
    "app_owner": ("app_migrator", "app_owner"),
    "postgres": ("postgres", None),
}

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".data"),
    show_default=True,
    help="Where the development database and its secrets are.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Partywall: a tasks API whose walls are PostgreSQL's row-level security."""


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 picks a free one.")
@data_dir_option
def dev(port: int, data_dir: Path) -> None:
    """Start PostgreSQL, migrate it, and serve the API on 127.0.0.1 until Ctrl-C.

    With DATABASE_URL set (in the environment or .env) that database is used, and no PostgreSQL is started.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: everything is stopped in order
    environment = dev_environment(data_dir)
    try:
        if "DATABASE_URL" in environment:
            say("DATABASE_URL is set: using that database, starting none")
            with listening(port) as listener:
                serve(environment, listener)
            return
        cluster = Cluster(data_dir)
        urls = {
            "DATABASE_URL": cluster.url("app_api"),
            "MIGRATION_DATABASE_URL": cluster.url("app_migrator"),
        }
        with locked(data_dir), listening(port) as listener, running(cluster):
            serve(environment | urls, listener)
    except KeyboardInterrupt:
        say("stopped")
    except EmbeddedPostgresError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("subject")
@data_dir_option
def token(subject: str, data_dir: Path) -> None:
    """Print a token that makes SUBJECT the caller of the development server, for 24 hours."""
    if not is_user_id(subject):
        raise click.BadParameter("a subject has 1 to 255 characters, no control characters")
    click.echo(make_token(subject, dev_environment(data_dir)))


@main.command()
@click.option("--role", type=click.Choice(sorted(LOGINS)), default="postgres", show_default=True)
@data_dir_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(role: str, data_dir: Path, arguments: tuple[str, ...]) -> None:
    """Open psql on the development database as ROLE. ARGUMENTS after -- go to psql."""
    cluster = Cluster(data_dir)
    if not cluster.is_running:
        raise click.ClickException(f"no database runs in {data_dir}: start it with make dev (or partywall dev)")
    login, become = LOGINS[role]
    environment = os.environ | ({"PGOPTIONS": f"-c role={become}"} if become else {})
    program = binary("psql")
    os.execve(program, [program, cluster.url(login), *arguments], environment)  # noqa: S606


@main.command()
def openapi() -> None:
    """Print the OpenAPI document that /openapi.json serves."""
    app = create_app(Settings.model_construct(database_url=SecretStr("")))  # it serves nobody
    click.echo(json.dumps(app.openapi(), indent=2, ensure_ascii=False))


main.add_command(audit)
main.add_command(clean)


def say(message: str) -> None:
    """Tell what is being done, before it is done."""
    click.echo(f"partywall: {message}")


def dev_environment(data_dir: Path) -> dict[str, str]:
    """Return the environment of the development server: what is set, over .env, over what is generated.

    The secret is made once and kept in `data_dir`, readable by its owner only.
    """
    file = data_dir / "jwt-secret"
    if not file.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        draft = data_dir / f"jwt-secret.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        draft.rename(file)
    generated = {"JWT_SECRET": file.read_text(), "CORS_ORIGINS": "http://localhost:3000"}
    return generated | environment()


def make_token(subject: str, environment: Mapping[str, str]) -> str:
    """Return a JWT for `subject`, signed as the settings in `environment` demand."""
    claims: dict[str, object] = {"sub": subject, "exp": int(time.time()) + TOKEN_SECONDS}
    claims |= {
        claim: environment[name]
        for claim, name in (("iss", "JWT_ISSUER"), ("aud", "JWT_AUDIENCE"))
        if name in environment
    }
    return jwt.encode(claims, environment["JWT_SECRET"], algorithm="HS256")


def serve(environment: Mapping[str, str], listener: socket.socket) -> None:
    """Migrate if there is a URL to migrate by, then serve until a signal ends it."""
    os.environ.update(environment)
    settings = load_settings()
    if "MIGRATION_DATABASE_URL" in environment:
        say("migrations: alembic upgrade head")
        alembic = [sys.executable, "-m", "alembic", "--config", str(ROOT / "alembic.ini"), "upgrade", "head"]
        if subprocess.run(alembic, check=False).returncode:  # noqa: S603
            raise click.ClickException("the migrations failed: see above")
    else:
        say("MIGRATION_DATABASE_URL is not set: no migrations")
    say("starting the API")
    configure_logging()
    url = "http://{}:{}".format(*listener.getsockname())
    welcome = WELCOME.format(url=url, token=make_token("alice", environment))
    server = DevelopmentServer(uvicorn.Config(create_app(settings), log_config=None), welcome)
    server.run(sockets=[listener])


WELCOME = """
    documentation  {url}/docs
    token of alice, for 24 hours (another: partywall token bob)

{token}

    try it: adds a task that only alice can see

curl -s {url}/tasks -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{{"text": "Buy milk"}}'
"""


class DevelopmentServer(uvicorn.Server):
    """Uvicorn, with a word of welcome when it is ready."""

    def __init__(self, config: uvicorn.Config, welcome: str) -> None:
        """Keep `welcome` for later."""
        super().__init__(config)
        self._welcome = welcome

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; then say how to call."""
        await super().startup(sockets)
        click.echo(self._welcome)


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Give a socket bound to `port`, before anything is started in vain."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise click.ClickException(f"port {port}: {error.strerror}; choose another with PORT=") from error
        yield listener


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the directory's lock. The kernel drops it however the process ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException(
                f"another partywall dev runs on {data_dir}: stop it, or choose another DATA_DIR="
            ) from None
        yield


@contextmanager
def running(cluster: Cluster) -> Iterator[None]:
    """Run the cluster, created if it is new; stop it at the end."""
    if not cluster.exists:
        say("creating a PostgreSQL cluster (once)")
        cluster.create()
    try:
        if cluster.is_running:
            say("PostgreSQL still runs from a start that was killed: using it")
        else:
            say("starting PostgreSQL")
            cluster.start()
        say("database and roles")
        cluster.prepare()
        yield
    finally:
        if cluster.is_running:
            say("stopping PostgreSQL")
            cluster.stop()
