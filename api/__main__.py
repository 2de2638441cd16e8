"""`python -m api`: the `partywall` command where only the source is, as in the container image."""

from api.commands.main import main

main(prog_name="partywall")
