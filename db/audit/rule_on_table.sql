-- A rule rewrites the caller's query, and the commands it adds run with the rights of the table's owner. So do those of
-- a view's rules, also with security_invoker. https://www.postgresql.org/docs/18/rules-privileges.html
select
    'rule_on_table' as name,
    case when o.bypasses and exists (
            select from pg_depend
            where classid = 'pg_rewrite'::regclass and objid = r.oid and refclassid = 'pg_class'::regclass
                and refobjid <> c.oid and refobjid in (select "table" from audit.tables)
        ) then 'error' else 'warning' end as level,
    audit.name(c.oid) || '.' || quote_ident(r.rulename) as object,
    format('The rule runs as %s.', c.relowner::regrole) as detail,
    audit.remedy(format('drop rule %I on %s;', r.rulename, audit.name(c.oid)),
        audit.is_ours(c.relowner, c.relnamespace)) as remediation,
    'rule_on_table:' || audit.name(c.oid) || '.' || quote_ident(r.rulename) as key
from pg_rewrite as r
join pg_class as c on c.oid = r.ev_class
cross join lateral (select rolsuper or rolbypassrls as bypasses from pg_roles where oid = c.relowner) as o
where r.ev_type <> '1' and (c.oid in (select "table" from audit.tables)
    or c.oid >= 16384 and c.relkind = 'v' and not audit.in_extension('pg_class', c.oid)
        and exists (
            select from audit.relation_grants as g
            where g.relation = c.oid and g.reaches_api and g.privilege in ('insert', 'update', 'delete')
        )
        and exists (
            select from pg_depend
            where classid = 'pg_rewrite'::regclass and objid = r.oid and refclassid = 'pg_class'::regclass
                and refobjid <> c.oid
        ));
