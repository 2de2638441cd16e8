-- The SECURITY DEFINER functions that app_api can make run, and what their owners have that it has not.
--
-- Calling one needs EXECUTE, and USAGE on its schema unless an operator, or a view or a table that app_api may use,
-- refers to it.
-- Triggers, event triggers, aggregates, types and operator classes run their functions without EXECUTE.
create or replace view audit.definer_functions as
select
    p.oid as function,
    p.proowner::regrole as owner,
    is_trigger,
    run.by_itself,
    run.by_itself or coalesce(called.in_reach, false) as in_reach,
    case
        when run.by_itself then 'make it run without EXECUTE'
        when is_trigger then 'attach it to a temporary table as a trigger'
        when called.in_reach then 'execute it'
        else 'execute it (but has no USAGE on its schema)'
    end as how,
    (select string_agg(distinct case grantee when 0 then 'PUBLIC' else grantee::regrole::text end, ', ')
        from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
        where grantee = 0 or grantee in (select role from audit.api_roles)
    ) as grantees,
    audit.is_ours(p.proowner, p.pronamespace) as is_ours
from pg_proc as p
cross join lateral (
    select p.prorettype in ('trigger'::regtype, 'event_trigger'::regtype) as is_trigger,
        exists (
            select from pg_depend as d
            left join pg_rewrite as r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
            left join pg_attrdef as a on d.classid = 'pg_attrdef'::regclass and a.oid = d.objid
            left join pg_constraint as c on d.classid = 'pg_constraint'::regclass and c.oid = d.objid
            left join pg_policy as l on d.classid = 'pg_policy'::regclass and l.oid = d.objid
            left join pg_index as i on d.classid = 'pg_class'::regclass and i.indexrelid = d.objid
            cross join coalesce(r.ev_class, a.adrelid, nullif(c.conrelid, 0), l.polrelid, i.indrelid) as relation
            where d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid and d.deptype in ('n', 'a')
                and (relation is null or exists (
                    select from audit.api_roles
                    where has_any_column_privilege(role, relation, 'select, insert, update')
                        or has_table_privilege(role, relation, 'delete')
                ))
        ) as is_used
) as f
cross join lateral (
    select
        bool_or(not is_trigger and (is_used or has_schema_privilege(role, p.pronamespace, 'usage'))) as in_reach,
        -- Somebody meant it. PUBLIC may execute whatever others create in schemas of their own.
        bool_or(exists (select from aclexplode(p.proacl) where grantee <> 0 and grantee = role)
            or is_trigger and has_schema_privilege(role, p.pronamespace, 'usage')) as by_name
    from audit.api_roles
    where has_function_privilege(role, p.oid, 'execute')
        and (not is_trigger or has_database_privilege(role, current_database(), 'temporary'))
) as called
cross join lateral (
    select exists (
        select from pg_trigger, audit.api_roles
        where tgfoid = p.oid and tgenabled <> 'D'
            and (tgrelid in (select "table" from audit.tables)
                or has_any_column_privilege(role, tgrelid, 'insert, update')
                or has_table_privilege(role, tgrelid, 'delete, truncate'))
        union all
        select from pg_event_trigger where evtfoid = p.oid and evtenabled <> 'D'
        union all
        select from pg_aggregate, audit.api_roles
        where p.oid in (aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggmtransfn, aggminvtransfn,
                aggmfinalfn)
            and has_function_privilege(role, aggfnoid, 'execute')
        union all
        select from pg_depend
        where refclassid = 'pg_proc'::regclass and refobjid = p.oid
            and classid::regclass::text in ('pg_type', 'pg_amproc', 'pg_opclass', 'pg_conversion', 'pg_transform',
                'pg_language', 'pg_foreign_data_wrapper', 'pg_ts_parser', 'pg_ts_template')
    ) as by_itself
) as run
where p.prosecdef and p.pronamespace::regnamespace::text !~ '^pg_temp' and not audit.in_extension('pg_proc', p.oid)
    and (called.in_reach or called.by_name or run.by_itself);

comment on view audit.definer_functions is
    'The SECURITY DEFINER functions that app_api can make run, but those of extensions.';
comment on column audit.definer_functions.by_itself is
    'Whether a trigger, an aggregate, a type or an operator class runs it, which needs no EXECUTE.';
comment on column audit.definer_functions.in_reach is
    'Whether app_api can make it run as things are; otherwise it lacks USAGE on the schema, or a table for the trigger.';
comment on column audit.definer_functions.how is 'What app_api may do, in words.';
comment on column audit.definer_functions.grantees is 'Through whom app_api has EXECUTE; null if it has not.';
comment on column audit.definer_functions.is_ours is 'Whether it is the product''s; see audit.is_ours().';

create or replace function audit.tables_of(of_function oid) returns oid[]
language sql stable strict parallel safe
set search_path = ''
as $$
    with recursive called (oid) as (
        select of_function
        union
        select next.oid
        from called
        join pg_proc as p on p.oid = called.oid
        cross join lateral (
            select refobjid as oid from pg_depend
            where classid = 'pg_proc'::regclass and objid = p.oid and refclassid = 'pg_proc'::regclass
            union all
            select oid from pg_proc
            where p.prosqlbody is null and oid >= 16384
                and strpos(p.prosrc, format('%s.%s(', pronamespace::regnamespace, proname)) > 0
        ) as next
    ), texts as materialized ( -- else they are searched for in every function of the database first
        select p.prosrc from called join pg_proc as p on p.oid = called.oid and p.prosqlbody is null
    ), used (oid) as (
        select d.refobjid from called
        join pg_depend as d on d.classid = 'pg_proc'::regclass and d.objid = called.oid
            and d.refclassid = 'pg_class'::regclass
        union
        select c.oid from texts
        join pg_class as c on c.oid >= 16384 and c.relkind in ('r', 'p', 'v')
            and strpos(texts.prosrc, format('%s.%s', c.relnamespace::regnamespace, c.relname)) > 0
    )
    select array(select oid from used)
    where not exists (select from used join pg_class as c using (oid) where c.relkind = 'v')
$$;

comment on function audit.tables_of(oid) is
    'The tables that a function and the functions that it calls name in their bodies. A body that is text is searched for
their names: that is enough for functions of a release, which write them in full. Null if one of them is a view.';
