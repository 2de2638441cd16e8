"""`partywall dev`: PostgreSQL, migrations and the API on this machine."""

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import uvicorn

from api.commands.options import data_dir_option
from api.commands.token import dev_environment, make_token
from api.http.server import Protocol
from api.main import create_app
from api.observability.logs import configure_logging
from api.settings import load_settings
from db.connect import connect
from db.embedded import Cluster, EmbeddedPostgresError
from db.revision import ForeignSchemaError, Schema, read_migrations, read_schema, require_ours
from migrations import alembic


@click.command()
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
            require_our_schema(cluster, data_dir)
            serve(environment | urls, listener)
    except KeyboardInterrupt:
        say("stopped")
    except EmbeddedPostgresError as error:
        raise click.ClickException(str(error)) from error


def say(message: str) -> None:
    """Tell what is being done, before it is done."""
    click.echo(f"partywall: {message}")


def serve(environment: Mapping[str, str], listener: socket.socket) -> None:
    """Migrate if there is a URL to migrate by, then serve until a signal ends it."""
    os.environ.update(environment)
    settings = load_settings()
    if "MIGRATION_DATABASE_URL" in environment:
        say("migrations: alembic upgrade head")
        if alembic(environment["MIGRATION_DATABASE_URL"], "upgrade", "head"):
            raise click.ClickException("the migrations failed: see above")
    else:
        say("MIGRATION_DATABASE_URL is not set: no migrations")
    say("starting the API")
    configure_logging()
    url = "http://{}:{}".format(*listener.getsockname())
    welcome = WELCOME.format(url=url, token=make_token("alice", environment))
    server = DevelopmentServer(uvicorn.Config(create_app(settings), log_config=None, http=Protocol), welcome)
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


def require_our_schema(cluster: Cluster, data_dir: Path) -> None:
    """Return if the migrations of this version made the cluster's schema, or if it has none yet."""
    try:
        require_ours(asyncio.run(_read_schema(cluster.url("app_migrator"))), read_migrations())
    except ForeignSchemaError as error:
        raise click.ClickException(f"{error}: delete {data_dir}, or choose another with DATA_DIR=") from error


async def _read_schema(url: str) -> Schema:
    connection = await connect(url, application_name="partywall dev")
    try:
        return await read_schema(connection)
    finally:
        await connection.close()
