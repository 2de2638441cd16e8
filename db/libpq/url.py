"""The connection parameters that a database URL means, as libpq reads them.

A URL or `key=value` pairs, over a service file, over PGHOST, PGSSLMODE and the other variables of the environment.
https://www.postgresql.org/docs/18/libpq-connect.html
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

Parameters = dict[str, str]

# libpq's parameters, and the variable that each is set by if nothing else does. `db.target` says what becomes of them.
LIBPQ = {
    "application_name": "PGAPPNAME",
    "channel_binding": "PGCHANNELBINDING",
    "client_encoding": "",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "dbname": "PGDATABASE",
    "fallback_application_name": "",
    "gssdelegation": "PGGSSDELEGATION",
    "gssencmode": "PGGSSENCMODE",
    "gsslib": "PGGSSLIB",
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "keepalives": "",
    "keepalives_count": "",
    "keepalives_idle": "",
    "keepalives_interval": "",
    "krbsrvname": "PGKRBSRVNAME",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "max_protocol_version": "",
    "min_protocol_version": "PGMINPROTOCOLVERSION",
    "options": "PGOPTIONS",
    "passfile": "PGPASSFILE",
    "password": "PGPASSWORD",
    "port": "PGPORT",
    "replication": "",
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
    "service": "PGSERVICE",
    "servicefile": "PGSERVICEFILE",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "sslcert": "PGSSLCERT",
    "sslcertmode": "PGSSLCERTMODE",
    "sslcompression": "",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslkey": "PGSSLKEY",
    "sslkeylogfile": "",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslpassword": "",
    "sslrootcert": "PGSSLROOTCERT",
    "sslsni": "PGSSLSNI",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "tcp_user_timeout": "",
    "user": "PGUSER",
}
# What other clients have in the URLs that providers show.
_OTHERS = {
    *("pgbouncer", "connection_limit", "pool_timeout", "socket_timeout", "schema", "sslaccept"),  # Prisma
    *("statement_cache_size", "prepared_statement_cache_size"),  # asyncpg, SQLAlchemy
    *("supa", "workaround"),  # Supabase, for Vercel
    "uselibpqcompat",  # node-postgres: sslmode means what it means here
}
_SYNONYMS = {"database": "dbname", "ssl": "sslmode"}
_NAMES = {*LIBPQ, *_OTHERS, *_SYNONYMS}
_SSL = {"true": "require", "1": "require", "false": "disable", "0": "disable"}  # JDBC's, which libpq takes too

_PREFIX = re.compile(r"(postgresql|postgres)(\+\w+)?://")  # SQLAlchemy's has the driver in it
# As libpq: the first @ before any / ends the password, whatever else is in it.
_URI = re.compile(
    r"(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?(?P<hosts>[^/?]*)(?:/(?P<dbname>[^?]*))?(?:\?(?P<query>.*))?"
)
_HOST = re.compile(r"(?:\[(?P<ipv6>[^][]+)\]|(?P<name>[^][:@\s]*))(?::(?P<port>[0-9]*))?")
_PAIR = re.compile(
    r"\s*(?P<name>\w+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>(?!')(?:[^\s\\]|\\.)*))(?=\s|$)\s*"
)
_PLACEHOLDER = re.compile(r"[\[{<]your[-_ ]?\w+[\]}>]|your[-_]password", re.IGNORECASE)  # in what providers show
ENCODE = "percent-encode special characters in its password: / is %2F, @ is %40, % is %25"


class InvalidUrlError(ValueError):
    """A database URL cannot be used. The message continues the name of what holds it, and has no password in it."""


def plain_url(url: str) -> str:
    """Return a URL as libpq spells it. SQLAlchemy's prefix is accepted, so that one URL serves every tool."""
    return _PREFIX.sub(r"\1://", url.strip(), count=1)


def read_parameters(url: str) -> Parameters:
    """Return the parameters of `url` that are set and not empty. Raises InvalidUrlError."""
    url = plain_url(url)
    if url[:1] in {"'", '"'}:
        raise InvalidUrlError("is in quotes: remove them")
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", url):
        raise InvalidUrlError("has a control character or bytes that are not UTF-8: percent-encode them")
    if prefix := _PREFIX.match(url):
        given = _known(_from_uri(url[prefix.end() :]))
    elif re.match(r"\w+\s*=", url):
        given = _known(_from_pairs(url))
    else:
        raise InvalidUrlError("must start with postgresql:// (or be key=value pairs, as psql takes them)")
    from_environment = {name: os.environ.get(variable, "") for name, variable in LIBPQ.items() if variable}
    return _known(from_environment.items()) | _from_service(from_environment | given) | given


def _from_uri(text: str) -> Iterator[tuple[str, str]]:
    parts = _URI.fullmatch(text)
    if parts is None or "@" in (parts["dbname"] or ""):
        raise InvalidUrlError(f"cannot be parsed; {ENCODE}")
    hosts = [host for text in parts["hosts"].split(",") if (host := _HOST.fullmatch(text))]
    if len(hosts) <= parts["hosts"].count(","):
        raise InvalidUrlError(f"cannot be parsed: it has a host or a port that is none; {ENCODE}")
    yield "host", ",".join(_decode(host["ipv6"] or host["name"]) for host in hosts)
    ports = [host["port"] or "" for host in hosts]
    yield "port", ",".join(ports) if any(ports) else ""
    for name in ("user", "password", "dbname"):
        yield name, _decode(parts[name] or "")
    for pair in filter(None, (parts["query"] or "").split("&")):
        name, sign, value = map(_decode, pair.partition("="))
        if not sign and name in _NAMES:
            raise InvalidUrlError(f"has the parameter {name} without a value: write {name}=…, or remove it")
        yield name, value


def _decode(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", text):
        raise InvalidUrlError(f"has a % that begins no character; {ENCODE}")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidUrlError("has percent-encoded bytes that are not UTF-8") from None


def _from_pairs(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            raise InvalidUrlError("cannot be parsed: a value with a space in it needs single quotes, \\ and ' a \\")
        position = pair.end()
        yield pair["name"], re.sub(r"\\(.)", r"\1", pair["plain"] if pair["quoted"] is None else pair["quoted"])


def _known(pairs: Iterable[tuple[str, str]]) -> Parameters:
    """Return those that are not empty, the last of each name. Raises InvalidUrlError for a name that is not known."""
    known = {}
    for name, value in pairs:
        if name not in _NAMES:
            shown = f"the parameter {name}" if re.fullmatch(r"[A-Za-z_]{1,40}", name) else "a parameter"
            raise InvalidUrlError(
                f"has {shown} that Partywall does not know: remove it"
                " (a setting of the server goes into options: options=-c%20name%3Dvalue)"
            )
        if _PLACEHOLDER.fullmatch(value):
            raise InvalidUrlError(f"has the placeholder {value}: put the real value there")
        if value:
            known[_SYNONYMS.get(name, name)] = _SSL.get(value, value) if name == "ssl" else value
    return known


def own_file(name: str) -> Path | None:
    """Return this user's file of that name, if there is one: a container's may have no home, or none to enter."""
    try:
        file = Path.home() / name
        return file if file.is_file() else None
    except (OSError, RuntimeError):
        return None


def _from_service(given: Parameters) -> Parameters:
    """Return what the service file says of the service that is named, if one is."""
    if not (service := given.get("service")):
        return {}
    own = given.get("servicefile") or own_file(".pg_service.conf")
    system = Path(os.environ.get("PGSYSCONFDIR", "/etc/postgresql-common"), "pg_service.conf")
    files = [*([Path(own)] if own else []), system]
    for file in files:
        if (pairs := _section(file, service)) is not None:
            return _known(pairs)
    raise InvalidUrlError(f"names a service that is not in {' or '.join(map(str, files))}: {service}")


def _section(file: Path, name: str) -> list[tuple[str, str]] | None:
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError):
        return None
    if f"[{name}]" not in lines:
        return None
    pairs = []
    for line in lines[lines.index(f"[{name}]") + 1 :]:
        if line.startswith("["):
            break
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            pairs.append((key.strip(), value.strip()))
    return pairs
