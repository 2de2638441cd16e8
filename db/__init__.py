"""What a DBA looks after: roles, schema, audit, and the sessions that reach tenant rows. Imports nothing from `api`."""
