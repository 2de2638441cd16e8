-- The owner of a table bypasses its policies unless row-level security is forced, and so does every function that
-- runs as the owner.
select
    'rls_not_forced' as name,
    'warning' as level,
    audit.name("table") as object,
    'Row-level security is not forced: the owner bypasses it.' as detail,
    audit.remedy(format('alter table %s force row level security;', audit.name("table")), audit.is_ours("table"))
        as remediation,
    'rls_not_forced:' || audit.name("table") as key
from audit.tables
where rls_enabled and not rls_forced and child_of is null;
