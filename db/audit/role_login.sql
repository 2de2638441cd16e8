-- Nobody logs in as the owner of the tables and their policies: a migration uses SET ROLE, for as long as it runs.
select
    'role_login' as name,
    'warning' as level,
    rolname::text as object,
    'app_owner can log in.' as detail,
    'alter role app_owner nologin;' as remediation,
    'role_login:' || rolname::text as key
from pg_roles
where rolname = 'app_owner' and rolcanlogin;
