-- What an IMMUTABLE function returned once is kept in plans, and those serve the next caller. So one that reads a setting
-- or a table, or calls something of the product's that is not IMMUTABLE, shows one tenant what was another's. Functions
-- of PostgreSQL that are STABLE for other reasons (time zone, text search) do no harm. What a body in quotes does is
-- guessed from its text.
select
    'function_immutable' as name,
    'error' as level,
    audit.routine(p.oid) as object,
    format('It is IMMUTABLE and depends on %s: a plan may keep what it returned to another caller.', d.what) as detail,
    audit.remedy(format('alter routine %s stable;', audit.routine(p.oid)), audit.is_ours(p.proowner, p.pronamespace))
        as remediation,
    'function_immutable:' || audit.routine(p.oid) as key
from pg_proc as p
cross join lateral (
    select string_agg(distinct what, ', ') as what
    from (
        select 'a setting'
        where p.prosqlbody::text ~ format(':funcid (%s|%s)\M', 'current_setting(text)'::regprocedure::oid,
                'current_setting(text, boolean)'::regprocedure::oid)
            or p.prosqlbody is null and p.prosrc ~* '\mcurrent_setting\M'
        union all
        select audit.routine(f.oid)
        from pg_depend as u
        join pg_proc as f on f.oid = u.refobjid and f.provolatile <> 'i'
        where u.classid = 'pg_proc'::regclass and u.objid = p.oid and u.refclassid = 'pg_proc'::regclass
        union all
        select c.signature
        from audit.contexts as c
        where p.prosqlbody is null and position(split_part(c.signature, '(', 1) in p.prosrc) > 0
        union all
        select audit.routine(f.oid)
        from pg_proc as f
        where p.prosqlbody is null and f.oid >= 16384 and f.provolatile <> 'i'
            and position(format('%s.%I(', f.pronamespace::regnamespace, f.proname) in p.prosrc) > 0
        union all
        select audit.name(t."table")
        from audit.tables as t
        where p.prosqlbody::text ~ format(':relid %s\M', t."table"::oid)
            or p.prosqlbody is null and position(audit.name(t."table") in p.prosrc) > 0
    ) as of (what)
) as d
-- PostgreSQL calls every aggregate IMMUTABLE, and evaluates none beforehand.
where p.provolatile = 'i' and p.prokind <> 'a' and p.oid >= 16384 and d.what is not null
    and p.pronamespace::regnamespace::text !~ '^pg_temp' and not audit.in_extension('pg_proc', p.oid)
    -- context_function reports these.
    and p.oid not in (select function from audit.contexts where function is not null)
    and (audit.is_ours(p.proowner, p.pronamespace) or exists (
        select from audit.api_roles
        where has_function_privilege(role, p.oid, 'execute') and has_schema_privilege(role, p.pronamespace, 'usage')
    ));
