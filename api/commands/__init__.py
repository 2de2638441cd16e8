"""The `partywall` command, one file per subcommand."""
