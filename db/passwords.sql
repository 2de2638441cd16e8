-- Sets the passwords of the three logins from psql's environment, so that they appear neither in a file nor in the list
-- of processes:
--
--     APP_API_PASSWORD=… APP_MIGRATOR_PASSWORD=… APP_AUDITOR_PASSWORD=… \
--         psql "$ADMIN_DATABASE_URL" --file db/passwords.sql

\set ON_ERROR_STOP on
\getenv api_password APP_API_PASSWORD
\getenv auditor_password APP_AUDITOR_PASSWORD
\getenv migrator_password APP_MIGRATOR_PASSWORD

alter role app_api password :'api_password';
alter role app_auditor password :'auditor_password';
alter role app_migrator password :'migrator_password';
