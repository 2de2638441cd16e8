-- A call of set_config() in a default, a policy, a constraint, an index, a trigger's condition or a view makes the rest
-- of the caller's transaction somebody else's as soon as it is evaluated. None of these has any use for it.
select
    'expression_sets_context' as name,
    'error' as level,
    e.object as object,
    'The expression calls set_config().' as detail,
    audit.advice('Write it without. Until then: ' || e.removal || ';') as remediation,
    'expression_sets_context:' || e.object as key
from (
    select audit.name(adrelid) || '.' || quote_ident(attname), adbin::text,
        format('alter table %s alter column %I drop default', audit.name(adrelid), attname)
    from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum
    union all
    select audit.name(polrelid) || '.' || quote_ident(polname), concat(polqual, polwithcheck),
        format('drop policy %I on %s', polname, audit.name(polrelid))
    from pg_policy
    union all
    select audit.name(conrelid) || '.' || quote_ident(conname), conbin::text,
        format('alter table %s drop constraint %I', audit.name(conrelid), conname)
    from pg_constraint where conbin is not null and contypid = 0
    union all
    select contypid::regtype || '.' || quote_ident(conname), conbin::text,
        format('alter domain %s drop constraint %I', contypid::regtype, conname)
    from pg_constraint where conbin is not null and contypid <> 0
    union all
    select audit.name(indexrelid), concat(indexprs, indpred), format('drop index %s', audit.name(indexrelid))
    from pg_index where indexprs is not null or indpred is not null
    union all
    select audit.name(tgrelid) || '.' || quote_ident(tgname), tgqual::text,
        format('drop trigger %I on %s', tgname, audit.name(tgrelid))
    from pg_trigger where tgqual is not null
    union all
    select audit.name(oid), query, format('drop view %s', audit.name(oid))
    from (
        select c.oid, r.ev_action::text as query
        from pg_rewrite as r
        join pg_class as c on c.oid = r.ev_class
        where c.oid >= 16384 and c.relkind = 'v' and c.relnamespace::regnamespace::text <> 'audit'
        offset 0
    ) as v
) as e (object, tree, removal)
where e.tree ~ format(':funcid %s\M', to_regprocedure('pg_catalog.set_config(text,text,boolean)')::oid);
