-- What the release made is still as the release made it: no other body, owner, right or setting, and nothing is
-- missing.
select
    'changed' as name,
    case when s.is_dangerous or s.key is null and m.sentence like 'restrictive %' then 'error' else 'warning'
    end as level,
    m.key as object,
    case
        when s.key is null then format('It is missing. The release made it: %s.', m.sentence)
        when s.sentence <> m.sentence then format('It is now: %s. The release made it: %s.', s.sentence, m.sentence)
        else 'Its definition, owner or rights are not those that the release made.'
    end as detail,
    case when m.key ~ '^setting ' then '-- Run db/roles.sql again.'
        else '-- Make it again as it is in db/schema.sql. For schema audit: alembic upgrade head.' end as remediation,
    'changed:' || m.key as key
from audit.manifest as m
left join audit.surface as s on s.key = m.key
where s.fingerprint is distinct from m.fingerprint;
