-- Whatever app_api can reach was made by a release, and is in audit.manifest: anything else is a hole, a mistake, or to
-- be accepted. So a way to other tenants' rows is found because it is new, whether or not somebody thought of it.
select
    'unexpected' as name,
    case when s.is_dangerous then 'error' else 'warning' end as level,
    s.key as object,
    format('No release made it: %s (%s).', s.sentence, s.reached) as detail,
    s.removal as remediation,
    'unexpected:' || s.key as key
from audit.surface as s
where not exists (select from audit.manifest as m where m.key = s.key);
