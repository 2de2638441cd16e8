"""`partywall openapi`: the document, without a server."""

import json

import click
from pydantic import SecretStr

from api.main import create_app
from api.settings import Settings


@click.command()
def openapi() -> None:
    """Print the OpenAPI document that /openapi.json serves."""
    app = create_app(Settings.model_construct(database_url=SecretStr("")))  # it serves nobody
    click.echo(json.dumps(app.openapi(), indent=2, ensure_ascii=False))
