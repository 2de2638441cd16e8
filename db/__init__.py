"""What a DBA looks after: roles, schema, the one door to tenant rows. Imports nothing from `api`."""
