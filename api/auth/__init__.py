"""Who is calling: from a bearer token to a session that is bound to its caller."""
