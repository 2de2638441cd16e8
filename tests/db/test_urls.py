"""Database URLs as psql takes them and as providers show them: each connects, or is refused in a sentence."""

import asyncio
import os
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from db.connect import DatabaseUnavailableError, connect, url_from_environment
from db.libpq.target import read_target
from db.libpq.url import InvalidUrlError
from tests.support.tls import DEBIAN, KEY_PASSWORD, PASSWORD, Server, free_port, password_server

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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with password_server(tmp_path_factory.mktemp("server")) as server:
        yield server


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


def session(url: str, **arguments: Any) -> dict[str, Any]:
    """Return what the server says of a session that `url` leads to."""

    async def ask() -> dict[str, Any]:
        connection = await connect(url, application_name="a test", **arguments)
        try:
            return dict(await connection.fetchrow(SESSION))
        finally:
            await connection.close()

    return asyncio.run(ask())


HERE = "127.0.0.1:<PORT>"
API = f"postgresql://app_api:<PW>@{HERE}/partywall"
NAMED = "postgresql://app_api:<PW>@db.example.com:<PORT>/partywall?hostaddr=127.0.0.1"
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
    ("postgresql://app_api:<PW>@[::1]:<PORT>/partywall", {}, {"by": "::1"}),
    ("postgresql://app_api:<PW>@/partywall?host=::1&port=<PORT>", {}, {"by": "::1"}),
    ("host=127.0.0.1 port=<PORT> user = app_api password='<QUOTED>' dbname=partywall", {}, {}),
    (f"postgresql://{HERE}?user=app_api&password=<PW>&dbname=partywall", {}, {}),
    (f"postgresql://app_api:<PW>@{HERE}?database=partywall", {}, {"database": "partywall"}),
    (f"postgresql://app_api:<PW>@{HERE}/party%77all", {}, {"database": "partywall"}),
    # ---- what is not in it
    ("postgresql://", {"PGHOST": "127.0.0.1", "PGPORT": "<PORT>", "PGUSER": "app_api", "PGPASSWORD": "<RAW>"}, {}),
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
    (f"{API}?supa=base-pooler.x&workaround=supabase-pooler.vercel", {}, {}),
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
    (
        f"postgresql://with_certificate@{HERE}/partywall?sslmode=require"
        "&sslcert=<DIR>/with_certificate.crt&sslkey=<DIR>/with_certificate.key",
        {},
        {"user": "with_certificate", "tls": True},
    ),
    (
        f"postgresql://with_certificate@{HERE}/partywall?sslcert=<DIR>/locked.crt&sslkey=<DIR>/locked.key"
        "&sslpassword=<KEY_PW>",
        {},
        {"user": "with_certificate", "tls": True},
    ),
)


@pytest.mark.parametrize(
    ("url", "environment", "expected"), [*WORK, *(pytest.param(*row, marks=needs_tls) for row in WORK_WITH_TLS)]
)
def test_a_url_connects(
    url: str, environment: Environment, expected: Mapping[str, object], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, filled(value, server))
    (server.directory / "passfile").write_text(filled(PASSFILE, server))
    (server.directory / "passfile").chmod(0o600)
    (server.directory / "services").write_text(filled(SERVICES, server))

    answered = session(filled(url, server))

    assert {name: answered[name] for name in expected} == expected
    assert answered["zone"] == "UTC"


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

[last]
host=nowhere
"""
