-- A trigger, a default, a policy or a view that calls such a function makes the rest of the caller's transaction
-- somebody else's. Only the API sets a setting of audit.tenants, and explain_access(), which app_api may not
-- execute. This check reads the text of bodies: it finds what says so plainly, and cannot find what is assembled or in
-- another language.
select
    'function_sets_context' as name,
    case when f.runs_by_itself then 'error' else 'warning' end as level,
    audit.routine(p.oid) as object,
    format('Its body sets %s, a role or row_security%s.', s.names,
        case when f.runs_by_itself then ', and a trigger, default, policy, view or the like runs it' end) as detail,
    audit.advice(format('Read it. If nothing needs it: drop routine %s cascade;', audit.routine(p.oid))) as remediation,
    'function_sets_context:' || audit.routine(p.oid) as key
from pg_proc as p
cross join lateral (
    select
        exists (
            select from pg_depend
            where refclassid = 'pg_proc'::regclass and refobjid = p.oid and deptype in ('n', 'a')
                and classid <> 'pg_proc'::regclass
        ) as runs_by_itself,
        exists (
            select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
            where grantee = 0 or grantee in (select role from audit.api_roles)
        ) as may_be_called
) as f
cross join (
    select string_agg(distinct setting, ', ') as names,
        string_agg('"?' || replace(setting, '.', '"?\."?'), '|') as pattern
    from audit.tenants
) as s
where p.oid >= 16384 and p.pronamespace::regnamespace::text !~ '^pg_temp' and not audit.in_extension('pg_proc', p.oid)
    and (f.runs_by_itself or f.may_be_called)
    and coalesce(audit.body(p.oid), p.prosrc) ~* concat(
        -- Any name but a literal of another setting.
        'set_config\s*\(\s*(?!''(?!', s.pattern, '|role''|session_authorization|row_security)[^'']+''(::text)?\s*,)',
        '|^set_config_by_name$',
        '|\mset\s+((local|session)\s+)?((', s.pattern, ')\M|role\M|row_security\M|session\s+authorization\M)');
