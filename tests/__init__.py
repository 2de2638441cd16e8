"""The suite: a real PostgreSQL, the real roles, real tokens, real HTTP."""
