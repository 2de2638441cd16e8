"""The hosts of a database URL, each with its port and its password."""

import re
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from db.libpq.url import ENCODE, InvalidUrlError, Parameters, own_file

_DEFAULT_PORT = 5432
_SOCKETS = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108 - where distributions and PostgreSQL put them
# A line of a password file: a backslash escapes itself and a colon.
_LINE = re.compile(r"((?:[^\\:]|\\.)*):" * 4 + "(.*)")


class Host(NamedTuple):
    """Where to connect to: an address, or the directory of a unix socket. A certificate has to be that of the name."""

    name: str
    address: str
    port: int
    password: str

    @property
    def is_socket(self) -> bool:
        """Whether it is a unix socket."""
        return self.address.startswith("/")


def read_hosts(given: Parameters, *, database: str, user: str) -> list[Host]:
    """Return the hosts in their order, or where libpq looks if there is none. Raises InvalidUrlError."""
    addresses = [_ip(address) for address in given["hostaddr"].split(",")] if "hostaddr" in given else []
    names = [_name(name) for name in given["host"].split(",")] if "host" in given else addresses
    ports = [_port(port) for port in given.get("port", "").split(",")]
    names = names or [*_sockets(ports[0]), "localhost"]
    addresses = addresses or names
    if len(ports) == 1:
        ports *= len(names)
    if not len(ports) == len(names) == len(addresses):
        raise InvalidUrlError("has another number of hosts than of ports or of addresses in hostaddr")
    return [
        Host(name, address, port, given.get("password") or _password(given, name, str(port), database, user))
        for name, address, port in zip(names, addresses, ports, strict=True)
    ]


def _sockets(port: int) -> list[str]:
    return [folder for folder in _SOCKETS if Path(folder, f".s.PGSQL.{port}").exists()]


def _name(name: str) -> str:
    if name.startswith("/"):
        return name
    if not name or re.search(r"[\s@/]", name):
        raise InvalidUrlError(f"cannot be parsed: it has a host that is none; {ENCODE}")
    if ":" in name:
        _ip(name, "host", "; a port goes into port=")
    return name


def _ip(address: str, parameter: str = "hostaddr", hint: str = "") -> str:
    try:
        ip_address(address)
    except ValueError:
        raise InvalidUrlError(f"has a {parameter} that is no IP address{hint}") from None
    return address


def _port(port: str) -> int:
    if not port:
        return _DEFAULT_PORT
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:  # noqa: PLR2004 - of TCP
        raise InvalidUrlError("has a port that is no number from 1 to 65535")
    return int(port)


def _password(given: Parameters, host: str, *wanted: str) -> str:
    """Return what the password file has for a host, port, database and user, or "". Raises InvalidUrlError.

    https://www.postgresql.org/docs/18/libpq-pgpass.html
    """
    host = "localhost" if host in _SOCKETS else host
    for line in filter(None, map(_LINE.fullmatch, _password_lines(given))):
        *fields, password = line.groups()
        if all(field in {"*", value} for field, value in zip(map(_plain, fields), (host, *wanted), strict=True)):
            return _plain(password)
    return ""


def _plain(field: str) -> str:
    return re.sub(r"\\(.)", r"\1", field)


def _password_lines(given: Parameters) -> list[str]:
    file = Path(given["passfile"]) if "passfile" in given else own_file(".pgpass")
    try:
        if file is None or not file.is_file():
            return []
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            if "passfile" not in given:
                return []
            raise InvalidUrlError(f"has a passfile that others can read, which libpq ignores: chmod 600 {file}")
        return file.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
