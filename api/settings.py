"""Every setting, its meaning, its default. Read from the environment, then from `.env`."""

import re
from collections.abc import Mapping
from typing import Annotated, Self

import httpx2
from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api.origins import as_browsers_send
from api.settings_problems import problems, secret_problem
from db.libpq.target import read_target
from db.libpq.url import plain_url


class Settings(BaseSettings):
    """The settings of the API. `make settings` writes docs/settings.md from the docstrings.

    Each docstring ends with the default, or with when the setting is required.
    """

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    database_url: SecretStr
    """URL by which the API logs in, as libpq reads it: `postgresql://app_api@host/database`. Required."""

    database_replica_url: SecretStr | None = None
    """URL of a streaming standby, as whom DATABASE_URL is: reads run there while it can be used. Default: none."""

    replica_max_lag: float = Field(default=5, ge=1, le=3600)
    """Seconds that the replica may be behind; else reads run on the primary. 1 to 3600. Default: 5."""

    database_pool_size: int = Field(default=10, ge=1)
    """Maximum number of connections per worker and database that serve requests; one user gets half. Default: 10."""

    database_pool_idle_lifetime: float = Field(default=300, gt=0)
    """Seconds after which an idle database connection is closed. Default: 300."""

    database_pool_max_lifetime: float = Field(default=1800, gt=0)
    """Seconds after which a database connection is renewed; up to a tenth earlier. Default: 1800."""

    database_statement_cache_size: int = Field(default=100, ge=0)
    """Prepared statements cached per connection; none behind a pooler that cannot hold them. Default: 100."""

    database_pipelining: bool = True
    """Whether a transaction of one statement is sent at once, where that works: one round trip. Default: True."""

    database_unavailable_after: int = Field(default=3, ge=2, le=60)
    """Seconds without a response of the database until `/health` is 503; 2 to 60. Default: 3."""

    health_checks_pause_after: int | None = Field(default=None, ge=2)
    """Seconds without a request until the database is left alone, so that a service can suspend it. Default: none."""

    jwt_secret: SecretStr | None = None
    """Secret that verifies HS256 tokens; at least 32 bytes. Required unless JWT_JWKS_URL is set."""

    jwt_secret_previous: SecretStr | None = None
    """The previous JWT_SECRET, still accepted during rotation; at least 32 bytes. Default: none."""

    jwt_jwks_allow_http: bool = False
    """Whether JWT_JWKS_URL may be http:// on another host; who is in between can then forge tokens. Default: False."""

    jwt_jwks_url: str | None = None
    """URL of the public keys (JWKS) of EdDSA, ES256 and RS256 tokens; https. Required unless JWT_SECRET is set."""

    jwt_issuer: str | None = None
    """The value that a token's `iss` must have; of Better Auth, its origin, without a path. Default: not checked."""

    jwt_audience: str | None = None
    """A value that a token's `aud` must be or contain; `*` is any. Required if JWT_JWKS_URL is set."""

    jwt_leeway: int = Field(default=5, ge=0, le=60)
    """Seconds by which clocks may differ where a token's `exp` and `nbf` are checked; at most 60. Default: 5."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose pages may call the API from a browser, separated by commas. Default: none."""

    cors_headers: Annotated[tuple[str, ...], NoDecode] = ()
    """Request headers that those pages may send beside the API's own, separated by commas. Default: none."""

    invitation_lifetime: int = Field(default=604800, ge=60, le=31536000)
    """Seconds until an invitation to a workspace expires, a minute to a year; 7 days are 604800. Default: 604800."""

    admin_port: int | None = Field(default=None, ge=1, le=65535)
    """Port of `/metrics` and of the reasons of `/health`, which the API's own port then withholds. Default: none."""

    admin_host: str = "127.0.0.1"
    """Address on which ADMIN_PORT is opened; in a container `0.0.0.0`. Default: 127.0.0.1."""

    server_timing: bool = False
    """Whether responses have Server-Timing, by which callers learn how long each phase took. Default: False."""

    opentelemetry: bool = False
    """Whether FastAPI reports to OpenTelemetry; its documentation says how to configure it. Default: False."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_bare(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        if any("\ud800" <= character <= "\udfff" for character in value):  # how Python has other bytes
            raise ValueError("has bytes that are not UTF-8")
        if (info.field_name or "").startswith("jwt_secret"):
            return value
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":  # docker run --env-file keeps them
            raise ValueError("is in quotes: remove them")
        return value

    @field_validator("database_url", "database_replica_url")
    @classmethod
    def _leads_to_a_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        read_target(value.get_secret_value())
        return SecretStr(plain_url(value.get_secret_value()))

    @field_validator("jwt_secret", "jwt_secret_previous")
    @classmethod
    def _is_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and (problem := secret_problem(value.get_secret_value())):
            raise ValueError(problem)
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _is_https(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is None:
            return None
        try:
            url = httpx2.URL(value)  # the library that fetches it decides how it is parsed
        except httpx2.InvalidURL as error:
            raise ValueError(f"is not a URL: {error}") from None
        if not url.host or url.scheme not in {"http", "https"}:
            raise ValueError("must be an https:// URL")
        local = url.host in {"localhost", "127.0.0.1", "::1"}
        if url.scheme == "http" and not local and not others.data.get("jwt_jwks_allow_http"):
            raise ValueError(
                "must be an https:// URL (http:// only for localhost, or with JWT_JWKS_ALLOW_HTTP=true where nobody"
                " else is on the network)"
            )
        return value

    @field_validator("jwt_issuer", "jwt_audience")
    @classmethod
    def _is_not_empty(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("is set but empty; unset it, or set the value that tokens must have")
        return value

    @field_validator("cors_origins", "cors_headers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(each.strip() for each in value.split(",") if each.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            spelling = None if "*" in origin else as_browsers_send(origin)
            if spelling is None:
                raise ValueError(f"{origin!r} is not an origin such as https://app.example.com (no path, no *)")
            if spelling != origin:
                raise ValueError(f"{origin!r} is not an origin as browsers send it: write {spelling}")
        return value

    @field_validator("cors_headers")
    @classmethod
    def _are_header_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name == "*" or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):  # RFC 9110, 5.6.2
                raise ValueError(f"{name!r} is not the name of a header (no *)")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _say_all_at_once(cls, values: dict[str, object], handler: ModelWrapValidatorHandler[Self]) -> Self:
        contradictions = _contradictions(values)
        try:
            made = handler(values)
            errors = []
        except ValidationError as error:
            errors = error.errors()
        if errors or contradictions:
            raise ValidationError.from_exception_data(
                cls.__name__, problems(errors, contradictions, cls.model_fields), hide_input=True
            )
        return made


def load_settings() -> Settings:
    """Return the settings. Raises SystemExit with one sentence per setting that is missing or unsafe."""
    try:
        return Settings()
    except ValidationError as error:
        raise SystemExit("\n".join(_sentence(problem["loc"], problem["msg"]) for problem in error.errors())) from None


def _contradictions(values: Mapping[str, object]) -> list[str]:
    """Return what is wrong with settings that are each right, in a sentence each."""
    secret, previous, keys, audience = (
        values.get(name) for name in ("jwt_secret", "jwt_secret_previous", "jwt_jwks_url", "jwt_audience")
    )
    sentences = []
    if secret is None and keys is None:
        sentences.append("JWT_SECRET or JWT_JWKS_URL must be set: without either, no token can be verified")
    if keys and audience is None:
        sentences.append(
            "JWT_AUDIENCE must be set with JWT_JWKS_URL: a token that the same issuer made for another service"
            " would be accepted. Set the `aud` of tokens for this API, or * to accept any"
        )
    if previous is not None and secret is None:
        sentences.append("JWT_SECRET_PREVIOUS requires JWT_SECRET")
    if previous is not None and previous == secret:
        sentences.append("JWT_SECRET_PREVIOUS equals JWT_SECRET: set it to the previous secret, or unset it")
    return sentences


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    name = f"{location[0]} ".upper() if location else ""
    return f"Partywall does not start: {name}{message}"
