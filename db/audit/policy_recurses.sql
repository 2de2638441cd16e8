-- A policy is evaluated for whoever runs the query. If the one for SELECT reads a table whose policies lead back to its
-- own, in a sub-select or by a function, every query of that table fails: with "infinite recursion detected", or when the
-- stack is full. A list of members that asks itself who is a member is the usual case. A SECURITY DEFINER function ends
-- it, where another policy applies to its owner. What a function with a body in quotes reads is guessed from its text.
select
    'policy_recurses' as name,
    'warning' as level,
    audit.name(c."table") || '.' || quote_ident(c.policy) as object,
    format('USING (%s) reads %s%s, whose policies include this one: every query of it fails by infinite recursion.',
        c.expression, audit.name(c."table"), ' by ' || audit.routine(r.routine)) as detail,
    case
        when c.differs_from_release then c.remediation
        when r.routine is not null then audit.advice(format('Let it read the table as app_owner, to whom a policy of its '
            'own shows what the caller may know, as in db/schema.sql: alter routine %s owner to app_owner; '
            'revoke execute on routine %1$s from public; grant execute on routine %1$s to app_api; '
            'alter routine %1$s security definer set search_path = '''';', audit.routine(r.routine)))
        when c.is_only_condition then c.remediation
        else audit.advice(format('Rewrite the condition without the sub-select: alter policy %I on %s using (…);', c.policy,
            audit.name(c."table")))
    end as remediation,
    'policy_recurses:' || c.key as key
from audit.clauses as c
join (
    with recursive steps (key, "table", roles, relation, routine) as materialized (
        -- What an expression reads and calls itself.
        select distinct c.key, c."table"::oid, c.roles, relid, funcid
        from audit.clauses as c
        cross join lateral jsonb_path_query(c.tree,
            'lax $.** ? (exists (@.relid) || exists (@.funcid) || exists (@.opfuncid))') as node
        cross join lateral (
            select (node ->> 'relid')::oid as relid, coalesce(node ->> 'funcid', node ->> 'opfuncid')::oid as funcid
        ) as id
        where c.clause = 'using' and c.command in ('select', 'all') and (relid >= 16384 or funcid >= 16384)
    ), bodies (routine, relation) as materialized (
        select p.oid, t."table"::oid
        from pg_proc as p
        cross join audit.tables as t
        join pg_class as k on k.oid = t."table"
            and case when quote_ident(k.relname) = k.relname then p.prosrc ~ format('\m%s\M', k.relname)
                else position(quote_ident(k.relname) in p.prosrc) > 0 end
        where p.oid >= 16384 and p.prosqlbody is null
    ), reached (key, start, roles, role, relation, routine, through) as (
        select s.key, s."table", s.roles, coalesce(nullif(role, 0), to_regrole('app_api')), s.relation, s.routine, null::oid
        from steps as s
        cross join unnest(s.roles) as role
        union
        select r.key, r.start, r.roles, next.*
        from reached as r
        cross join lateral (
            select r.role, s.relation, s.routine, r.through
            from steps as s
            where s."table" = r.relation and r.relation <> r.start and audit.applies(s.roles, r.relation, r.role)
            union all
            select case when p.prosecdef then p.proowner else r.role end,
                case d.refclassid when 'pg_class'::regclass then d.refobjid end,
                case d.refclassid when 'pg_proc'::regclass then d.refobjid end,
                case d.refclassid when 'pg_class'::regclass then p.oid end
            from pg_proc as p
            cross join lateral (
                select refclassid, refobjid
                from pg_depend where classid = 'pg_proc'::regclass and objid = p.oid
                    and refclassid in ('pg_class'::regclass, 'pg_proc'::regclass)
                union all
                select 'pg_class'::regclass, b.relation from bodies as b where b.routine = p.oid
            ) as d
            where p.oid = r.routine
        ) as next
    )
    select key, min(through) as routine
    from reached
    where relation = start and audit.applies(roles, start, role)
    group by key
) as r using (key)
where c.clause = 'using';
