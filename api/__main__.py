"""`python -m api`: the `partywall` command where only the source is, as in the container image."""

from api.cli import main

main(prog_name="partywall")
