-- Whose a row is, which one it is and what happened to it when is the database's to say: the tenant column, id,
-- and timestamps of what has happened (created_at, updated_at, completed_at: every …ed_at).
select
    'grant_protected_column' as name,
    'warning' as level,
    audit.name(t."table") || '.' || quote_ident(a.attname) as object,
    format('app_api may %s it.', array_to_string(array_remove(array[
        case when p.can_insert then 'insert' end, case when p.can_update then 'update' end], null), ' and ')) as detail,
    (
        select string_agg(format('revoke %1$s on %2$s from %3$s; revoke %1$s (%4$I) on %2$s from %3$s;%5$s',
            privilege, audit.name(t."table"), grantees.list, a.attname,
            case when others.list is not null then
                format(' grant %s (%s) on %s to app_api;', privilege, others.list, audit.name(t."table")) else '' end
        ), ' ')
        from (values ('insert', p.can_insert), ('update', p.can_update)) as privileges (privilege, granted)
        cross join lateral (
            select string_agg(quote_ident(attname), ', ' order by attnum) as list
            from pg_attribute
            where attrelid = t."table" and attnum > 0 and not attisdropped and attname <> a.attname
                and has_column_privilege('app_api', attrelid, attnum, privilege)
        ) as others
        where granted
    ) as remediation,
    'grant_protected_column:' || audit.name(t."table") || '.' || quote_ident(a.attname) as key
from audit.tables as t
join pg_attribute as a on a.attrelid = t."table" and a.attnum > 0 and not a.attisdropped
cross join lateral (
    select
        has_column_privilege('app_api', t."table", a.attnum, 'insert') as can_insert,
        has_column_privilege('app_api', t."table", a.attnum, 'update') as can_update
) as p
cross join (select string_agg(role::text, ', ') || ', public' as list from audit.api_roles) as grantees
where (p.can_insert or p.can_update)
    and (a.attname in (t.tenant_column, 'id')
        or a.attname ~ 'ed_at$' and a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype));
