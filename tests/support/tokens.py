"""Tokens that the app under test accepts."""

import secrets
import time

import jwt

JWT_SECRET = secrets.token_urlsafe(32)
LIFETIME = 24 * 60 * 60.0  # seconds: longer than any machine takes for a test


def make_token(subject: object, *, lifetime: float = LIFETIME, key: str = JWT_SECRET, **claims: object) -> str:
    """Return a token of `subject`, valid for `lifetime` seconds."""
    return jwt.encode({"sub": subject, "exp": int(time.time() + lifetime)} | claims, key, algorithm="HS256")


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries `token`."""
    return {"Authorization": f"Bearer {token}"}
