"""`python -m migrations`: what `alembic` is in a checkout, wherever Partywall is installed."""

from pathlib import Path

from alembic.config import CommandLine, Config


def main() -> None:
    """Run Alembic's command with the settings of alembic.ini, which is not installed."""
    commands = CommandLine(prog="python -m migrations")
    options = commands.parser.parse_args()
    if not hasattr(options, "cmd"):
        commands.parser.error("too few arguments")
    config = Config(cmd_opts=options)
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("revision_environment", "true")
    commands.run_cmd(config, options)


if __name__ == "__main__":
    main()
