"""`partywall audit`: what audit.findings says, with an exit code."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import click
from click.core import ParameterSource

from api.commands.options import line_to_paste
from db.audit import Finding, NotInstalledError, find, report
from db.audit.accept import FILE, FILE_ON_CITUS, accept
from db.audit.attempts import Attempt
from db.audit.prove import prove, prove_as_api
from db.citus import ON_CITUS
from db.connect import DatabaseUnavailableError, connect, url_from_environment
from db.embedded import Cluster, EmbeddedPostgresError
from db.libpq.url import InvalidUrlError

LEVELS = ("error", "warning", "info")
FORMATS = {"text": report.as_text, "json": report.as_json, "sarif": report.as_sarif}


class CannotAuditError(click.ClickException):
    """The audit did not run."""

    exit_code = 2


@click.command()
@click.option("--format", "format_", type=click.Choice(list(FORMATS)), default="text", show_default=True)
@click.option("--fail-on", type=click.Choice(LEVELS), default="warning", show_default=True, help="Exit 1 from here up.")
@click.option("--prove", "proving", is_flag=True, help="Also try every command across tenants; rolled back.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".data"),
    show_default=True,
    help="Audit the development database there, even if DATABASE_URL is set.",
)
@click.option("--accept", "keys", metavar="KEY", multiple=True, help="Accept a finding, as it is now. Repeatable.")
@click.option("--because", "reason", metavar="REASON", default="", help="Why it is accepted.")
@click.pass_context
def audit(
    context: click.Context,
    format_: str,
    fail_on: str,
    data_dir: Path,
    keys: tuple[str, ...],
    reason: str,
    *,
    proving: bool,
) -> None:
    """Audit the policies of the database of DATABASE_URL, or of the development server.

    Exit code 0: no findings. 1: findings of the level --fail-on or worse. 2: the audit could not run.
    """
    if bool(keys) != bool(reason.strip()):
        raise click.UsageError("--accept KEY and --because REASON belong together: why is this finding accepted?")
    given = context.get_parameter_source("data_dir") is ParameterSource.COMMANDLINE
    try:
        url = None if given else url_from_environment("DATABASE_URL", "MIGRATION_DATABASE_URL")
        findings, attempts, file = asyncio.run(_run(url or _development_url(data_dir), proving=proving))
    except (
        InvalidUrlError,
        DatabaseUnavailableError,
        OSError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        EmbeddedPostgresError,
        NotInstalledError,
    ) as error:
        raise CannotAuditError(f"cannot audit: {str(error) or type(error).__name__}") from error
    if keys:
        _accept(findings, keys, reason, file)
        return
    click.echo(FORMATS[format_](findings, attempts))
    failing = LEVELS[: LEVELS.index(fail_on) + 1]
    context.exit(any(finding.level in failing for finding in findings))


def _accept(findings: Sequence[Finding], keys: Sequence[str], reason: str, file: Path) -> None:
    by_key = {finding.key: finding for finding in findings}
    if unknown := [key for key in keys if key not in by_key]:
        there = "\n  ".join(by_key) or "none"
        raise CannotAuditError(f"cannot accept {', '.join(unknown)}: not a finding. The findings are:\n  {there}")
    try:
        for key in keys:
            accept(by_key[key], reason, file)
    except OSError as error:
        raise CannotAuditError(f"cannot accept: {error}") from error
    click.echo(f"accepted in {file}: commit it; alembic upgrade head installs it")


def _development_url(data_dir: Path) -> str:
    cluster = Cluster(data_dir)
    if not cluster.is_running:
        raise CannotAuditError(
            f"cannot audit: no database runs in {data_dir}; start it with {line_to_paste(data_dir, 'dev')},"
            " or export DATABASE_URL"
        )
    return cluster.url("app_api")


async def _run(url: str, *, proving: bool) -> tuple[list[Finding], list[Attempt], Path]:
    """Return the findings, the attempts, and the file in which findings of this database are accepted."""
    connection = await connect(url, application_name="partywall audit")
    try:
        findings = await find(connection)
        file = FILE_ON_CITUS if await connection.fetchval(ON_CITUS) else FILE
        if not proving:
            return findings, [], file
        as_api = await connection.fetchval("select session_user") == "app_api"
        proof = await (prove_as_api(url) if as_api else prove(connection))
        return [*findings, *proof.findings], [*proof.attempts, *proof.matrix], file
    finally:
        await connection.close()
