-- The roles of Partywall. Run it once per database, connected to that database, as an administrator
-- (a superuser, or on a managed service the login that may create roles and owns the database):
--
--     psql "$ADMIN_DATABASE_URL" --file db/roles.sql
--
-- Running it again changes nothing. It sets no passwords: db/passwords.sql does, or do it your way.

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
    -- A schema is created by its owner; the database-wide right is needed for nothing more.
    execute format('grant create on database %I to app_owner', current_database());
end
$$;

comment on role app_owner is 'Owns every Partywall object. Nobody logs in as it: migrations "set role" to it.';
comment on role app_migrator is 'The login that runs "alembic upgrade head": a member of app_owner, otherwise ordinary.';
comment on role app_api is 'The API''s login. Sees the rows of app.user_id only: row-level security binds it.';
comment on role app_auditor is 'A login for audits: reads the catalogs, and no tenant row.';

-- Limits that hold whatever a client forgets. A request is one short transaction.
alter role app_api set statement_timeout = '10s';
alter role app_api set idle_in_transaction_session_timeout = '10s';
