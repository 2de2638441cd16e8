"""${Plural}: one resource, with its models, routes and SQL."""
