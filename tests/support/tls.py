"""A PostgreSQL that speaks TLS over TCP and asks for passwords, with a CA and certificates made for it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from psycopg.sql import quote

from db.embedded import Cluster

# The embedded PostgreSQL is built without TLS; Debian's is built with it.
DEBIAN = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None, key=lambda path: int(path.parts[-3]))
PASSWORD = r"p@ss/w:o?r#d%&=+ '\"é[]"  # noqa: S105 - whatever somebody may have in one
KEY_PASSWORD = "of the key"  # noqa: S105
HBA = """
local all postgres trust
local all all scram-sha-256
hostssl all only_plain all reject
hostssl all with_certificate all cert
hostssl all all all scram-sha-256
hostnossl all only_tls all reject
hostnossl all with_certificate all reject
hostnossl all all all scram-sha-256
"""
ROLES = ("app_api", "only_plain", "only_tls", "with_certificate")


class Certified(NamedTuple):
    """Somebody with a certificate."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, file: Path, key: Path, password: str = "") -> None:
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        file.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        key.touch(mode=0o600)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def certify(name: str, ca: Certified | None = None) -> Certified:
    """Return a certificate for `name`, of a CA of its own if there is no other."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(ca.certificate.subject if ca else subject, subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return Certified(builder.sign(ca.key if ca else key, hashes.SHA256()), key)


class Server(NamedTuple):
    """A server, and the files beside it."""

    directory: Path
    sockets: Path
    port: int
    superuser: str
    hanging: int  # the port of another, which takes connections and says nothing


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def password_server(directory: Path) -> Iterator[Server]:
    """Run a server on 127.0.0.1 and ::1 whose certificate is for db.example.com: with TLS if there is one with it."""
    directory.chmod(0o755)
    cluster, port = Cluster(directory), free_port()
    with patch.dict(os.environ, {"PG_BIN": str(DEBIAN.parent)} if DEBIAN else {}):
        cluster.create()
        cluster.start(
            "listen_addresses=127.0.0.1,::1",
            f"port={port}",
            "fsync=off",
            "jit=off",
            f"hba_file={directory}/hba",
            *_tls(directory),
        )
        try:
            superuser = f"host={cluster.socket_directory} port={port} user=postgres"
            _create_roles(superuser)
            with socket.create_server(("127.0.0.1", 0)) as hanging:
                yield Server(directory, cluster.socket_directory, port, superuser, hanging.getsockname()[1])
        finally:
            cluster.stop()


def _tls(directory: Path) -> list[str]:
    (directory / "hba").write_text(HBA if DEBIAN else HBA.replace("hostssl", "#").replace("hostnossl", "host"))
    ca = certify("a CA")
    certify("db.example.com", ca).write(directory / "server.crt", directory / "server.key")
    certify("with_certificate", ca).write(directory / "client.crt", directory / "client.key")
    certify("with_certificate", ca).write(directory / "locked.crt", directory / "locked.key", KEY_PASSWORD)
    ca.write(directory / "ca.crt", directory / "ca.key")
    certify("another CA").write(directory / "another.crt", directory / "another.key")
    files = {"ssl_cert_file": "server.crt", "ssl_key_file": "server.key", "ssl_ca_file": "ca.crt"}
    return ["ssl=on", *(f"{name}={directory / file}" for name, file in files.items())] if DEBIAN else []


def _create_roles(superuser: str) -> None:
    with psycopg.connect(superuser, dbname="postgres", autocommit=True) as connection:
        for role in ROLES:
            connection.execute(f"create role {role} login password {quote(PASSWORD)}")
        for database in ("partywall", "app_api"):
            connection.execute(f"create database {database}")
