-- A row without a key cannot be addressed: no URL, ETag or page can name it, duplicates go unnoticed, and logical
-- replication refuses to update or delete it. The key starts with the tenant column (key_without_tenant).
select
    'primary_key_missing' as name,
    'warning' as level,
    audit.name(t."table") as object,
    'There is no primary key.' as detail,
    audit.remedy(format('alter table %s %sadd primary key (user_id, id);', audit.name(t."table"),
        case when id.attname is null then format('add column id uuid not null default %s, ', uuid.function) else '' end),
        audit.is_ours(t."table")) as remediation,
    'primary_key_missing:' || audit.name(t."table") as key
from audit.tables as t
join pg_class as c on c.oid = t."table" and not c.relispartition
left join pg_attribute as id on id.attrelid = t."table" and id.attname = 'id' and not id.attisdropped
cross join lateral (
    select case when current_setting('server_version_num')::int < 180000 then 'app' else 'pg_catalog' end
        || '.uuidv7()' as function
) as uuid
where t.tenant_column is not null
    and not exists (select from pg_constraint where conrelid = t."table" and contype = 'p');
