"""Where a database URL leads, and as whom: what asyncpg needs to know to get there as libpq would."""

import getpass
import os
import random
import re
import socket
from typing import NamedTuple

from db.libpq.hosts import Host, read_hosts
from db.libpq.tls import MODES, VERSIONS, Context, Tls, context, read_tls
from db.libpq.url import LIBPQ, InvalidUrlError, Parameters, read_parameters

_CHOICES = {
    "channel_binding": ("disable", "prefer", "require"),
    "keepalives": ("0", "1"),
    "load_balance_hosts": ("disable", "random"),
    "pgbouncer": ("true", "false"),
    "gsslib": ("gssapi", "sspi"),
    "sslaccept": ("strict", "accept_invalid_certs"),
    "sslcertmode": ("disable", "allow"),
    "sslmode": MODES,
    "sslnegotiation": ("postgres", "direct"),
    "sslsni": ("0", "1"),
    "ssl_max_protocol_version": tuple(VERSIONS),
    "ssl_min_protocol_version": tuple(VERSIONS),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    # What asyncpg cannot do, and must not leave out in silence.
    "gssdelegation": ("0",),
    "gssencmode": ("disable", "prefer"),
    "min_protocol_version": ("3.0",),
    "replication": ("false", "off", "no", "0"),
    "requirepeer": (),
}
# In libpq's units, which are the system's: seconds and milliseconds. Not every system knows every option.
_SOCKET_OPTIONS = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
_NUMBERS = ("connect_timeout", "statement_cache_size", "prepared_statement_cache_size", *_SOCKET_OPTIONS)


class Target(NamedTuple):
    """What a database URL says."""

    hosts: list[Host]
    user: str
    database: str
    tls: Tls
    given: Parameters

    @property
    def candidates(self) -> list[tuple[Host, str]]:
        """The hosts in the order in which to try them, each with the kind of server that it must be."""
        hosts = self.hosts
        if self.given.get("load_balance_hosts") == "random":
            hosts = random.sample(hosts, len(hosts))
        kind = self.given.get("target_session_attrs", "any")
        if kind == "prefer-standby":
            return [(host, kind) for kind in ("standby", "any") for host in hosts]
        return [(host, kind) for host in hosts]

    def encryptions(self, host: Host) -> list[Context | bool]:
        """Return the ways to encrypt a connection to `host` in the order in which to try them; False is not at all."""
        if host.is_socket or self.tls.mode == "disable":
            return [False]
        encrypted = context(self.tls, host.name)
        orders: dict[str, list[Context | bool]] = {"allow": [False, encrypted], "prefer": [encrypted, False]}
        return orders.get(self.tls.mode, [encrypted])

    @property
    def caches_statements(self) -> bool:
        """Whether the URL leaves the cache of prepared statements to the settings."""
        sizes = [self.given.get(name) for name in ("statement_cache_size", "prepared_statement_cache_size")]
        return self.given.get("pgbouncer") != "true" and "0" not in sizes

    @property
    def socket_options(self) -> list[tuple[int, int, int]]:
        """The options of a TCP connection. Keepalives are on, as in libpq: an idle connection is not forgotten."""
        keepalive = int(self.given.get("keepalives", "1"))
        options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, keepalive)]
        for name, option in _SOCKET_OPTIONS.items():
            if (value := int(self.given.get(name, "0"))) > 0 and hasattr(socket, option):
                options.append((socket.IPPROTO_TCP, getattr(socket, option), value))
        return options

    @property
    def connect_timeout(self) -> float | None:
        """The seconds that one host has, if the URL says so."""
        seconds = int(self.given.get("connect_timeout", "0"))
        return seconds if seconds > 0 else None

    @property
    def server_settings(self) -> dict[str, str]:
        """What the session starts with. What `options` says of the time zone does not count: timestamps come in UTC."""
        named = {name: self.given[name] for name in ("application_name", "options") if name in self.given}
        return {"timezone": "UTC"} | named


def read_target(url: str) -> Target:
    """Return what `url` says. Raises InvalidUrlError where it asks for what cannot be had."""
    given = read_parameters(url)
    for name, value in given.items():
        _check(name, value)
    user = given.get("user") or _system_user()
    database = given.get("dbname") or user
    target = Target(read_hosts(given, database=database, user=user), user, database, read_tls(given), given)
    _check_promises(target)
    for host in target.hosts:
        target.encryptions(host)  # its files can be read
    return target


def _check(name: str, value: str) -> None:
    possible = _CHOICES.get(name)
    source = f" (from {LIBPQ[name]})" if os.environ.get(LIBPQ.get(name) or "") == value else ""
    if possible == ():
        raise InvalidUrlError(f"has {name}{source}, which the driver cannot check: remove it")
    if possible and value not in possible:
        raise InvalidUrlError(f"has {name}={value}{source}; possible: {', '.join(possible)}")
    if name in _NUMBERS and not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise InvalidUrlError(f"has {name}={value}{source}, which is no whole number")


def _check_promises(target: Target) -> None:
    """Refuse what would otherwise be less safe than the URL asks for, in silence."""
    given, mode = target.given, target.tls.mode
    sockets = any(host.is_socket for host in target.hosts)
    if "require_auth" in given and (sockets or mode != "verify-full"):
        raise InvalidUrlError(
            "has require_auth, and the driver does not choose how it authenticates: remove it, or set"
            " sslmode=verify-full, so that no other server can ask for the password"
        )
    if given.get("channel_binding") == "require" and sockets:
        raise InvalidUrlError("has channel_binding=require, and a unix socket has no TLS: remove it")
    if given.get("sslnegotiation") == "direct" and mode not in {"require", "verify-ca", "verify-full"}:
        raise InvalidUrlError(f"has sslnegotiation=direct, which sslmode={mode} contradicts: set sslmode=verify-full")


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        raise InvalidUrlError("has no user, and neither has the environment (PGUSER)") from None
