"""Settings that are missing or unsafe: the server does not start, and says why."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from api.settings import load_settings
from tests.support.database import ROOT

SECRET = "neither-printed-nor-long-enough"  # 31 bytes  # noqa: S105
DATABASE_URL = "postgresql://app_api:hunter2@localhost/partywall"
GOOD = {"DATABASE_URL": DATABASE_URL, "JWT_SECRET": SECRET + "!", "JWT_AUDIENCE": "*"}
JWKS_URL = "https://auth.example.com/jwks"
IMPORT = ("-c", "import api.main; api.main.app")
SERVE = ("-m", "uvicorn", "api.main:app", "--port", "0")

Variables = Mapping[str, str | None]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without `.env`."""
    monkeypatch.chdir(tmp_path)


def environment(changed: Variables) -> dict[str, str]:
    return {name: value for name, value in {**GOOD, **changed}.items() if value is not None}


def refusal(monkeypatch: pytest.MonkeyPatch, changed: Variables) -> list[str]:
    for name, value in environment(changed).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as exit_:
        load_settings()
    return str(exit_.value).splitlines()


NOT_ORIGINS = (
    *("*", "https://*.example.com", "https://app.example.com/", "https://app.example.com/path", "null"),
    *("app.example.com", "ftp://app.example.com", "https://", "https://app.example.com,*", "https:app.example.com"),
    *("https://app example.com", "https://app.example.com:65536", "https://[::g]", "http://1.2.3.4.5", "file:///x"),
)
# What people type, and what their browser sends.
SPELLINGS = {
    "https://App.Example.com": "https://app.example.com",
    "HTTPS://app.example.com": "https://app.example.com",
    "https://app.example.com:443": "https://app.example.com",
    "http://app.example.com:80": "http://app.example.com",
    "https://app.example.com/": "https://app.example.com",
    "https://app.example.com/path?x#y": "https://app.example.com",
    "https://me:secret@app.example.com": "https://app.example.com",
    "https://bücher.example": "https://xn--bcher-kva.example",
    "https://straße.de:8443": "https://xn--strae-oqa.de:8443",
    "https://例え。jp": "https://xn--r8jz45g.jp",
    "http://localhost:03000": "http://localhost:3000",
    "http://127.1:3000": "http://127.0.0.1:3000",
    "http://0x7f.0.0.1": "http://127.0.0.1",
    "http://[0:0:0:0:0:0:0:1]:3000": "http://[::1]:3000",
    "http://[2001:DB8::1]": "http://[2001:db8::1]",
}
NO_SECRETS = (
    (" " * 36, "is blank"),
    ("\t \n" * 20, "is blank"),
    ("a" * 36, "can be guessed"),
    ("é" * 16, "can be guessed"),
    ("secret12" * 4, "can be guessed"),
    ("01" * 15 + "23", "can be guessed"),
    ("changeme-" + SECRET, "is a placeholder"),
    ("<your secret, of at least 32 bytes>", "is a placeholder"),
    ("$(openssl rand -base64 32 | head -c 44)", "is a placeholder"),
    (f"{SECRET}!\n", "white space"),
    (f"  {SECRET}", "white space"),
    (f'"{SECRET}"', "is in quotes"),
    (f"'{SECRET}'", "is in quotes"),
)
REFUSED: tuple[tuple[Variables, str, str], ...] = (
    ({"DATABASE_URL": None}, "DATABASE_URL", "must be set"),
    ({"DATABASE_URL": ""}, "DATABASE_URL", "must start with postgresql://"),
    ({"DATABASE_URL": DATABASE_URL.replace("postgresql", "mysql")}, "DATABASE_URL", "must start with postgresql://"),
    ({"DATABASE_URL": DATABASE_URL.replace("hunter2", "hun/ter2")}, "DATABASE_URL", "percent-encode"),
    ({"DATABASE_URL": DATABASE_URL.replace("localhost", "localhost:http")}, "DATABASE_URL", "cannot be parsed"),
    ({"DATABASE_URL": " \n"}, "DATABASE_URL", "must start with postgresql://"),
    ({"DATABASE_URL": f"'{DATABASE_URL}'"}, "DATABASE_URL", "is in quotes"),
    ({"DATABASE_URL": f"{DATABASE_URL}?colour=red"}, "DATABASE_URL", "has the parameter colour"),
    ({"DATABASE_URL": f"{DATABASE_URL}?sslmode=full"}, "DATABASE_URL", "has sslmode=full; possible: disable, allow"),
    ({"DATABASE_URL": f"{DATABASE_URL}?sslrootcert=/x&sslmode=require"}, "DATABASE_URL", "sslrootcert"),
    ({"DATABASE_POOL_SIZE": "0"}, "DATABASE_POOL_SIZE", "must be a whole number of at least 1, not '0'"),
    ({"DATABASE_POOL_SIZE": "many"}, "DATABASE_POOL_SIZE", "must be a whole number of at least 1, not 'many'"),
    ({"DATABASE_POOL_SIZE": "10.5"}, "DATABASE_POOL_SIZE", "must be a whole number of at least 1, not '10.5'"),
    ({"DATABASE_POOL_SIZE": "9" * 5000}, "DATABASE_POOL_SIZE", "must be a whole number of at least 1, not"),
    ({"DATABASE_POOL_SIZE": ""}, "DATABASE_POOL_SIZE", "must be a whole number of at least 1; it is set, but empty"),
    ({"DATABASE_POOL_SIZE": "'10'"}, "DATABASE_POOL_SIZE", "is in quotes"),
    ({"DATABASE_STATEMENT_CACHE_SIZE": "-1"}, "DATABASE_STATEMENT_CACHE_SIZE", "whole number of at least 0, not '-1'"),
    ({"INVITATION_LIFETIME": "59"}, "INVITATION_LIFETIME", "must be a whole number from 60 to 31536000, not '59'"),
    ({"INVITATION_LIFETIME": "31536001"}, "INVITATION_LIFETIME", "must be a whole number from 60 to 31536000, not"),
    (
        {"INVITATION_LIFETIME": "7 days"},
        "INVITATION_LIFETIME",
        "must be a whole number from 60 to 31536000",
    ),
    ({"ADMIN_PORT": "65536"}, "ADMIN_PORT", "must be a whole number from 1 to 65535, not '65536'"),
    ({"ADMIN_PORT": "http"}, "ADMIN_PORT", "must be a whole number from 1 to 65535, not 'http'"),
    ({"OPENTELEMETRY": "perhaps"}, "OPENTELEMETRY", "must be true or false, not 'perhaps'"),
    ({"OPENTELEMETRY": ""}, "OPENTELEMETRY", "must be true or false; it is set, but empty"),
    *(({"JWT_SECRET": secret}, "JWT_SECRET", reason) for secret, reason in NO_SECRETS),
    *(
        ({"JWT_SECRET_PREVIOUS": secret, "JWT_SECRET": GOOD["JWT_SECRET"]}, "JWT_SECRET_PREVIOUS", reason)
        for secret, reason in NO_SECRETS
    ),
    ({"JWT_SECRET": None}, "JWT_SECRET or JWT_JWKS_URL", "must be set"),
    ({"JWT_SECRET": SECRET}, "JWT_SECRET", "at least 32 bytes"),
    ({"JWT_SECRET": ""}, "JWT_SECRET", "at least 32 bytes"),
    ({"JWT_SECRET_PREVIOUS": SECRET}, "JWT_SECRET_PREVIOUS", "at least 32 bytes"),
    ({"JWT_SECRET_PREVIOUS": ""}, "JWT_SECRET_PREVIOUS", "at least 32 bytes"),
    ({"JWT_SECRET_PREVIOUS": GOOD["JWT_SECRET"]}, "JWT_SECRET_PREVIOUS", "equals JWT_SECRET"),
    (
        {"JWT_SECRET_PREVIOUS": GOOD["JWT_SECRET"], "JWT_SECRET": None, "JWT_JWKS_URL": JWKS_URL, "JWT_AUDIENCE": "*"},
        "JWT_SECRET_PREVIOUS",
        "requires JWT_SECRET",
    ),
    ({"JWT_JWKS_URL": ""}, "JWT_JWKS_URL", "https://"),
    ({"JWT_JWKS_URL": "https://"}, "JWT_JWKS_URL", "https://"),
    ({"JWT_JWKS_URL": "auth.example.com/jwks"}, "JWT_JWKS_URL", "https://"),
    ({"JWT_JWKS_URL": "http://auth.example.com/jwks"}, "JWT_JWKS_URL", "https://"),
    ({"JWT_JWKS_URL": "http://localhost.example.com/jwks"}, "JWT_JWKS_URL", "https://"),
    ({"JWT_JWKS_URL": "http://localhost@example.com/jwks"}, "JWT_JWKS_URL", "https://"),
    ({"JWT_JWKS_URL": "http://localhost\\@example.com/jwks"}, "JWT_JWKS_URL", "https://"),
    ({"JWT_JWKS_URL": "file:///etc/passwd"}, "JWT_JWKS_URL", "https://"),
    ({"JWT_JWKS_URL": "https://auth.example.com:jwks/"}, "JWT_JWKS_URL", "is not a URL"),
    ({"JWT_ISSUER": ""}, "JWT_ISSUER", "empty"),
    ({"JWT_ISSUER": "  "}, "JWT_ISSUER", "empty"),
    ({"JWT_ISSUER": '"https://login.example.com"'}, "JWT_ISSUER", "is in quotes"),
    ({"JWT_AUDIENCE": ""}, "JWT_AUDIENCE", "empty"),
    ({"JWT_JWKS_URL": JWKS_URL, "JWT_AUDIENCE": None}, "JWT_AUDIENCE", "must be set with JWT_JWKS_URL"),
    ({"JWT_JWKS_URL": JWKS_URL, "JWT_SECRET": None, "JWT_AUDIENCE": None}, "JWT_AUDIENCE", "another service"),
    ({"JWT_LEEWAY": "-1"}, "JWT_LEEWAY", "must be a whole number from 0 to 60, not '-1'"),
    ({"JWT_LEEWAY": "61"}, "JWT_LEEWAY", "must be a whole number from 0 to 60, not '61'"),
    *(({"CORS_ORIGINS": origins}, "CORS_ORIGINS", "is not an origin") for origins in NOT_ORIGINS),
    *(
        ({"CORS_ORIGINS": f"http://localhost:3000, {typed}"}, "CORS_ORIGINS", f"write {sent}")
        for typed, sent in SPELLINGS.items()
    ),
    *(({"CORS_HEADERS": names}, "CORS_HEADERS", "is not the name of a header") for names in ("*", "X-A, X B", "X-A:")),
)


@pytest.mark.parametrize(("changed", "name", "reason"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_setting_that_is_missing_or_unsafe_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, changed: Variables, name: str, reason: str
) -> None:
    [sentence] = refusal(monkeypatch, changed)

    assert sentence.startswith(f"Partywall does not start: {name} ")
    assert reason in sentence
    assert SECRET not in sentence
    assert "hunter2" not in sentence


def test_everything_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting, and what they are together."""
    bad: Variables = {
        "DATABASE_URL": None,
        "DATABASE_POOL_SIZE": "many",
        "JWT_SECRET": None,
        "JWT_SECRET_PREVIOUS": SECRET,
        "JWT_JWKS_URL": "http://example.com",
        "JWT_ISSUER": "",
        "JWT_AUDIENCE": None,
        "CORS_ORIGINS": "*",
        "OPENTELEMETRY": "perhaps",
    }

    sentences = refusal(monkeypatch, bad)

    told = [sentence.removeprefix("Partywall does not start: ").split()[0] for sentence in sentences]
    together = ["JWT_AUDIENCE", "JWT_SECRET_PREVIOUS"]
    assert told == [*(name for name in bad if name not in {"JWT_SECRET", "JWT_AUDIENCE"}), *together]
    assert all("Input should" not in sentence and "pydantic" not in sentence for sentence in sentences)


def test_settings_of_which_none_is_set_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [sentence.partition(": ")[2] for sentence in refusal(monkeypatch, dict.fromkeys(GOOD))] == [
        "DATABASE_URL must be set (see docs/settings.md)",
        "JWT_SECRET or JWT_JWKS_URL must be set: without either, no token can be verified",
    ]


@pytest.mark.parametrize("name", ["JWT_SECRET", "DATABASE_URL", "JWT_ISSUER"])
def test_bytes_that_are_not_utf_8_are_refused_in_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [sentence] = refusal(monkeypatch, {name: os.fsdecode(SECRET.encode() + b"\xff")})

    assert sentence.startswith(f"Partywall does not start: {name} ")
    assert SECRET not in sentence


def test_settings_that_are_good_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {
        "DATABASE_URL": DATABASE_URL.replace("postgresql", "postgresql+asyncpg"),
        "JWT_SECRET_PREVIOUS": SECRET + "?",
        "JWT_JWKS_URL": "http://127.0.0.1:1234/jwks",
        "JWT_AUDIENCE": "*",
        "JWT_ISSUER": " https://login.example.com\n",
        "JWT_LEEWAY": " 7 ",
        "CORS_ORIGINS": " https://app.example.com, http://localhost:3000,",
        "CORS_HEADERS": "X-Tenant, datadog-trace-id,",
    }
    for name, value in environment(more).items():
        monkeypatch.setenv(name, value)

    settings = load_settings()

    assert settings.database_url.get_secret_value() == DATABASE_URL
    assert settings.cors_origins == ("https://app.example.com", "http://localhost:3000")
    assert settings.cors_headers == ("X-Tenant", "datadog-trace-id")
    assert settings.jwt_issuer == "https://login.example.com"
    assert settings.jwt_leeway == 7
    assert SECRET not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_origins_as_browsers_send_them_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = ",".join({*SPELLINGS.values(), "https://app.example.com.", "http://my_machine:8080", "http://intranet"})
    for name, value in environment({"CORS_ORIGINS": sent}).items():
        monkeypatch.setenv(name, value)
    assert ",".join(load_settings().cors_origins) == sent


def test_keys_may_come_from_an_internal_http_address_if_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    internal = {"JWT_JWKS_URL": "http://keycloak.internal:8080/certs", "JWT_AUDIENCE": "*"}
    [sentence] = refusal(monkeypatch, internal)
    assert "JWT_JWKS_ALLOW_HTTP=true" in sentence

    monkeypatch.setenv("JWT_JWKS_ALLOW_HTTP", "true")
    assert load_settings().jwt_jwks_url == internal["JWT_JWKS_URL"]
    [sentence] = refusal(monkeypatch, internal | {"JWT_JWKS_URL": "ftp://keycloak.internal/certs"})
    assert "must be an https:// URL" in sentence


def test_a_secret_is_measured_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", DATABASE_URL)
    monkeypatch.setenv("JWT_SECRET", "äöüßéèêëàâîïôûùç")

    assert load_settings().jwt_secret is not None


@pytest.mark.parametrize("command", [IMPORT, SERVE], ids=["import", "uvicorn"])
def test_the_server_does_not_start_and_shows_no_traceback(command: tuple[str, ...]) -> None:
    bad = environment({"JWT_SECRET": SECRET, "JWT_ISSUER": ""})
    bad |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    done = subprocess.run([sys.executable, *command], env=bad, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if not line.startswith("INFO")] == [
        "Partywall does not start: JWT_SECRET must have at least 32 bytes; make one with: openssl rand -base64 32",
        "Partywall does not start: JWT_ISSUER is set but empty; unset it, or set the value that tokens must have",
    ]
    assert done.stdout == ""
