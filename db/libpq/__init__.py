"""What libpq makes of a database URL, for a driver that does less: asyncpg."""
