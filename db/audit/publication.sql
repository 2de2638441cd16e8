-- Logical replication sends every row: the policies do not exist on the subscriber's side.
select
    'publication' as name,
    'warning' as level,
    format('%I of %s', p.pubname, audit.name(t."table")) as object,
    'The publication sends every tenant''s rows to its subscribers.' as detail,
    audit.remedy(case when p.puballtables then format('drop publication %I;', p.pubname) else s.statements end,
        audit.is_ours(p.pubowner, null)) as remediation,
    format('publication:%I of %s', p.pubname, audit.name(t."table")) as key
from audit.tables as t
cross join pg_publication as p
cross join lateral (
    select array[t."table"::oid] || array(select relid::oid from pg_partition_ancestors(t."table"))
        || array(select relid::oid from pg_partition_tree(t."table")) as oids
) as relations
cross join lateral (
    select string_agg(statement, ' ') as statements
    from (
        select format('alter publication %I drop table %s;', p.pubname, audit.name(prrelid))
        from pg_publication_rel where prpubid = p.oid and prrelid = any (oids)
        union
        select format('alter publication %I drop tables in schema %s;', p.pubname, pnnspid::regnamespace)
        from pg_publication_namespace join pg_class as c on c.relnamespace = pnnspid
        where pnpubid = p.oid and c.oid = any (oids)
    ) as published (statement)
) as s
where p.puballtables or s.statements is not null;
