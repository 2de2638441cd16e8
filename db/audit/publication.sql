-- Logical replication sends all rows: a subscriber has no policies of ours.
select
    'publication' as name,
    'warning' as level,
    format('%I of %s', p.pubname, audit.name(t."table")) as object,
    'The publication sends every tenant''s rows to its subscribers.' as detail,
    case
        when a.puballtables or exists (select from pg_publication_namespace where pnpubid = a.oid)
            then format('drop publication %I;', p.pubname)
        else format('alter publication %I drop table %s;', p.pubname, audit.name(t."table"))
    end as remediation,
    format('publication:%I of %s', p.pubname, audit.name(t."table")) as key
from pg_publication_tables as p
join pg_publication as a on a.pubname = p.pubname
join audit.tables as t on audit.name(t."table") = format('%I.%I', p.schemaname, p.tablename);
