-- A clause that reads no column of the row cannot tell rows apart: it lets in all of them or none.
select
    'policy_always_true' as name,
    'error' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('%s (%s) reads no column: it holds for every row alike.', upper(c.clause), c.expression) as detail,
    format('alter policy %I on %s %s (user_id = app.current_user_id());', c.policy, audit.name(c."table"), c.clause) as remediation,
    'policy_always_true:' || audit.name(c."table") || '.' || quote_ident(c.policy) || case c.clause when 'using' then '' else ':check' end as key
from audit.clauses as c
where c.binds_api and c.permissive and not c.implied and not c.reads_row
    and not c.tree @@ '$.node == "CONST" && $.constvalue starts with "1 [ 0 "';
