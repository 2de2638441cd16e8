-- No policy applies to these privileges. TRUNCATE deletes every tenant's rows; TRIGGER attaches a function that other
-- roles then run; REFERENCES reveals which keys exist; MAINTAIN takes locks; a grant option passes rights on to others.
-- https://www.postgresql.org/docs/18/ddl-rowsecurity.html
select distinct
    'grant_beyond_rls' as name,
    case
        when privilege in ('truncate', 'trigger') and object in (select audit.name("table") from audit.tables)
            then 'error'
        else 'warning'
    end as level,
    what as object,
    format('%s has %s%s.', grantee, privilege, case when with_grant_option then ' with grant option' else '' end)
        as detail,
    audit.remedy(format('revoke %s%s%s on %s %s from %s cascade;',
        case when is_beyond then '' else 'grant option for ' end,
        privilege, ' (' || quote_ident("column") || ')',
        case when kind in ('function', 'schema', 'database', 'sequence') then replace(kind, 'function', 'routine')
            else 'table' end,
        object, grantee), audit.may_revoke(grantee, owner, namespace)) as remediation,
    'grant_beyond_rls:' || what as key
from audit.grants
cross join lateral (
    select
        format('%s%s to %s: %s', object, '.' || quote_ident("column"), grantee, privilege) as what,
        privilege in ('truncate', 'references', 'trigger', 'maintain') as is_beyond
) as w
where (is_beyond or with_grant_option) and kind not like 'default%' and reaches_api;
