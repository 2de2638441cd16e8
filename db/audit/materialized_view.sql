-- A materialized view has no row-level security: it contains what its owner could see when it was last refreshed.
select
    'materialized_view' as name,
    case when reads.tables is null then 'warning' else 'error' end as level,
    audit.name(v.oid) as object,
    format('app_api may read this copy%s; materialized views have no row-level security.', ' of ' || reads.tables)
        as detail,
    audit.remedy(
        format('revoke select on %s from %s cascade;', audit.name(v.oid), string_agg(distinct g.grantee, ', ')),
        bool_and(audit.may_revoke(g.grantee, g.owner, g.namespace))) as remediation,
    'materialized_view:' || audit.name(v.oid) as key
from pg_class as v
join audit.relation_grants as g on g.relation = v.oid and g.reaches_api and g.privilege = 'select'
cross join lateral (
    select string_agg(audit.name(relation), ', ' order by audit.name(relation)) as tables
    from audit.view_reads
    where view = v.oid and has_tenants
) as reads
where v.relkind = 'm'
    and (exists (select from audit.api_roles where has_schema_privilege(role, v.relnamespace, 'usage'))
        or audit.is_viewed(v.oid))
group by v.oid, reads.tables;
