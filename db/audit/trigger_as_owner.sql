-- A trigger whose function is SECURITY DEFINER runs with that owner's rights on every row that a caller writes. What it
-- does with them is in its body, which the audit does not read.
select
    'trigger_as_owner' as name,
    'warning' as level,
    audit.name(g.tgrelid) || '.' || quote_ident(g.tgname) as object,
    format('The trigger runs %s as %s.', audit.routine(p.oid), p.proowner::regrole) as detail,
    audit.advice(format('Without its owner''s rights it may fail, and with it every write. If it needs none: '
        'alter function %s security invoker;', audit.routine(p.oid))) as remediation,
    'trigger_as_owner:' || audit.name(g.tgrelid) || '.' || quote_ident(g.tgname) as key
from pg_trigger as g
join audit.tables as t on t."table" = g.tgrelid
join pg_proc as p on p.oid = g.tgfoid
where not g.tgisinternal and g.tgparentid = 0 and p.prosecdef;
