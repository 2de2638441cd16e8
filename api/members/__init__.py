"""Members: who belongs to a workspace, and in which role."""
