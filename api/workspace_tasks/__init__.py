"""Tasks of a workspace: the same as `api.tasks`, shared by its members."""
