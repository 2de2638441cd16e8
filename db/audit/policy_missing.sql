-- A granted command without a policy finds no row: the API would be broken, and somebody in a hurry would switch
-- off row-level security.
select
    'policy_missing' as name,
    'warning' as level,
    audit.name("table") || ' ' || command as object,
    format('app_api was granted %s, and no policy lets it.', command) as detail,
    format('create policy %I on %s for %s to app_api %s;', 'tenants_' || command, audit.name("table"), command, concat_ws(' ',
        case when command <> 'insert' then 'using (user_id = app.current_user_id())' end,
        case when command in ('insert', 'update') then 'with check (user_id = app.current_user_id())' end)) as remediation,
    'policy_missing:' || audit.name("table") || ' ' || command as key
from audit.tables as t
cross join unnest(array['select', 'insert', 'update', 'delete']) as command
where t.rls_enabled
    and (has_table_privilege('app_api', t."table", command)
        or command <> 'delete' and has_any_column_privilege('app_api', t."table", replace(command, 'delete', 'select')))
    and not exists (
        select from audit.clauses as c
        where c."table" = t."table" and c.binds_api and c.permissive and c.command in ('all', command)
    );
