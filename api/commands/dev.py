"""`partywall dev`: PostgreSQL, migrations and the API on this machine."""

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import click
import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors.statreload import StatReload

import api
import db
from api.commands.options import data_dir_option, line_to_paste
from api.commands.token import dev_environment, make_token
from api.http.server import UseProtocol
from api.main import create_app
from api.observability.logs import configure_text_logging
from api.settings import load_settings
from db.connect import DatabaseUnavailableError, connect
from db.connection import Connection
from db.embedded import Cluster, EmbeddedPostgresError
from db.replica import read_identity
from db.revision import ForeignSchemaError, Schema, read_migrations, read_schema, require_ours
from migrations import alembic

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C; kill; the terminal is closed
FOLLOWS_WITHIN = 5.0  # seconds until a standby that gets nothing from its primary is made anew
SHUTDOWN_SECONDS = 2  # for the requests under way: a person waits


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 picks a free one.")
@click.option("--replica", is_flag=True, help="Start a standby, too, and read from it.")
@data_dir_option
def dev(port: int, data_dir: Path, *, replica: bool) -> None:
    """Start PostgreSQL, migrate it, and serve the API on 127.0.0.1 until Ctrl-C. A change of the code reloads the API.

    With DATABASE_URL set (in the environment or .env) that database is used, and no PostgreSQL is started.
    """
    for each in SIGNALS:
        if signal.getsignal(each) != signal.SIG_IGN:  # as under nohup
            signal.signal(each, signal.default_int_handler)
    environment = dev_environment(data_dir)
    try:
        if "DATABASE_URL" in environment:
            if replica:
                raise click.UsageError("--replica is for the PostgreSQL that this starts: set DATABASE_REPLICA_URL")
            say("DATABASE_URL is set: using that database, starting none")
            with listening(port, data_dir) as listener:
                serve(environment, listener, data_dir)
            return
        cluster = Cluster(data_dir)
        urls = {
            "DATABASE_URL": cluster.url("app_api"),
            "MIGRATION_DATABASE_URL": cluster.url("app_migrator"),
        }
        with locked(data_dir), listening(port, data_dir) as listener, running(cluster):
            require_our_schema(cluster, data_dir)
            with ExitStack() as stack:
                if replica:
                    urls["DATABASE_REPLICA_URL"] = stack.enter_context(following(cluster, data_dir)).url("app_api")
                serve(environment | urls, listener, data_dir)
    except KeyboardInterrupt:
        pass
    except EmbeddedPostgresError as error:
        raise click.ClickException(str(error)) from error
    say("stopped")


def say(message: str) -> None:
    """Tell what is being done, before it is done; nobody, if the terminal is closed."""
    with suppress(OSError):
        click.echo(f"partywall: {message}")


def serve(environment: Mapping[str, str], listener: socket.socket, data_dir: Path) -> None:
    """Migrate if there is a URL to migrate by, then serve until a signal ends it."""
    welcome = WELCOME.format(
        url="http://{}:{}".format(*listener.getsockname()),
        token=make_token("alice", environment),
        another=_another_token(data_dir),
    )
    os.environ.update(environment)
    load_settings()
    if "MIGRATION_DATABASE_URL" in environment:
        say("migrations: alembic upgrade head")
        if alembic(environment["MIGRATION_DATABASE_URL"], "upgrade", "head"):
            raise click.ClickException("the migrations failed: see above")
    else:
        say("MIGRATION_DATABASE_URL is not set: no migrations")
    say("starting the API")
    configure_text_logging()
    config = uvicorn.Config(
        "api.commands.dev:development_app",
        factory=True,
        log_config=None,
        reload=True,
        reload_dirs=[str(Path(package.__path__[0])) for package in (api, db)],
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    Reloader(config, DevelopmentServer(config, welcome).run, [listener]).run()


def _another_token(data_dir: Path) -> str:
    line = line_to_paste(data_dir, "token", "bob")
    exported = [name for name in ("JWT_SECRET", "JWT_ISSUER", "JWT_AUDIENCE") if name in os.environ]
    return f"{line}, where {' and '.join(exported)} must be exported, too" if exported else line


def development_app() -> ASGIApp:
    """Return the API for one run of the server."""
    configure_text_logging()
    return UseProtocol(create_app(load_settings()))


WELCOME = """
    documentation  {url}/docs
    token of alice, for 24 hours (another: {another})

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


class Reloader(StatReload):
    """Uvicorn's, which also ends when the terminal is closed, and welcomes once."""

    def startup(self) -> None:
        """Start the server."""
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self.signal_handler)
        super().startup()

    def restart(self) -> None:
        """Start the server anew."""
        self.target = uvicorn.Server(self.config).run
        super().restart()


@contextmanager
def listening(port: int, data_dir: Path) -> Iterator[socket.socket]:
    """Give a socket bound to `port`, before anything is started in vain."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            another = line_to_paste(data_dir, "dev", "--port", "0")
            raise click.ClickException(f"port {port}: {error.strerror}; to use a free one: {another}") from error
        yield listener


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the directory's lock. The kernel drops it however the process ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            another = line_to_paste(Path(f"{data_dir}-2"), "dev", "--port", "0")
            raise click.ClickException(
                f"another partywall dev runs on {data_dir}: stop it, or start one beside it: {another}"
            ) from None
        yield


@contextmanager
def running(cluster: Cluster) -> Iterator[None]:
    """Run the cluster, created if it is new; stop it at the end."""
    if not cluster.exists:
        say("creating a PostgreSQL cluster (once)")
        cluster.create()
    try:
        start(cluster)
        say("database and roles")
        cluster.prepare()
        yield
    finally:
        with uninterrupted():
            if cluster.is_running:
                say("stopping PostgreSQL")
                cluster.stop()


@contextmanager
def following(primary: Cluster, data_dir: Path) -> Iterator[Cluster]:
    """Run a standby of the cluster, made if it is new or cannot follow any more; stop it at the end."""
    standby = Cluster(data_dir / "replica")
    try:
        if standby.exists and not _follows(standby, primary):
            say("the replica cannot follow any more: making it anew")
            if standby.is_running:
                standby.stop()
            standby.remove()
        if not standby.exists:
            say("copying the cluster (once)")
            standby.copy(primary.url("postgres"))
            start(standby, "the replica")
        yield standby
    finally:
        with uninterrupted():
            if standby.is_running:
                say("stopping the replica")
                standby.stop()


def _follows(standby: Cluster, primary: Cluster) -> bool:
    """Start the standby. Return whether the primary sends it what it needs."""
    try:
        start(standby, "the replica")
        return asyncio.run(_is_streaming(primary.url("postgres", "postgres"), standby.url("postgres", "postgres")))
    except (EmbeddedPostgresError, DatabaseUnavailableError):
        return False


async def _is_streaming(primary: str, standby: str) -> bool:
    """Return whether the standby gets from the primary what it needs."""
    async with _connected(primary) as to_primary, _connected(standby) as to_standby:
        if await read_identity(to_primary) != await read_identity(to_standby):
            return False
        for _ in range(int(FOLLOWS_WITHIN / 0.1)):
            if await to_primary.fetchval("select exists (select from pg_stat_replication where state = 'streaming')"):
                return True
            await asyncio.sleep(0.1)
    return False


def start(cluster: Cluster, name: str = "PostgreSQL") -> None:
    """Start the cluster, if it does not run."""
    if cluster.is_running:
        say(f"{name} still runs from a start that was killed: using it")
        return
    say(f"starting {name}")
    with uninterrupted():  # or there could be a server whose start was never seen
        cluster.start()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let SIGNALS wait for the end of the block: the programs that it runs do not get them either."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def require_our_schema(cluster: Cluster, data_dir: Path) -> None:
    """Return if the migrations of this version made the cluster's schema, or if it has none yet."""
    try:
        require_ours(asyncio.run(_read_schema(cluster.url("app_migrator"))), read_migrations())
    except ForeignSchemaError as error:
        another = line_to_paste(Path(f"{data_dir}-2"), "dev")
        raise click.ClickException(f"{error}: delete {data_dir}, or leave it and use another: {another}") from error


async def _read_schema(url: str) -> Schema:
    async with _connected(url) as connection:
        return await read_schema(connection)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    connection = await connect(url, application_name="partywall dev")
    try:
        yield connection
    finally:
        await connection.close()
