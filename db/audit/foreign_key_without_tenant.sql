-- Foreign keys are checked outside of row-level security: without the tenant on both sides a row can refer to
-- another tenant's, and whether that works tells that it exists.
select
    'foreign_key_without_tenant' as name,
    'warning' as level,
    audit.name(f.conrelid) || '.' || quote_ident(f.conname) as object,
    format('The foreign key to %s does not start with user_id on both sides: a row can refer to another tenant''s.',
        audit.name(f.confrelid)) as detail,
    format('alter table %s drop constraint %I, add constraint %I foreign key (user_id, %s) references %s (user_id, %s);',
        audit.name(f.conrelid), f.conname, f.conname, here.columns, audit.name(f.confrelid), there.columns) as remediation,
    'foreign_key_without_tenant:' || audit.name(f.conrelid) || '.' || quote_ident(f.conname) as key
from audit.tables as t
join pg_constraint as f on f.conrelid = t."table" and f.contype = 'f' and f.conparentid = 0
join pg_attribute as target on target.attrelid = f.confrelid and target.attname = 'user_id' and not target.attisdropped
left join pg_attribute as tenant on tenant.attrelid = t."table" and tenant.attname = t.tenant_column
cross join lateral (
    select string_agg(quote_ident(attname), ', ' order by array_position(f.conkey, attnum)) as columns
    from pg_attribute where attrelid = f.conrelid and attnum = any (f.conkey)
) as here
cross join lateral (
    select string_agg(quote_ident(attname), ', ' order by array_position(f.confkey, attnum)) as columns
    from pg_attribute where attrelid = f.confrelid and attnum = any (f.confkey)
) as there
where f.conkey[1] is distinct from tenant.attnum or f.confkey[1] <> target.attnum;
