-- The roles of Partywall, and what they may do in this database. Run it once per database, connected to that database,
-- as an administrator (a superuser, or on a managed service the login that may create roles and owns the database):
--
--     psql "$ADMIN_DATABASE_URL" --file db/roles.sql
--
-- Running it again changes nothing. It sets no passwords: db/passwords.sql does that, or any other way you prefer.

set search_path = '';

do $$
begin
    if to_regrole('app_owner') is null then
        create role app_owner nologin;
    end if;
    if to_regrole('app_migrator') is null then
        create role app_migrator login;
    end if;
    if to_regrole('app_api') is null then
        create role app_api login;
    end if;
    if to_regrole('app_auditor') is null then
        create role app_auditor login;
    end if;

    -- Migrations `set role app_owner`: they need the membership and nothing else.
    grant app_owner to app_migrator;
    -- So that app_owner can create its schemas.
    execute format('grant create on database %I to app_owner', current_database());
end
$$;

comment on role app_owner is 'Owns every Partywall object. Nobody logs in as it: migrations "set role" to it.';
comment on role app_migrator is 'The login that runs "alembic upgrade head": a member of app_owner, otherwise ordinary.';
comment on role app_api is 'The API''s login. Row-level security shows it only the rows of the user in app.user_id.';
comment on role app_auditor is 'A login for audits: reads the catalogs, and no tenant''s row.';

-- Limits that apply whatever a client forgets to set. A request is one short transaction.
alter role app_api set statement_timeout = '10s';
alter role app_api set lock_timeout = '2s'; -- longer than a migration waits for a table
alter role app_api set idle_in_transaction_session_timeout = '10s';

-- No name in a statement is looked up in a schema in which somebody else can create functions, operators or types.
-- Our own transactions set it again, because a role may change its own settings.
alter role app_owner set search_path = '';
alter role app_migrator set search_path = '';
alter role app_api set search_path = '';
alter role app_auditor set search_path = '';

-- PostgreSQL renders timestamps in the session's time zone. The API's transactions set it, too; whoever else logs in as
-- app_api sees what it returns.
alter role app_api set timezone = 'UTC';

-- From inside a query nobody can become another caller: an expression that was smuggled into a statement of the API can
-- neither call set_config('app.user_id', …) nor run a block of PL/pgSQL. In every new database PUBLIC has both rights.
-- Whoever else needs them here is granted them by name: a login that runs pg_dump needs set_config().
do $$
declare
    kept text[];
begin
    if pg_has_role((select proowner from pg_proc where oid = 'set_config(text, text, boolean)'::regprocedure), 'usage') then
        revoke execute on function pg_catalog.set_config(text, text, boolean) from public;
        grant execute on function pg_catalog.set_config(text, text, boolean) to app_owner, app_migrator, app_auditor;
    end if;
    if pg_has_role((select lanowner from pg_language where lanname = 'plpgsql'), 'usage') then
        revoke usage on language plpgsql from public;
        grant usage on language plpgsql to app_owner, app_migrator, app_auditor;
    end if;

    kept := array_remove(array[
        case when has_function_privilege('app_api', 'set_config(text, text, boolean)', 'execute')
            then 'execute on set_config()' end,
        case when has_language_privilege('app_api', 'plpgsql', 'usage') then 'usage on plpgsql' end
    ], null);
    if kept <> '{}' then
        raise notice 'app_api keeps % from PUBLIC, which only the owner of each can revoke: docs/security.md says what that means',
            array_to_string(kept, ', ');
    end if;
end
$$;
