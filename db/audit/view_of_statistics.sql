-- Statistics have values of every tenant's rows. pg_stats hides those that the caller may not read. A view of the
-- catalog itself reads it with its owner's rights, as one of large objects or of passwords does.
select
    'view_of_statistics' as name,
    'error' as level,
    audit.name(v.oid) as object,
    format('app_api may read this view of %s.', string_agg(distinct read.catalog::text, ', ')) as detail,
    audit.remedy(
        format('revoke select on %s from %s cascade;', audit.name(v.oid), string_agg(distinct g.grantee, ', ')),
        bool_and(audit.may_revoke(g.grantee, g.owner, g.namespace))) as remediation,
    'view_of_statistics:' || audit.name(v.oid) as key
from (
    select c.oid, c.reloptions, r.ev_action::text as query
    from pg_rewrite as r
    join pg_class as c on c.oid = r.ev_class
    where r.ev_class >= 16384 and c.relnamespace::regnamespace::text <> 'audit'
    offset 0
) as reader
cross join (values ('pg_statistic'::regclass), ('pg_statistic_ext_data'), ('pg_largeobject'), ('pg_authid'))
    as read (catalog)
cross join lateral (
    select reader.oid
    union
    select view from audit.view_reads where relation = reader.oid
) as v
join audit.relation_grants as g on g.relation = v.oid and g.reaches_api and g.privilege = 'select'
where reader.query ~ format(':relid %s\M', read.catalog::oid)
    and not exists (
        select from pg_options_to_table(reader.reloptions)
        where option_name = 'security_invoker' and option_value::boolean
    )
group by v.oid;
