"""Database URLs as psql takes them and as providers show them: each connects, or is refused in a sentence."""

import asyncio
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import psycopg
import pytest
import uvloop
from psycopg.sql import quote as quote_literal

from api.settings import Settings
from db.connect import DatabaseUnavailableError, connect, url_from_environment
from db.embedded import ROLES
from db.libpq.target import read_target
from db.libpq.url import InvalidUrlError
from tests.support.database import ROOT
from tests.support.servers import serving
from tests.support.tls import DEBIAN, KEY_PASSWORD, PASSWORD, Server, free_port, password_server
from tests.support.tokens import JWT_SECRET

NO_TLS = "no PostgreSQL with TLS: there is none in /usr/lib/postgresql"
needs_tls = pytest.mark.skipif(DEBIAN is None, reason=NO_TLS)

SESSION = """
select session_user::text as user, current_database()::text as database,
    coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as tls,
    case when inet_client_addr() is null then 'socket' else host(inet_server_addr()) end as by,
    current_setting('application_name') as name, current_setting('timezone') as zone,
    current_setting('statement_timeout') as timeout, current_setting('client_encoding') as encoding
"""
Environment = Mapping[str, str]
Set = Callable[[Environment], None]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with password_server(tmp_path_factory.mktemp("server")) as server:
        for file, text in {"passfile": PASSFILE, "open_passfile": PASSFILE, "services": SERVICES}.items():
            (server.directory / file).write_text(filled(text, server))
        (server.directory / "passfile").chmod(0o600)
        (server.directory / "project:region:instance").symlink_to(server.sockets)
        yield server


@pytest.fixture
def set_(server: Server, monkeypatch: pytest.MonkeyPatch) -> Set:
    """Return a function that sets variables of the environment."""

    def set_all(variables: Environment) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, filled(value, server))

    return set_all


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own home, and nothing of libpq's in the environment."""
    for name in [name for name in os.environ if name.startswith(("PG", "SSL_CERT"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def filled(text: str, server: Server) -> str:
    """Return a URL or a file with what is known of the server only when it runs."""
    words = {
        "PORT": str(server.port),
        "CLOSED": str(free_port()),
        "HANGING": str(server.hanging),
        "PW": quote(PASSWORD, safe=""),
        "RAW": PASSWORD,
        "QUOTED": PASSWORD.replace("\\", r"\\").replace("'", r"\'"),
        "SOCKETS": str(server.sockets),
        "ENCODED_SOCKETS": quote(str(server.sockets), safe=""),
        "DIR": str(server.directory),
        "KEY_PW": quote(KEY_PASSWORD),
    }
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(f"<{word}>", words[word])
    return text


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run coroutines as the commands do, and as the API does."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


async def session(url: str) -> dict[str, Any]:
    """Return what the server says of a session that `url` leads to."""
    connection = await connect(url, application_name="a test")
    try:
        [row] = await connection.fetch(SESSION)
        return dict(row)
    finally:
        await connection.close()


HERE = "127.0.0.1:<PORT>"
API = f"postgresql://app_api:<PW>@{HERE}/partywall"
NAMED = "postgresql://app_api:<PW>@db.example.com:<PORT>/partywall?hostaddr=127.0.0.1"
CERTIFIED = f"postgresql://with_certificate@{HERE}/partywall"
LOGIN = {"PGUSER": "app_api", "PGPASSWORD": "<RAW>"}
CA = "sslrootcert=<DIR>/ca.crt"
BY_SOCKET: Mapping[str, object] = {"by": "socket", "tls": False}
PLAIN: Mapping[str, object] = {"by": "127.0.0.1", "tls": False}
TLS: Mapping[str, object] = {"by": "127.0.0.1", "tls": True}

# A URL, variables of the environment, and what the session is like.
WORK: tuple[tuple[str, Environment, Mapping[str, object]], ...] = (
    (API, {}, {"user": "app_api", "database": "partywall", "name": "a test", "zone": "UTC", "encoding": "UTF8"}),
    # ---- how it can be spelled
    (API.replace("postgresql:", "postgres:"), {}, {}),
    (API.replace("postgresql:", "postgresql+asyncpg:"), {}, {}),
    (API.replace("postgresql:", "postgresql+psycopg:"), {}, {}),
    (f" {API}\n", {}, {}),
    ("postgresql://app_api:<PW>@/partywall?host=<SOCKETS>&port=<PORT>", {}, BY_SOCKET),
    ("postgresql://app_api:<PW>@<ENCODED_SOCKETS>:<PORT>/partywall", {}, BY_SOCKET),
    ("postgresql:///partywall?host=<SOCKETS>&port=<PORT>&user=app_api&password=<PW>", {}, BY_SOCKET),
    ("postgresql://app_api:<PW>@/partywall?host=<DIR>/project:region:instance&port=<PORT>", {}, BY_SOCKET),
    ("postgresql://app_api:<PW>@[::1]:<PORT>/partywall", {}, {"by": "::1"}),
    ("postgresql://app_api:<PW>@/partywall?host=::1&port=<PORT>", {}, {"by": "::1"}),
    ("host=127.0.0.1 port=<PORT> user = app_api password='<QUOTED>' dbname=partywall", {}, {}),
    (f"postgresql://{HERE}?user=app_api&password=<PW>&dbname=partywall", {}, {}),
    (f"postgresql://app_api:<PW>@{HERE}?database=partywall", {}, {"database": "partywall"}),
    (f"postgresql://app_api:<PW>@{HERE}/party%77all", {}, {"database": "partywall"}),
    # ---- what is not in it
    ("postgresql://", {"PGHOST": "127.0.0.1", "PGPORT": "<PORT>", **LOGIN}, {"database": "app_api"}),
    ("postgresql://", {"PGHOSTADDR": "127.0.0.1", "PGPORT": "<PORT>", **LOGIN}, {"by": "127.0.0.1"}),
    (f"postgresql://{HERE}/partywall", {"PGUSER": "app_api", "PGPASSWORD": "<RAW>"}, {"user": "app_api"}),
    (f"postgresql://app_api@{HERE}", {"PGPASSWORD": "<RAW>", "PGDATABASE": "partywall"}, {"database": "partywall"}),
    (f"postgresql://app_api:@{HERE}/partywall", {"PGPASSWORD": "<RAW>"}, {}),
    (API, {"PGPASSWORD": "wrong", "PGUSER": "nobody", "PGHOST": "nowhere", "PGDATABASE": "nothing"}, {}),
    (f"postgresql://app_api@{HERE}/partywall?passfile=<DIR>/passfile", {}, {}),
    (f"postgresql://app_api@{HERE}/partywall", {"PGPASSFILE": "<DIR>/passfile"}, {}),
    ("postgresql://app_api@nowhere:<PORT>/partywall?hostaddr=127.0.0.1&passfile=<DIR>/passfile", {}, {}),
    ("postgresql://?service=api&servicefile=<DIR>/services", {}, {"user": "app_api", "database": "partywall"}),
    ("service=api", {"PGSERVICEFILE": "<DIR>/services"}, {"user": "app_api", "timeout": "7s"}),
    ("postgresql://", {"PGSERVICEFILE": "<DIR>/services", "PGSERVICE": "api", "PGDATABASE": "nothing"}, {}),
    ("postgresql:///postgres?service=api", {"PGSERVICEFILE": "<DIR>/services"}, {"database": "postgres"}),
    # ---- several hosts
    ("postgresql://app_api:<PW>@127.0.0.1:<CLOSED>,127.0.0.1:<PORT>/partywall", {}, {}),
    ("postgresql://app_api:<PW>@nowhere.invalid,127.0.0.1/partywall?port=<PORT>", {}, {}),
    ("postgresql://app_api:<PW>@<ENCODED_SOCKETS>x,[::1]:<PORT>/partywall", {}, {"by": "::1"}),
    ("host=127.0.0.1,127.0.0.1 port=<CLOSED>,<PORT> user=app_api password='<QUOTED>' dbname=partywall", {}, {}),
    ("postgresql://app_api:<PW>@127.0.0.1:<HANGING>,127.0.0.1:<PORT>/partywall?connect_timeout=1", {}, {}),
    (f"{API}?target_session_attrs=read-write", {}, {}),
    (f"{API}?target_session_attrs=primary", {}, {}),
    (f"{API}?target_session_attrs=any", {}, {}),
    (f"{API}?target_session_attrs=prefer-standby", {}, {}),
    (f"{API}?target_session_attrs=read-only&options=-c%20default_transaction_read_only%3Don", {}, {}),
    (f"{API}?load_balance_hosts=random", {"PGTARGETSESSIONATTRS": "read-write"}, {}),
    # ---- what the session starts with
    (f"{API}?application_name=reports", {}, {"name": "reports"}),
    (API, {"PGAPPNAME": "reports"}, {"name": "reports"}),
    (f"{API}?fallback_application_name=psql", {}, {"name": "a test"}),
    (f"{API}?options=-c%20statement_timeout%3D3s", {}, {"timeout": "3s"}),
    (f"{API}?options=-c statement_timeout=3s -c search_path=app", {}, {"timeout": "3s"}),
    (API, {"PGOPTIONS": "-c statement_timeout=3s -c timezone=Europe/Berlin"}, {"timeout": "3s", "zone": "UTC"}),
    (f"{API}?client_encoding=LATIN1", {"PGCLIENTENCODING": "LATIN1"}, {"encoding": "UTF8"}),
    (f"{API}?replication=false", {}, {}),
    # ---- how it connects
    (f"{API}?connect_timeout=10&keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3", {}, {}),
    (f"{API}?tcp_user_timeout=5000&connect_timeout=0", {"PGCONNECT_TIMEOUT": "5"}, {}),
    (f"{API}?gssencmode=prefer&gsslib=gssapi&krbsrvname=postgres&gssdelegation=0", {"PGGSSENCMODE": "disable"}, {}),
    (f"{API}?sslcompression=0&min_protocol_version=3.0&max_protocol_version=latest&sslcertmode=allow", {}, {}),
    # ---- what other clients add
    (f"{API}?pgbouncer=true&connection_limit=1&pool_timeout=20&socket_timeout=5&schema=public", {}, {}),
    (f"{API}?statement_cache_size=0&prepared_statement_cache_size=0&sslaccept=accept_invalid_certs", {}, {}),
    (f"{API}?supa=base-pooler.x&workaround=supabase-pooler.vercel&uselibpqcompat=true", {}, {}),
    # ---- TLS, as far as a server without it can be asked
    (f"{API}?sslmode=disable", {}, PLAIN),
    (f"{API}?ssl=false", {}, PLAIN),
    (API, {"PGSSLMODE": "disable"}, PLAIN),
    (f"{API}?sslmode=allow", {}, PLAIN),
    (f"{API}?channel_binding=disable&sslmode=disable", {}, PLAIN),
    ("postgresql://app_api:<PW>@/partywall?host=<SOCKETS>&port=<PORT>&sslmode=verify-full", {}, BY_SOCKET),
)
SYSTEM = {"SSL_CERT_FILE": "<DIR>/ca.crt"}
WORK_WITH_TLS: tuple[tuple[str, Environment, Mapping[str, object]], ...] = (
    (API, {}, TLS),
    (f"{API}?sslmode=prefer", {}, TLS),
    (f"{API}?sslmode=require", {}, TLS),
    (f"{API}?ssl=true", {}, TLS),
    (f"{API}?ssl=require", {}, TLS),
    (f"{API}?sslmode=require", {"PGSSLMODE": "disable"}, TLS),
    (f"{API}?sslmode=prefer&{CA}x", {}, TLS),
    (API.replace("app_api", "only_plain"), {}, PLAIN),
    (f"{API}?sslmode=allow".replace("app_api", "only_tls"), {}, TLS),
    (f"{API}?sslmode=require&channel_binding=prefer&sslnegotiation=postgres&sslsni=0", {}, TLS),
    (f"{API}?sslmode=require&ssl_min_protocol_version=TLSv1.3", {}, TLS),
    (f"{API}?sslmode=require&ssl_max_protocol_version=TLSv1.2", {"PGSSLMINPROTOCOLVERSION": "TLSv1.2"}, TLS),
    # ---- the server's certificate
    (f"{API}?sslmode=verify-ca&{CA}", {}, TLS),
    (f"{API}?sslmode=require&{CA}", {}, TLS),
    (f"{NAMED}&sslmode=verify-full&{CA}", {}, TLS),
    (f"{NAMED}&sslmode=verify-full", {"PGSSLROOTCERT": "<DIR>/ca.crt"}, TLS),
    (f"{NAMED}&sslmode=verify-full&{CA}", {"SSL_CERT_FILE": "<DIR>/another.crt"}, TLS),
    (f"{NAMED}&sslmode=verify-full", SYSTEM, TLS),
    (f"{NAMED}&sslmode=verify-full&sslrootcert=system", SYSTEM, TLS),
    (f"{NAMED}&sslrootcert=system", SYSTEM, TLS),
    # ---- what asyncpg cannot do, and a verified certificate makes up for
    (f"{NAMED}&sslmode=require&channel_binding=require", SYSTEM, TLS),
    (f"{NAMED}&channel_binding=require&{CA}", {}, TLS),
    (f"{NAMED}&sslmode=verify-full&channel_binding=require&require_auth=scram-sha-256", SYSTEM, TLS),
    (f"{NAMED}&sslmode=require&sslaccept=strict", SYSTEM, TLS),
    # ---- the client's certificate
    (f"{CERTIFIED}?sslmode=require&sslcert=<DIR>/client.crt&sslkey=<DIR>/client.key", {}, TLS),
    (f"{CERTIFIED}?sslcert=<DIR>/locked.crt&sslkey=<DIR>/locked.key&sslpassword=<KEY_PW>", {}, TLS),
    (CERTIFIED, {"PGSSLCERT": "<DIR>/client.crt", "PGSSLKEY": "<DIR>/client.key"}, TLS),
)


@pytest.mark.parametrize(
    ("url", "environment", "expected"), [*WORK, *(pytest.param(*row, marks=needs_tls) for row in WORK_WITH_TLS)]
)
def test_a_url_connects(
    url: str, environment: Environment, expected: Mapping[str, object], server: Server, run: Run, set_: Set
) -> None:
    set_(environment)

    answered = run(session(filled(url, server)))

    assert {name: answered[name] for name in expected} == expected
    assert answered["zone"] == "UTC"


# As consoles show them, with the role and the database of docs/scaling.md; and the host, the port, the user.
POOLED, DIRECT = "ep-a-1-pooler.us-east-2.aws.neon.tech", "ep-a-1.us-east-2.aws.neon.tech"
SUPABASE = "aws-0-eu-central-1.pooler.supabase.com"
AZURE = "partywall.postgres.database.azure.com"
RDS = "partywall.c9akciq32example.eu-west-1.rds.amazonaws.com"
CONSOLES = (
    (f"postgresql://app_api:pw@{POOLED}/neondb?sslmode=require&channel_binding=require", (POOLED, 5432, "app_api")),
    (f"postgresql://app_api:pw@{DIRECT}/neondb?sslmode=require&options=endpoint%3Dep-a-1", (DIRECT, 5432, "app_api")),
    (f"postgresql://app_api.abcdef:pw@{SUPABASE}:6543/postgres?pgbouncer=true", (SUPABASE, 6543, "app_api.abcdef")),
    (f"postgres://app_api.abcdef:pw@{SUPABASE}:5432/postgres?sslmode=require", (SUPABASE, 5432, "app_api.abcdef")),
    ("postgresql://app_api:pw@db.abcdef.supabase.co:5432/postgres", ("db.abcdef.supabase.co", 5432, "app_api")),
    (f"host={RDS} port=5432 dbname=partywall user=app_api sslmode=verify-full", (RDS, 5432, "app_api")),
    (
        "postgresql://app_api:pw@%2Fcloudsql%2Fproject%3Aeurope-west1%3Ainstance/partywall",
        ("/cloudsql/project:europe-west1:instance", 5432, "app_api"),
    ),
    ("postgresql://app_api:pw@10.1.2.3:6432/partywall?sslmode=require", ("10.1.2.3", 6432, "app_api")),
    (f"host={AZURE} port=6432 dbname=partywall user=app_api password=pw sslmode=require", (AZURE, 6432, "app_api")),
    (f"postgres://app_api:pw@{AZURE}/partywall?sslmode=require", (AZURE, 5432, "app_api")),
)


@pytest.mark.parametrize(("url", "expected"), CONSOLES)
def test_a_url_of_a_service_is_read_as_its_console_shows_it(url: str, expected: tuple[str, int, str]) -> None:
    target = read_target(url)
    [(host, _)] = target.candidates
    assert (host.name, host.port, target.user) == expected


ESCAPED = PASSWORD.replace("\\", r"\\").replace(":", r"\:")
PASSFILE = f"""
# host:port:database:user:password
nowhere:<PORT>:partywall:somebody:wrong
127.0.0.1:1:*:*:wrong
127.0.0.1:<PORT>:partywall:app_api:{ESCAPED}
nowhere:*:*:*:{ESCAPED}
*:*:*:*:wrong
"""
SERVICES = """
[other]
host=nowhere

# ours
[api]
host=127.0.0.1
port=<PORT>
user=app_api
password=<RAW>
dbname=partywall
options=-c statement_timeout=7s

[strange]
host=nowhere
colour=red
"""


REFUSED: tuple[tuple[str, Environment, str], ...] = (
    ("", {}, "must start with postgresql://"),
    ("mysql://app_api:hunter2@localhost/x", {}, "must start with postgresql://"),
    ("jdbc:postgresql://localhost/x?user=app_api&password=hunter2", {}, "must start with postgresql://"),
    ("psql 'postgresql://app_api:hunter2@localhost/x'", {}, "must start with postgresql://"),
    ("partywall", {}, "must start with postgresql://"),
    ("'postgresql://app_api:hunter2@localhost/x'", {}, "is in quotes"),
    ('"postgresql://app_api:hunter2@localhost/x"', {}, "is in quotes"),
    ("postgresql://app_api:hunter2@local\nhost/x", {}, "control character"),
    ("postgresql://app_api:hunter2@localhost/\udcff", {}, "not UTF-8"),
    # ---- a password that ends too early
    ("postgresql://app_api:hun/ter2@localhost/x", {}, "percent-encode"),
    ("postgresql://app_api:5/hunter2@localhost/x", {}, "percent-encode"),
    ("postgresql://app_api:@hunter2@localhost/x", {}, "percent-encode"),
    ("postgresql://app_api:hunter2%@localhost/x", {}, "percent-encode"),
    ("postgresql://app_api:hunter2%00@localhost/x", {}, "percent-encode"),
    ("postgresql://app_api:hunter2%FF@localhost/x", {}, "not UTF-8"),
    ("host=localhost password=my hunter2", {}, "single quotes"),
    ("host=localhost password='hunter2", {}, "single quotes"),
    ("postgresql://localhost/x?hunter2@1=2", {}, "a parameter"),
    ("postgresql://postgres.abc:[YOUR-PASSWORD]@aws-0-eu.pooler.supabase.com:6543/postgres", {}, "placeholder"),
    ("host=x.postgres.database.azure.com dbname={your_database} user=u password={your_password}", {}, "placeholder"),
    # ---- hosts and ports
    ("postgresql://app_api:hunter2@localhost:http/x", {}, "cannot be parsed"),
    ("postgresql://app_api:hunter2@localhost:65536/x", {}, "port"),
    ("postgresql://app_api:hunter2@localhost/x?port=http", {}, "port"),
    ("postgresql://app_api:hunter2@localhost/x", {"PGPORT": "http"}, "port"),
    ("postgresql://app_api:hunter2@/x?host=localhost:5432", {}, "a port goes into port="),
    ("postgresql://app_api:hunter2@[::1/x", {}, "cannot be parsed"),
    ("postgresql://app_api:hunter2@::1/x", {}, "cannot be parsed"),
    ("postgresql://app_api:hunter2@a,b/x?port=1,2,3", {}, "number of hosts"),
    ("postgresql://app_api:hunter2@a,b/x?hostaddr=127.0.0.1", {}, "hostaddr"),
    ("postgresql://app_api:hunter2@a/x?hostaddr=localhost", {}, "hostaddr"),
    # ---- names and values that are not known
    ("postgresql://app_api:hunter2@a/x?colour=red", {}, "colour"),
    ("postgresql://app_api:hunter2@a/x?SSLMODE=require", {}, "SSLMODE"),
    ("postgresql://app_api:hunter2@a/x?sslmode", {}, "sslmode without a value"),
    ("postgresql://app_api:hunter2@a/x?statement_timeout=5s", {}, "statement_timeout"),
    ("postgresql://app_api:hunter2@a/x?search_path=app", {}, "options=-c"),
    ("host=a passwort=hunter2", {}, "passwort"),
    ("postgresql://app_api:hunter2@a/x?sslmode=no-verify", {}, "sslmode=no-verify"),
    ("postgresql://app_api:hunter2@a/x?ssl=yes", {}, "sslmode=yes"),
    ("postgresql://app_api:hunter2@a/x", {"PGSSLMODE": "on"}, "sslmode=on (from PGSSLMODE)"),
    ("postgresql://app_api:hunter2@a/x?target_session_attrs=master", {}, "target_session_attrs=master"),
    ("postgresql://app_api:hunter2@a/x?load_balance_hosts=yes", {}, "load_balance_hosts=yes"),
    ("postgresql://app_api:hunter2@a/x?channel_binding=on", {}, "channel_binding=on"),
    ("postgresql://app_api:hunter2@a/x?connect_timeout=2s", {}, "connect_timeout=2s"),
    ("postgresql://app_api:hunter2@a/x?keepalives_idle=1.5", {}, "keepalives_idle=1.5"),
    ("postgresql://app_api:hunter2@a/x?pgbouncer=yes", {}, "pgbouncer=yes"),
    ("postgresql://app_api:hunter2@a/x?gsslib=heimdal", {}, "gsslib=heimdal"),
    ("postgresql://app_api:hunter2@a/x?ssl_min_protocol_version=SSLv3", {}, "ssl_min_protocol_version=SSLv3"),
    (
        "postgresql://a/x?ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2",
        {},
        "ssl_min_protocol_version",
    ),
    # ---- what must not be left out in silence
    ("postgresql://app_api:hunter2@a/x?replication=database", {}, "replication=database"),
    ("postgresql://app_api:hunter2@a/x?gssencmode=require", {}, "gssencmode=require"),
    ("postgresql://app_api:hunter2@a/x?gssdelegation=1", {}, "gssdelegation=1"),
    ("postgresql://app_api:hunter2@/x?host=/tmp&requirepeer=postgres", {}, "requirepeer"),
    ("postgresql://app_api:hunter2@a/x?sslcertmode=require", {}, "sslcertmode=require"),
    ("postgresql://app_api:hunter2@a/x?min_protocol_version=3.2", {}, "min_protocol_version=3.2"),
    ("postgresql://app_api:hunter2@a/x?scram_client_key=hunter2", {}, "scram_client_key"),
    ("postgresql://app_api:hunter2@a/x?require_auth=scram-sha-256", {}, "require_auth"),
    ("postgresql://app_api:hunter2@a/x?sslmode=require", {"PGREQUIREAUTH": "!password"}, "require_auth"),
    ("postgresql://app_api:hunter2@/x?host=/tmp&sslmode=verify-full&require_auth=none", {}, "require_auth"),
    ("postgresql://app_api:hunter2@a/x?channel_binding=require&sslmode=disable", {}, "channel_binding=require"),
    ("postgresql://app_api:hunter2@a/x?channel_binding=require&sslmode=allow", {}, "sslmode=allow"),
    ("postgresql://app_api:hunter2@a/x?sslmode=disable", {"PGCHANNELBINDING": "require"}, "channel_binding=require"),
    ("postgresql://app_api:hunter2@/x?host=/tmp&channel_binding=require", {}, "channel_binding=require"),
    ("postgresql://app_api:hunter2@a/x?sslrootcert=system&sslmode=require", {}, "sslmode=verify-full"),
    ("postgresql://app_api:hunter2@a/x?sslrootcert=system&sslmode=verify-ca", {}, "sslmode=verify-full"),
    ("postgresql://app_api:hunter2@a/x?sslmode=verify-ca", {}, "sslrootcert"),
    ("postgresql://app_api:hunter2@a/x?sslnegotiation=direct", {}, "sslnegotiation=direct"),
    ("postgresql://app_api:hunter2@a/x?sslmode=verify-full&sslsni=0", {}, "sslsni=0"),
    # ---- files
    ("postgresql://app_api:hunter2@a/x?sslmode=verify-full&sslrootcert=/nowhere", {}, "sslrootcert"),
    ("postgresql://app_api:hunter2@a/x?sslmode=require&sslrootcert=<DIR>/services", {}, "sslrootcert"),
    ("postgresql://app_api:hunter2@a/x?sslmode=require&sslcert=/nowhere", {}, "sslcert"),
    ("postgresql://app_api:hunter2@a/x?sslcert=<DIR>/locked.crt&sslkey=<DIR>/locked.key", {}, "sslpassword"),
    ("postgresql://app_api:hunter2@a/x?sslmode=require&sslrootcert=<DIR>/ca.crt&sslcrl=/nowhere", {}, "sslcrl"),
    ("postgresql://app_api@a/x?passfile=<DIR>/open_passfile", {}, "passfile"),
    ("postgresql://app_api:hunter2@a/x?service=nowhere", {}, "service"),
    ("service=nowhere", {"PGSERVICEFILE": "<DIR>/services"}, "nowhere"),
    ("service=strange", {"PGSERVICEFILE": "<DIR>/services"}, "colour"),
)


@pytest.mark.parametrize(("url", "environment", "reason"), REFUSED)
def test_a_url_that_asks_for_what_cannot_be_had_is_refused_in_a_sentence(
    url: str, environment: Environment, reason: str, server: Server, set_: Set
) -> None:
    set_({**environment, "DATABASE_URL": filled(url, server) or " "})

    with pytest.raises(InvalidUrlError) as refusal:
        url_from_environment("DATABASE_URL")

    sentence = str(refusal.value)
    assert sentence.startswith("DATABASE_URL ")
    assert reason in sentence
    assert "\n" not in sentence
    assert "hunter2" not in sentence


# Found out when it connects: the server is another one than was asked for, or there is none.
FAIL: tuple[tuple[str, Environment, str], ...] = (
    (f"postgresql://app_api:hunter2@{HERE}/partywall", {}, "password authentication failed"),
    (f"postgresql://app_api@{HERE}/partywall", {}, "password authentication failed"),
    (f"{API}?target_session_attrs=standby", {}, "target attribute"),
    (f"{API}?target_session_attrs=read-write&options=-c default_transaction_read_only=on", {}, "target attribute"),
    (f"{API}?options=endpoint%3Dep-hunter", {}, "endpoint=ep-hunter"),  # of Neon's proxy: it is sent as it is
    ("postgresql://app_api:<PW>@127.0.0.1:<CLOSED>,nowhere.invalid/partywall", {}, "nowhere.invalid: "),
    ("postgresql://app_api:hunter2@127.0.0.1:<PORT>,[::1]:<PORT>/partywall", {}, "password authentication failed"),
    ("postgresql://app_api:hunter2@127.0.0.1:<HANGING>/x?connect_timeout=1", {}, "no connection within 1.0 seconds"),
)
FAIL_WITH_TLS: tuple[tuple[str, Environment, str], ...] = (
    (f"{API}?sslmode=disable".replace("app_api", "only_tls"), {}, "no encryption"),
    (f"{API}?sslmode=require".replace("app_api", "only_plain"), {}, "SSL encryption"),
    ("postgresql://only_tls:hunter2@127.0.0.1:<PORT>/partywall", {}, "password authentication failed"),
    (f"{API}?sslmode=verify-ca&sslrootcert=<DIR>/another.crt", {}, "sslrootcert"),
    (f"{API}?sslmode=require&sslrootcert=<DIR>/another.crt", {}, "certificate"),
    (f"{API}?sslmode=verify-full&{CA}", {}, "IP address mismatch"),
    (f"{NAMED}&sslmode=verify-full&{CA}".replace("db.example", "other.example"), {}, "Hostname mismatch"),
    (f"{NAMED}&sslmode=verify-full", {}, "certificate"),
    (f"{NAMED}&sslrootcert=system", {}, "certificate"),
    (f"{NAMED}&sslmode=require&channel_binding=require", {}, "certificate"),
    (f"{NAMED}&sslmode=require&sslaccept=strict", {"SSL_CERT_FILE": "<DIR>/another.crt"}, "certificate"),
    (f"{API}?sslmode=require&channel_binding=require&{CA}", {}, "IP address mismatch"),
    (f"{CERTIFIED}?sslmode=require", {}, "client certificate"),
)


@pytest.mark.parametrize(
    ("url", "environment", "reason"), [*FAIL, *(pytest.param(*row, marks=needs_tls) for row in FAIL_WITH_TLS)]
)
def test_a_connection_that_is_not_what_the_url_asks_for_is_not_made(
    url: str, environment: Environment, reason: str, server: Server, run: Run, set_: Set
) -> None:
    set_(environment)

    with pytest.raises(DatabaseUnavailableError, match=reason) as error:
        run(session(filled(url, server)))

    assert "hunter2" not in str(error.value)


def test_a_host_that_hangs_leaves_time_for_the_next(server: Server, run: Run) -> None:
    url = filled("postgresql://app_api:<PW>@127.0.0.1:<HANGING>,127.0.0.1:<PORT>/partywall", server)

    connection = run(connect(url, application_name="a test", seconds=4))

    run(connection.close())


# ---- what no question to the server shows -------------------------------------------------------------


async def statements_kept(url: str) -> int:
    """Return how many statements the server keeps for a connection that would like it to keep them."""
    connection = await connect(url, application_name="a test", statement_cache_size=100)
    try:
        await connection.fetchval("select 1")
        return len(await connection.fetch("select from pg_prepared_statements where statement = 'select 1'"))
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("parameter", "kept"),
    [
        ("", 1),
        ("?pgbouncer=false", 1),
        ("?pgbouncer=true", 0),
        ("?statement_cache_size=0", 0),
        ("?prepared_statement_cache_size=0", 0),
    ],
)
def test_a_url_for_pgbouncer_keeps_no_statements_on_the_server(
    parameter: str, kept: int, server: Server, run: Run
) -> None:
    assert run(statements_kept(filled(API + parameter, server))) == kept


async def socket_options(url: str) -> list[int]:
    """Return SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT of a connection."""
    connection = await connect(url, application_name="a test")
    tcp = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]  # noqa: SLF001
    names = ["TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"]
    try:
        options = [(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
        return [tcp.getsockopt(*option) for option in [(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *options]]
    finally:
        await connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the options of a socket are named otherwise")
def test_keepalives_are_on_and_as_the_url_says(server: Server, run: Run) -> None:
    ours = "?keepalives_idle=31&keepalives_interval=6&keepalives_count=4&tcp_user_timeout=7000"

    assert run(socket_options(filled(API, server)))[0] == 1
    assert run(socket_options(filled(API + ours, server))) == [1, 31, 6, 4, 7000]
    assert run(socket_options(filled(f"{API}?keepalives=0", server)))[0] == 0


def test_hosts_are_tried_in_a_random_order_where_the_url_says_so() -> None:
    def orders(parameters: str) -> set[str]:
        targets = [read_target(f"postgresql://a,b/x?{parameters}") for _ in range(50)]
        return {"".join(f"{host.name} {kind} " for host, kind in target.candidates) for target in targets}

    assert orders("") == {"a any b any "}
    assert orders("load_balance_hosts=random") == {"a any b any ", "b any a any "}
    assert orders("target_session_attrs=prefer-standby") == {"a standby b standby a any b any "}


def test_a_user_without_a_name_and_a_home_needs_neither(
    server: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs under any number."""

    def of_nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", of_nobody)
    for variable in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)

    assert run(session(filled(API, server)))["user"] == "app_api"
    with pytest.raises(InvalidUrlError, match="has no user"):
        read_target("postgresql://localhost/x")


@pytest.mark.parametrize(
    ("file", "url", "expected"),
    [
        (".pgpass", f"postgresql://app_api@{HERE}/partywall", {"user": "app_api"}),
        (".pg_service.conf", "service=api", {"timeout": "7s"}),
        pytest.param(".postgresql/root.crt", f"{NAMED}&sslmode=verify-full", TLS, marks=needs_tls),
        pytest.param(".postgresql/root.crt", f"{NAMED}&sslmode=require", TLS, marks=needs_tls),
        pytest.param(".postgresql/root.crt", f"{NAMED}&channel_binding=require", TLS, marks=needs_tls),
        pytest.param(".postgresql/postgresql.crt", CERTIFIED, TLS, marks=needs_tls),
    ],
)
def test_the_files_in_the_home_of_a_user_are_read(
    file: str, url: str, expected: Mapping[str, object], server: Server, home: Path, run: Run
) -> None:
    sources = {"root.crt": "ca.crt", "postgresql.crt": "client.crt", ".pgpass": "passfile"}
    (home / file).parent.mkdir(exist_ok=True)
    (home / file).write_bytes((server.directory / sources.get(Path(file).name, "services")).read_bytes())
    (home / file).chmod(0o600)
    if file.endswith("postgresql.crt"):
        (home / ".postgresql/postgresql.key").write_bytes((server.directory / "client.key").read_bytes())

    answered = run(session(filled(url, server)))

    assert {name: answered[name] for name in expected} == expected


@needs_tls
def test_certificates_of_the_home_that_are_others_are_not_replaced_by_the_systems(
    server: Server, home: Path, run: Run, set_: Set
) -> None:
    set_(SYSTEM)
    (home / ".postgresql").mkdir()
    (home / ".postgresql/root.crt").write_bytes((server.directory / "another.crt").read_bytes())

    with pytest.raises(DatabaseUnavailableError, match="certificate"):
        run(session(filled(f"{NAMED}&sslmode=verify-full", server)))


@pytest.mark.parametrize(("negotiation", "first_byte"), [("direct", 0x16), ("postgres", 0)])
def test_tls_begins_as_the_url_says(negotiation: str, first_byte: int, run: Run) -> None:
    """With TLS's own greeting, or with PostgreSQL's question whether the server has it."""

    async def greeting() -> int:
        seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.set_result((await reader.read(1))[0])
            writer.close()

        async with await asyncio.start_server(look, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            url = f"postgresql://127.0.0.1:{port}/x?sslmode=require&sslnegotiation={negotiation}"
            with pytest.raises(DatabaseUnavailableError):
                await connect(url, application_name="a test")
            return await seen

    assert run(greeting()) == first_byte


# ---- every program --------------------------------------------------------------------------------------

NEON = f"{NAMED}&sslmode=require&channel_binding=require&connect_timeout=15&gssencmode=disable&pgbouncer=true"


def program(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=home,
        env={**ours, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_tls
def test_one_url_serves_the_migrations_the_audit_the_clean_up_and_the_api(
    server: Server, home: Path, set_: Set
) -> None:
    with psycopg.connect(server.superuser, dbname="partywall", autocommit=True) as admin:
        admin.execute(ROLES.read_text())
        admin.execute(f"alter role app_migrator password {quote_literal(PASSWORD)}")
    set_(SYSTEM)
    url = filled(NEON, server)
    trust = {"SSL_CERT_FILE": str(server.directory / "ca.crt")}
    as_owner = {"MIGRATION_DATABASE_URL": url.replace("app_api", "app_migrator"), **trust}

    for arguments, environment in (
        (["migrations", "upgrade", "head"], as_owner),
        (["api", "audit", "--prove"], {"DATABASE_URL": url, **trust}),
        (["api", "clean"], as_owner),
    ):
        done = program(*arguments, home=home, **environment)
        assert done.returncode == 0, done.stderr + done.stdout
    with serving(Settings(_env_file=None, database_url=url, jwt_secret=JWT_SECRET)) as address:
        assert httpx2.get(f"{address}/health").status_code == 200


@pytest.mark.parametrize("where", ["in the environment", "in .env"])
@pytest.mark.parametrize(
    ("arguments", "name", "exit_code"),
    [
        (["migrations", "upgrade", "head"], "MIGRATION_DATABASE_URL", 255),
        (["migrations", "current"], "DATABASE_URL", 255),
        (["api", "audit"], "DATABASE_URL", 2),
        (["api", "audit"], "MIGRATION_DATABASE_URL", 2),
        (["api", "clean"], "MIGRATION_DATABASE_URL", 1),
    ],
)
def test_each_program_refuses_a_url_in_one_sentence(
    arguments: list[str], name: str, exit_code: int, where: str, home: Path
) -> None:
    url = "postgresql://app_api:hunter2@localhost/x?colour=red"
    if where == "in .env":
        (home / ".env").write_text(f"{name}={url}\n")

    done = program(*arguments, home=home, **({} if where == "in .env" else {name: url}))

    assert done.returncode == exit_code
    [sentence] = done.stderr.splitlines()  # Alembic repeats it on stdout
    assert f"{name} has the parameter colour" in sentence
    assert "hunter2" not in sentence
