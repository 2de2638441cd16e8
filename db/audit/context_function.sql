-- Every policy calls this function to learn who the caller is. If it were IMMUTABLE, its result for one caller would
-- be folded into a cached plan and serve the next; with another body or with a SET clause it could return somebody
-- else. Whatever prevents it from being inlined makes every query slow.
select
    'context_function' as name,
    case
        when p.provolatile = 'i' or b.differs
            or exists (select from unnest(p.proconfig) as s where lower(s) like 'app.user\_id=%') then 'error'
        else 'warning'
    end as level,
    'app.current_user_id()' as object,
    case
        when p.oid is null then 'The function does not exist.'
        when p.prorettype <> 'text'::regtype then 'The function does not return text.'
        when b.differs then 'The body is not the one that the migrations created.'
        when p.provolatile <> 's' then 'The function is not STABLE.'
        else 'The function cannot be inlined.'
    end as detail,
    case when p.prorettype <> 'text'::regtype then 'drop function app.current_user_id(); ' else '' end
        || 'create or replace function app.current_user_id() returns text language sql stable parallel safe '
        'return nullif(pg_catalog.current_setting(''app.user_id'', true), ''''); '
        'alter function app.current_user_id() owner to app_owner; '
        'revoke execute on function app.current_user_id() from public; '
        'grant execute on function app.current_user_id() to app_api;' as remediation,
    'context_function:app.current_user_id()' as key
from audit.context_function() as context
left join pg_proc as p on p.oid = context
cross join lateral (
    select audit.body(p.oid) is distinct from
            'RETURN NULLIF(current_setting(''app.user_id''::text, true), ''''::text)' and p.oid is not null as differs
) as b
where p.oid is null or b.differs or p.provolatile <> 's' or p.prosecdef or p.proconfig is not null or p.proisstrict
    or p.prorettype <> 'text'::regtype;
