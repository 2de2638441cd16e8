"""TLS as libpq does it: what is verified, by whose certificates, and what is presented to the server."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from db.libpq.url import InvalidUrlError, Parameters, own_file

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SYSTEM = "system"  # as a file of certificates: those that this machine trusts
VERSIONS = {"TLSv1": "TLSv1", "TLSv1.1": "TLSv1_1", "TLSv1.2": "TLSv1_2", "TLSv1.3": "TLSv1_3"}


class Tls(NamedTuple):
    """How connections are encrypted. No file is ""."""

    mode: str
    root: str
    crl: str
    crl_directory: str
    certificate: str
    key: str
    password: str
    lowest: str
    highest: str
    sni: bool

    @property
    def files(self) -> list[str]:
        """The files that are read."""
        trusted = ssl.get_default_verify_paths().cafile or "" if self.root == SYSTEM else self.root
        return [file for file in (trusted, self.crl, self.certificate, self.key) if file]


class Context(ssl.SSLContext):
    """A context for one host. Verifies the certificate against that name, whatever address is connected to."""

    server_name: str | None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - as the class above has it
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Return the TLS of one connection."""
        del server_hostname  # of the address
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name, session)


def read_tls(given: Parameters) -> Tls:
    """Return what `given` says of TLS. Raises InvalidUrlError."""
    mode = _mode(given)
    presented = given.get("sslcertmode") != "disable"
    tls = Tls(
        mode=mode,
        root=given.get("sslrootcert") or _own("root.crt") or (SYSTEM if mode == "verify-full" else ""),
        crl=given.get("sslcrl") or _own("root.crl"),
        crl_directory=given.get("sslcrldir", ""),
        certificate=(given.get("sslcert") or _own("postgresql.crt")) if presented else "",
        key=given.get("sslkey") or _own("postgresql.key"),
        password=given.get("sslpassword", ""),
        lowest=given.get("ssl_min_protocol_version", "TLSv1.2"),
        highest=given.get("ssl_max_protocol_version", "TLSv1.3"),
        sni=given.get("sslsni") != "0",
    )
    if mode == "verify-ca" and tls.root in {"", SYSTEM}:
        raise InvalidUrlError("has sslmode=verify-ca, which needs sslrootcert: the file of the server's CA")
    if mode == "verify-full" and not tls.sni:
        raise InvalidUrlError("has sslsni=0, which sslmode=verify-full cannot do without here: remove it")
    if [*VERSIONS].index(tls.lowest) > [*VERSIONS].index(tls.highest):
        raise InvalidUrlError("has an ssl_min_protocol_version above its ssl_max_protocol_version")
    return tls


def _mode(given: Parameters) -> str:
    """Return the mode. What asks for more than a mode does, and asyncpg cannot do, is had by verifying the server.

    channel_binding=require makes sure that nobody is between client and server. asyncpg has no SCRAM-SHA-256-PLUS; a
    certificate that is verified with the host's name makes sure of the same.
    """
    mode = given.get("sslmode")
    system = given.get("sslrootcert") == SYSTEM
    if system and mode not in {None, "verify-full"}:
        raise InvalidUrlError(f"has sslrootcert=system with sslmode={mode}: make it sslmode=verify-full, as libpq does")
    if given.get("channel_binding") == "require" or given.get("sslaccept") == "strict":
        if mode in {"disable", "allow"}:
            raise InvalidUrlError(f"has channel_binding=require or sslaccept=strict, which sslmode={mode} contradicts")
        return "verify-full"
    return mode or ("verify-full" if system else "prefer")


def _own(name: str) -> str:
    """Return the path of this user's file of that name, or "" if there is none."""
    return str(own_file(f".postgresql/{name}") or "")


def context(tls: Tls, server_name: str) -> Context:
    """Return how to encrypt connections to a host. It is made anew when a file has changed. Raises InvalidUrlError."""
    try:
        stamps = tuple((file, Path(file).stat().st_mtime_ns) for file in tls.files)
    except OSError:
        stamps = ()  # _context names the file
    return _context(tls, server_name if tls.sni else None, stamps)


@lru_cache(maxsize=16)  # to read the certificates of the system takes 25 ms, in which no request proceeds
def _context(tls: Tls, server_name: str | None, _stamps: tuple[tuple[str, int], ...]) -> Context:
    made = Context(ssl.PROTOCOL_TLS_CLIENT)
    made.server_name = server_name
    made.set_alpn_protocols(["postgresql"])
    made.minimum_version = ssl.TLSVersion[VERSIONS[tls.lowest]]
    made.maximum_version = ssl.TLSVersion[VERSIONS[tls.highest]]
    made.check_hostname = tls.mode == "verify-full"
    if tls.root and tls.mode not in {"allow", "prefer"}:  # with such a file, `require` is verify-ca
        _verify(made, tls)
    else:
        made.verify_mode = ssl.CERT_NONE
    if tls.certificate:
        with _naming("sslcert, sslkey or sslpassword"):
            # Without a password OpenSSL would ask the terminal for one.
            made.load_cert_chain(tls.certificate, tls.key or None, lambda: tls.password)
    return made


def _verify(made: Context, tls: Tls) -> None:
    if tls.root == SYSTEM:
        made.load_default_certs()
    else:
        with _naming("sslrootcert"):
            made.load_verify_locations(tls.root)
    if tls.crl or tls.crl_directory:
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        with _naming("sslcrl or sslcrldir"):
            made.load_verify_locations(tls.crl or None, tls.crl_directory or None)


@contextmanager
def _naming(parameter: str) -> Iterator[None]:
    """Say which parameter it is whose file cannot be used."""
    try:
        yield
    except OSError as error:  # ssl.SSLError too
        raise InvalidUrlError(f"has a file in {parameter} that cannot be used: {error.strerror or error}") from error
