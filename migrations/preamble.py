"""How a run of the migrations prepares its session: time limits, a lock, the role, and the schemas if they are new."""

# No name is looked up in a schema where another role could have created what hides PostgreSQL's own.
OWN_NAMES_ONLY = "set search_path = ''"
BECOME_OWNER = "set role app_owner"

# Session-level, so that they span the revisions' transactions; they end with the connection.
# The wait for another pipeline may be long, a migration's wait for a table's lock may not:
# every request that comes after it queues behind it, and gives up after app_api's own lock_timeout, two seconds.
STATEMENTS = (
    OWN_NAMES_ONLY,
    "set lock_timeout = '10min'",
    "set statement_timeout = 0",
    "select pg_advisory_lock(hashtextextended('partywall migrations', 0))",
    "set lock_timeout = '1s'",
    "set statement_timeout = '5min'",
    # Before anything else is tried: is the login a member?
    BECOME_OWNER,
    "reset role",
    # As the login: the right to create schemas may be the login's, as the database's owner.
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
    BECOME_OWNER,
    "comment on schema migrations is 'The revision of the schema, kept by Alembic.'",
)
