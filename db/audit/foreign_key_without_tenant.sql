-- Foreign keys are checked without row-level security. Unless the tenant column is part of the key on both sides, a row
-- can reference another tenant's row, and whether that succeeds reveals whether the row exists.
select
    'foreign_key_without_tenant' as name,
    'warning' as level,
    audit.name(f.conrelid) || '.' || quote_ident(f.conname) as object,
    format('The foreign key to %s does not start with %s on both sides: a row can reference another tenant''s.',
        audit.name(f.confrelid), target."column") as detail,
    case
        when cannot_lead then audit.advice(format('Give the table the tenant column, and the key both. '
            'Until then: alter table %s drop constraint %I;', audit.name(f.conrelid), f.conname))
        else audit.remedy(
            case when has_key then ''
                else format('alter table %s add unique (%I, %s); ', audit.name(f.confrelid), target."column", there) end
            || format('alter table %s drop constraint %I, '
                'add constraint %2$I foreign key (%3$I, %4$s) references %5$s (%3$I, %6$s)%7$s;',
                audit.name(f.conrelid), f.conname, target."column", here, audit.name(f.confrelid), there,
                regexp_replace(options, '(ON DELETE SET (NULL|DEFAULT))(?! \()', format('\1 (%s)', here))),
            audit.is_ours(f.conrelid) and audit.is_ours(f.confrelid))
    end as remediation,
    'foreign_key_without_tenant:' || audit.name(f.conrelid) || '.' || quote_ident(f.conname) as key
from audit.tables as t
join pg_constraint as f on f.conrelid = t."table" and f.contype = 'f' and f.conparentid = 0
join audit.tenant_columns as target on target.relation = f.confrelid
left join audit.tenant_columns as tenant on tenant.relation = t."table"
cross join lateral (
    select
        string_agg(quote_ident(h.attname), ', ' order by pair.place) as all_here,
        string_agg(quote_ident(r.attname), ', ' order by pair.place) as all_there,
        string_agg(quote_ident(h.attname), ', ' order by pair.place) filter (where h.attnum <> tenant.attnum) as here,
        string_agg(quote_ident(r.attname), ', ' order by pair.place) filter (where r.attnum <> target.attnum) as there,
        tenant."column" is distinct from target."column"
            or bool_or((h.attnum = tenant.attnum) <> (r.attnum = target.attnum)) as cannot_lead
    from unnest(f.conkey, f.confkey) with ordinality as pair (here, there, place)
    join pg_attribute as h on h.attrelid = f.conrelid and h.attnum = pair.here
    join pg_attribute as r on r.attrelid = f.confrelid and r.attnum = pair.there
) as columns
cross join lateral (
    select
        substr(audit.constraint_definition(f.oid), 1 + length(format('FOREIGN KEY (%s) REFERENCES %s(%s)',
            all_here, audit.name(f.confrelid), all_there))) as options,
        exists (
            select from pg_index
            where indrelid = f.confrelid and indisunique and indpred is null
                and indkey::int2[] <@ (f.confkey || target.attnum) and indkey::int2[] @> (f.confkey || target.attnum)
        ) as has_key
) as more
where tenant."column" is distinct from target."column" or f.conkey[1] <> tenant.attnum or f.confkey[1] <> target.attnum;
