-- A policy for PUBLIC lets in every role, also those to come. A policy names whom it lets in.
select
    'policy_for_public' as name,
    'warning' as level,
    audit.name(polrelid) || '.' || quote_ident(polname) as object,
    'The policy is for every role.' as detail,
    format('alter policy %I on %s to app_api;', polname, audit.name(polrelid)) as remediation,
    'policy_for_public:' || audit.name(polrelid) || '.' || quote_ident(polname) as key
from pg_policy
join audit.tables on "table" = polrelid
where 0 = any (polroles) and polpermissive;
