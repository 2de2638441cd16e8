"""Tasks: one resource, with its models, routes and SQL."""
