-- Every policy asks this function who is calling. IMMUTABLE, it would be folded into a cached plan together with
-- the previous caller; with settings of its own it could not be inlined; with another body it would not be the
-- caller.
select
    'context_function' as name,
    'error' as level,
    'app.current_user_id()' as object,
    case
        when p.oid is null then 'The function does not exist.'
        when p.provolatile <> 's' then 'The function is not STABLE.'
        when p.prosecdef or p.proconfig is not null or p.proisstrict then 'The function cannot be inlined.'
        else 'The function is not the one that the migrations made.'
    end as detail,
    'create or replace function app.current_user_id() returns text language sql stable parallel safe '
        'return nullif(current_setting(''app.user_id'', true), ''''); '
        'alter function app.current_user_id() security invoker reset all;' as remediation,
    'context_function:app.current_user_id()' as key
from audit.context_function() as context
left join pg_proc as p on p.oid = context
where (
    p.provolatile, p.prosecdef, p.proconfig is null, p.proisstrict, p.prorettype, audit.body(p.oid)
) is distinct from (
    's'::"char", false, true, false, 'text'::regtype::oid,
    'RETURN NULLIF(current_setting(''app.user_id''::text, true), ''''::text)'
);
