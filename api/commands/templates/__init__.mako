"""${Plural}${of_workspace}: one resource, with its models, routes and SQL."""
