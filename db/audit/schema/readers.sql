-- Everything here is computed from catalogs that every login can read. The API reads the findings itself, and stops
-- serving while one of them is an error.
revoke all on all functions in schema audit from public;
grant usage on schema audit to app_auditor, app_api;
grant select on all tables in schema audit to app_auditor, app_api;
grant execute on all functions in schema audit to app_auditor, app_api;
revoke execute on function audit.explain_access(text, regclass, uuid), audit.holds(text, regclass, text)
from app_auditor, app_api;
