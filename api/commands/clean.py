"""`partywall clean`: deletes what has expired. A scheduler runs it, once a day or so."""

import asyncio

import asyncpg
import click

from api.http.idempotency import EXPIRED
from db.connect import OWN_NAMES_ONLY, DatabaseUnavailableError, connect, url_from_environment
from db.libpq.url import InvalidUrlError


@click.command()
def clean() -> None:
    """Delete the Idempotency-Keys of all users that have expired.

    On the database of MIGRATION_DATABASE_URL (in the environment or .env), as app_owner, to whom no other row is
    visible. Exit code 0: done. 1: not done; the reason is on stderr.
    """
    try:
        if (url := url_from_environment("MIGRATION_DATABASE_URL")) is None:
            raise click.ClickException("cannot clean: set MIGRATION_DATABASE_URL, in the environment or in .env")
        deleted = asyncio.run(_delete_expired(url))
    except (InvalidUrlError, DatabaseUnavailableError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise click.ClickException(f"cannot clean: {str(error) or type(error).__name__}") from error
    click.echo(f"{deleted} expired idempotency {'key' if deleted == 1 else 'keys'} deleted")


async def _delete_expired(url: str) -> int:
    connection = await connect(url, application_name="partywall clean")
    try:
        async with connection.transaction():
            await connection.execute(f"{OWN_NAMES_ONLY}; set local role app_owner")
            status = await connection.execute(f"delete from app.idempotency_keys where {EXPIRED}")  # noqa: S608
            return int(status.rpartition(" ")[2])
    finally:
        await connection.close()
