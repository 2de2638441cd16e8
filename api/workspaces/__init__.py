"""Workspaces: the tenants that people share."""
