-- A row without a key cannot be addressed: no URL, ETag or page can name it, duplicates go unnoticed, and logical
-- replication refuses to update or delete it. The key starts with the tenant column (key_without_tenant).
select
    'primary_key_missing' as name,
    'warning' as level,
    audit.name(t."table") as object,
    case when invalid.key is null then 'There is no primary key.'
        else 'Its primary key is not valid: partitions are without one.' end as detail,
    case
        when invalid.key is null then audit.remedy(
            format('alter table %s %sadd primary key (%I, id);', audit.name(t."table"),
                'add column id uuid not null default ' || case when id.attname is null then uuid.function end || ', ',
                t.tenant_column),
            audit.is_ours(t."table"))
        else audit.advice(format('Attach the primary key of each partition: alter index %s attach partition …;',
            audit.name(invalid.key)))
    end as remediation,
    'primary_key_missing:' || audit.name(t."table") as key
from audit.tables as t
join pg_class as c on c.oid = t."table" and not c.relispartition
left join pg_attribute as id on id.attrelid = t."table" and id.attname = 'id' and not id.attisdropped
cross join lateral (
    select case when current_setting('server_version_num')::int < 180000 then 'app' else 'pg_catalog' end
        || '.uuidv7()' as function
) as uuid
left join lateral (
    select indexrelid as key, indisvalid from pg_index where indrelid = t."table" and indisprimary
) as invalid on true
where t.tenant_column is not null and invalid.indisvalid is not true;
