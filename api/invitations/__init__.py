"""Invitations: how somebody becomes a member of a workspace."""
