-- A policy for PUBLIC applies to every role, including those created later. A policy names the roles it is for.
select
    'policy_for_public' as name,
    'warning' as level,
    audit.name(polrelid) || '.' || quote_ident(polname) as object,
    'The policy applies to every role.' as detail,
    audit.remedy(format('alter policy %I on %s to app_api;', polname, audit.name(polrelid)), audit.is_ours(polrelid))
        as remediation,
    'policy_for_public:' || audit.name(polrelid) || '.' || quote_ident(polname) as key
from pg_policy
join audit.tables on "table" = polrelid
where 0 = any (polroles) and polpermissive;
