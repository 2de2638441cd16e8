-- PUBLIC is every role, including those created later. Rights on tenants' rows are granted to named roles only.
select distinct
    'grant_to_public' as name,
    'warning' as level,
    format('%s%s: %s', g.object, '.' || quote_ident(g."column"), g.privilege) as object,
    format('Every role has %s, through PUBLIC.', g.privilege) as detail,
    audit.remedy(
        format('revoke %s%s on %s from public;', g.privilege, ' (' || quote_ident(g."column") || ')', g.object),
        audit.may_revoke(g.grantee, g.owner, g.namespace)) as remediation,
    'grant_to_public:' || format('%s%s: %s', g.object, '.' || quote_ident(g."column"), g.privilege) as key
from audit.relation_grants as g
join audit.tables as t on t."table" = g.relation
where g.grantee = 'PUBLIC' and g.privilege in ('select', 'insert', 'update', 'delete');
