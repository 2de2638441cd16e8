"""The `partywall` command."""

import click

from api.commands.audit import audit
from api.commands.clean import clean
from api.commands.dev import dev
from api.commands.new import new
from api.commands.openapi import openapi
from api.commands.psql import psql
from api.commands.token import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Partywall: a tasks API that PostgreSQL's row-level security isolates."""


for command in (dev, token, psql, audit, clean, new, openapi):
    main.add_command(command)
