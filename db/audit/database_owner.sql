-- The owner of a database may set app.user_id or search_path for all of its sessions, owns schema public, and may
-- create schemas. It should be somebody who is trusted with app_owner anyway: a superuser, on a managed service the
-- administrator (who may create roles) or the group of the administrators, app_migrator or app_owner itself.
select
    'database_owner' as name,
    'warning' as level,
    format('database %I', d.datname) as object,
    format('%s owns the database.', r.oid::regrole) as detail,
    audit.remedy(format('alter database %I owner to app_owner;', d.datname), r.rolname = 'app_auditor') as remediation,
    format('database_owner:database %I', d.datname) as key
from pg_database as d
join pg_roles as r on r.oid = d.datdba
where d.datname = current_database() and r.oid >= 16384 and r.rolname <> 'app_api'
    and not (r.rolsuper or r.rolcreaterole)
    and (r.rolcanlogin or not coalesce((
        select bool_and(member.rolcreaterole) from pg_roles as member
        where member.rolcanlogin and not member.rolsuper and pg_has_role(member.oid, r.oid, 'member')
    ), false))
    and not exists (
        select from pg_roles as admin
        where (admin.rolsuper or admin.rolname = 'app_owner') and pg_has_role(r.oid, admin.oid, 'member')
    );
