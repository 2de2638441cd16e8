"""How a run of the migrations prepares its session: time limits, a lock, the role, and the schemas if they are new."""

# Session-level, so that they span the revisions' transactions; they end with the connection.
# The wait for another pipeline may be long, a migration's wait for a table's lock may not:
# every request that comes after it queues behind it.
STATEMENTS = (
    "set lock_timeout = '10min'",
    "set statement_timeout = 0",
    "select pg_advisory_lock(hashtextextended('partywall migrations', 0))",
    "set lock_timeout = '5s'",
    "set statement_timeout = '5min'",
    """
do $$
begin
    if not exists (select from pg_roles where rolname = 'app_owner' and pg_has_role(oid, 'member')) then
        raise exception 'login "%" is not a member of app_owner', current_user
            using hint = 'Run db/roles.sql as an administrator, then: grant app_owner to the login.';
    end if;
end
$$""",
    # Before `set role`: the right to create schemas may be the login's, as the database's owner.
    """
do $$
declare
    name text;
begin
    foreach name in array array['app', 'audit', 'migrations'] loop
        if to_regnamespace(name) is null then
            execute format('create schema %I authorization app_owner', name);
        end if;
    end loop;
end
$$""",
    "set role app_owner",
    "comment on schema migrations is 'The revision of the schema, kept by Alembic.'",
)
