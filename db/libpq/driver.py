"""Connections of asyncpg, opened in the order and with the second tries of libpq."""

import asyncio
import socket
import ssl
from typing import Any, cast

import asyncpg

from db.connection import Connection, Loop
from db.libpq.hosts import Host
from db.libpq.target import Target

SECONDS_PER_HOST = 10.0

# libpq goes on to the next host after these, and not when a server refuses the login.
_NEXT_HOST = (
    OSError,  # TimeoutError too
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TargetServerAttributeNotMatched,
)
# The same server may refuse one with TLS and take one without, or the other way round.
_OTHER_ENCRYPTION = (OSError, asyncpg.PostgresConnectionError, asyncpg.InvalidAuthorizationSpecificationError)
_UNREACHED = (TimeoutError, ConnectionRefusedError, FileNotFoundError, socket.gaierror)


async def open_connection(
    target: Target, *, application_name: str, statement_cache_size: int, seconds: float | None
) -> Connection:
    """Return a connection to the first host that takes it, within `seconds` or else the time that each host has.

    Raises what asyncpg and the system raise: ConnectionError with what each host said if there are several.
    """
    arguments: dict[str, Any] = {
        "user": target.user,
        "database": target.database,
        "statement_cache_size": statement_cache_size if target.caches_statements else 0,
        "server_settings": {"application_name": application_name} | target.server_settings,
        "krbsrvname": target.given.get("krbsrvname"),
        "gsslib": target.given.get("gsslib"),
        "timeout": None,  # that of the host
    }
    until = None if seconds is None else asyncio.get_running_loop().time() + seconds
    candidates = target.candidates
    failures: list[tuple[str, Exception]] = []
    for number, (host, kind) in enumerate(candidates):
        share = _share(target, until, len(candidates) - number)
        try:
            async with asyncio.timeout(share):
                return await _open_one(target, host, arguments | {"target_session_attrs": kind})
        except TimeoutError:
            failures.append((host.name, TimeoutError(f"no connection within {share:.1f} seconds")))
        except _NEXT_HOST as error:
            failures.append((host.name, error))
    last = failures[-1][1]
    if len(failures) == 1:
        raise last
    sentences = dict.fromkeys(f"{name}: {str(error) or type(error).__name__}" for name, error in failures)
    raise ConnectionError("; ".join(sentences)) from last


def _share(target: Target, until: float | None, hosts: int) -> float:
    """Return the seconds that the next host has: a host that hangs does not take those of the others."""
    if until is None:
        return target.connect_timeout or SECONDS_PER_HOST
    share = max(until - asyncio.get_running_loop().time(), 0) / hosts
    return min(share, target.connect_timeout or share)


async def _open_one(target: Target, host: Host, arguments: dict[str, Any]) -> Connection:
    refusals: list[Exception] = []
    for tls in target.encryptions(host):
        loop = Loop()
        try:
            connection: Connection = await asyncpg.connect(
                host=host.address,
                port=host.port,
                password=host.password,
                ssl=tls,
                direct_tls=bool(tls) and target.given.get("sslnegotiation") == "direct",
                loop=cast("asyncio.AbstractEventLoop", loop),
                connection_class=Connection,
                **arguments,
            )
        except _UNREACHED:
            raise
        except ssl.SSLCertVerificationError as error:
            sentence = (
                f"the server's certificate is refused: {error.verify_message} (sslrootcert is the file of its CA)"
            )
            raise ConnectionError(sentence) from error
        except _OTHER_ENCRYPTION as error:
            refusals.append(error)
        else:
            connection.pipeline = loop.pipeline
            connection.caches_statements = bool(arguments["statement_cache_size"])
            _set_socket_options(connection, host, target)
            return connection
    # Without TLS the server says "no pg_hba.conf entry", which hides that the password was wrong.
    raise next((error for error in refusals if isinstance(error, asyncpg.InvalidPasswordError)), refusals[-1])


def _set_socket_options(connection: Connection, host: Host, target: Target) -> None:
    if not host.is_socket and connection.pipeline:
        tcp = connection.pipeline.get_extra_info("socket")
        for level, option, value in target.socket_options:
            tcp.setsockopt(level, option, value)
