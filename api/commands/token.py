"""`partywall token`: a token for the development server, and the settings that it is made by."""

import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

import click
import jwt

from api.commands.options import data_dir_option
from db.connect import environment
from db.session import is_user_id

TOKEN_SECONDS = 24 * 60 * 60


@click.command()
@click.argument("subject")
@data_dir_option
def token(subject: str, data_dir: Path) -> None:
    """Print a token that makes SUBJECT the caller of the development server, for 24 hours."""
    if not is_user_id(subject):
        raise click.BadParameter('a subject has 1 to 255 characters, no control characters, and is not "." or ".."')
    click.echo(make_token(subject, dev_environment(data_dir)))


def dev_environment(data_dir: Path) -> dict[str, str]:
    """Return the environment of the development server: what is set, over .env, over what is generated.

    The secret is made once and kept in `data_dir`, readable by its owner only.
    """
    file = data_dir / "jwt-secret"
    if not file.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        draft = data_dir / f"jwt-secret.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        draft.rename(file)
    generated = {"JWT_SECRET": file.read_text(), "CORS_ORIGINS": "http://localhost:3000"}
    return generated | environment()


def make_token(subject: str, environment: Mapping[str, str]) -> str:
    """Return a JWT for `subject`, signed as the settings in `environment` demand."""
    claims: dict[str, object] = {"sub": subject, "exp": int(time.time()) + TOKEN_SECONDS}
    claims |= {
        claim: environment[name]
        for claim, name in (("iss", "JWT_ISSUER"), ("aud", "JWT_AUDIENCE"))
        if name in environment
    }
    return jwt.encode(claims, environment["JWT_SECRET"], algorithm="HS256")
