"""The `partywall` command."""

from importlib import import_module

import click

COMMANDS = ("audit", "clean", "dev", "new", "openapi", "psql", "token")


class Commands(click.Group):
    """The commands, each in a module of its name, which is imported when it is asked for: all take half a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        del ctx
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None if there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"api.commands.{cmd_name}"), cmd_name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Partywall: a tasks API that PostgreSQL's row-level security isolates."""
