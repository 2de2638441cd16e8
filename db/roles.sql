-- The roles of Partywall. Run it once per database, connected to that database, as an administrator
-- (a superuser, or on a managed service the login that may create roles and owns the database):
--
--     psql "$ADMIN_DATABASE_URL" --file db/roles.sql
--
-- Running it again changes nothing. It sets no passwords: db/passwords.sql does that, or any other way you prefer.

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
alter role app_api set idle_in_transaction_session_timeout = '10s';

-- PostgreSQL renders the timestamps in the API's responses, in the session's time zone. The API asks for UTC when it
-- connects, but a pooler or a managed service's proxy may drop startup parameters.
alter role app_api set timezone = 'UTC';
