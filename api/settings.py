"""Every setting, its meaning, its default. Read from the environment, then from `.env`."""

from typing import Annotated
from urllib.parse import urlsplit

import httpx2
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from db.connect import plain_url

SECRET_BYTES = 32  # RFC 7518, 3.2: a key of the size of the hash output or larger


class Settings(BaseSettings):
    """Settings of the API. `load_settings()` makes one or refuses with a sentence."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr
    """The API's login, `postgresql://app_api:…@host/database`. Required."""

    database_pool_size: int = Field(default=10, ge=1)
    """Connections per worker, at most. Default 10."""

    database_statement_cache_size: int = Field(default=100, ge=0)
    """Prepared statements kept per connection. Default 100; 0 behind PgBouncer before 1.21."""

    jwt_secret: SecretStr | None = None
    """Verifies HS256 tokens: at least 32 bytes. This or JWT_JWKS_URL is required."""

    jwt_secret_previous: SecretStr | None = None
    """Verifies HS256 tokens, too: what JWT_SECRET was, while it changes. Default: nothing does.

    To change it without downtime: 1. set this to the old secret and JWT_SECRET to the new one, and restart every API;
    2. have the issuer sign with the new one; 3. when the last old token has expired, unset this and restart.
    """

    jwt_jwks_url: str | None = None
    """Where the public keys of EdDSA, ES256 and RS256 tokens are; https, or http on this machine.

    They are fetched at the start, and again before the answer's Cache-Control max-age is over (1 minute to 1 hour;
    10 minutes if it says none), or when a token names a key that is not known, at most every 30 seconds.
    """

    jwt_issuer: str | None = None
    """What `iss` must be. Default: not checked."""

    jwt_audience: str | None = None
    """What `aud` must be or contain. Default: not checked."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose pages may call the API, separated by commas. Default: none."""

    @field_validator("database_url")
    @classmethod
    def _names_postgresql(cls, value: SecretStr) -> SecretStr:
        url = plain_url(value.get_secret_value())
        if not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        try:
            _ = urlsplit(url).port
        except ValueError:
            raise ValueError("cannot be read; percent-encode what is special in its password") from None
        return SecretStr(url)

    @field_validator("jwt_secret", "jwt_secret_previous")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < SECRET_BYTES:
            raise ValueError(f"must have at least {SECRET_BYTES} bytes; make one with: openssl rand -base64 32")
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _is_fetched_safely(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                url = httpx2.URL(value)  # what will fetch it decides what it means
            except httpx2.InvalidURL as error:
                raise ValueError(f"is no address: {error}") from None
            local = url.host in {"localhost", "127.0.0.1", "::1"}
            if not url.host or url.scheme not in ({"http", "https"} if local else {"https"}):
                raise ValueError("must be an https:// address (http:// only for localhost)")
        return value

    @field_validator("jwt_issuer", "jwt_audience")
    @classmethod
    def _is_not_empty(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("is set but empty; unset it, or say what tokens must carry")
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(origin.strip() for origin in value.split(",") if origin.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            url = urlsplit(origin)
            plain = url.scheme in {"http", "https"} and url.hostname and f"{url.scheme}://{url.netloc}" == origin
            if not plain or "*" in origin:
                raise ValueError(f"{origin!r} is not an origin such as https://app.example.com (no path, no *)")
        return value

    @model_validator(mode="after")
    def _can_verify_tokens(self) -> "Settings":
        if self.jwt_secret is None and self.jwt_jwks_url is None:
            raise ValueError("JWT_SECRET or JWT_JWKS_URL must be set: without either, no token can be verified")
        if self.jwt_secret_previous is not None and self.jwt_secret is None:
            raise ValueError("JWT_SECRET_PREVIOUS is set without JWT_SECRET: nothing comes after it")
        if self.jwt_secret_previous is not None and self.jwt_secret_previous == self.jwt_secret:
            raise ValueError("JWT_SECRET_PREVIOUS is the same as JWT_SECRET: set it to the secret before, or unset it")
        return self


def load_settings() -> Settings:
    """Return the settings. Raises SystemExit with one sentence per setting that is missing or unsafe."""
    try:
        return Settings()
    except ValidationError as error:
        raise SystemExit("\n".join(_refusal(problem["loc"], problem["msg"]) for problem in error.errors())) from None


def _refusal(location: tuple[int | str, ...], message: str) -> str:
    reason = message.removeprefix("Value error, ")
    name = " ".join(str(part).upper() for part in location[:1])
    if reason == "Field required":
        reason = "must be set (see .env.example)"
    return f"Partywall does not start: {name} {reason}".replace("  ", " ")
