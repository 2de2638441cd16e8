-- A rule rewrites the caller's query, and the commands it adds run with the rights of the table's owner.
-- https://www.postgresql.org/docs/18/rules-privileges.html
select
    'rule_on_table' as name,
    'warning' as level,
    audit.name(r.ev_class) || '.' || quote_ident(r.rulename) as object,
    format('The rule runs as %s.', t.owner) as detail,
    audit.remedy(format('drop rule %I on %s;', r.rulename, audit.name(r.ev_class)), audit.is_ours(r.ev_class))
        as remediation,
    'rule_on_table:' || audit.name(r.ev_class) || '.' || quote_ident(r.rulename) as key
from pg_rewrite as r
join audit.tables as t on t."table" = r.ev_class;
