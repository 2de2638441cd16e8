-- Every policy calls a function of audit.tenants to learn for whom a session acts. If it were IMMUTABLE, its result for
-- one caller would be folded into a cached plan and serve the next; with another body or with a SET clause it could
-- return somebody else. Whatever prevents it from being inlined makes every query slow, and one that is not PARALLEL
-- SAFE keeps every query of the tables to one process.
--
-- One without an argument only reads its setting, so its body is known. One with an argument decides who may act for
-- the tenant, which differs in each product: its body is compared with the release's (changed), and it may need rights
-- of its owner and a search_path. It is not inlined then: PostgreSQL calls it once for an index, and once for each row in
-- a plan without one, which it chooses as soon as calls are declared to be cheap.
select
    'context_function' as name,
    case
        when p.provolatile = 'i' or b.differs or b.resets is not null then 'error'
        else 'warning'
    end as level,
    c.signature as object,
    case
        when p.oid is null then 'The function does not exist.'
        when p.prorettype <> c.type then format('The function does not return %s.', c.type_name)
        when b.differs then 'The body is not the one that the migrations created.'
        when p.provolatile <> 's' then 'The function is not STABLE.'
        when b.resets is not null then 'The function sets the tenant.'
        when p.proparallel <> 's' then 'The function is not PARALLEL SAFE.'
        when b.is_cheap then format('The function may be called for each row: its declared COST is %s.', p.procost)
        else 'The function cannot be inlined.'
    end as detail,
    case
        when c.has_argument and (p.oid is null or p.prorettype <> c.type)
            then audit.advice(format('Make %s again as it is in db/schema.sql.', c.signature))
        when c.has_argument then format('alter function %s stable parallel safe cost %s%s;', c.signature,
            greatest(p.procost, 10000), b.resets)
        else case when p.prorettype <> c.type then format('drop function %s; ', c.signature) else '' end
            || format('create or replace function %s returns %s language sql stable parallel safe '
                'return nullif(pg_catalog.current_setting(%L, true), '''')%s; '
                'alter function %1$s owner to app_owner; '
                'revoke execute on function %1$s from public; '
                'grant execute on function %1$s to app_api;',
                c.signature, c.type_name, c.setting, '::' || nullif(c.type_name, 'text'))
    end as remediation,
    'context_function:' || c.signature as key
from (select distinct on (signature) * from audit.contexts order by signature, place) as c
left join pg_proc as p on p.oid = c.function
cross join lateral (
    select
        not c.has_argument and p.oid is not null and audit.body(p.oid) is distinct from format(
            case c.type_name when 'text' then 'RETURN %s' else 'RETURN (%s)::%s' end,
            format('NULLIF(current_setting(%L::text, true), ''''::text)', c.setting), c.type_name) as differs,
        c.has_argument and (p.prosecdef or p.proconfig is not null) and p.procost < 10000 as is_cheap,
        (select string_agg(distinct ' reset ' || t.setting, '') from unnest(p.proconfig) as s, audit.contexts as t
            where starts_with(lower(s), t.setting || '=')) as resets
) as b
where p.oid is null or p.prorettype <> c.type or p.provolatile <> 's' or p.proparallel <> 's'
    or b.differs or b.is_cheap or b.resets is not null
    or not c.has_argument and (p.prosecdef or p.proconfig is not null or p.proisstrict);
