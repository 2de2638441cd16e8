-- A SECURITY DEFINER function runs as its owner. If row-level security does not apply to the owner, or a policy lets it
-- have rows of every tenant, so can whoever makes the function run: by calling it, or through what runs it by itself.
-- Of a function that is as the release made it, only the tables count that it uses, if its body says which.
select
    'definer_function_bypasses_rls' as name,
    case when f.in_reach and owner.has is not null then 'error' else 'warning' end as level,
    audit.routine(f.function) as object,
    format('app_api may %s, and it runs as %s, who %s.', f.how, f.owner, coalesce(owner.has, owner.may_become))
        as detail,
    case
        when owner.remediation is not null then owner.remediation
        -- EXECUTE on a trigger's function is checked when the trigger is created, not when it fires.
        when f.is_trigger and not f.by_itself
            then format('revoke execute on routine %s from %s;', audit.routine(f.function), f.grantees)
        when f.is_ours then format('alter routine %s owner to app_owner;', audit.routine(f.function))
        when f.by_itself then audit.advice(format('Let it do only what the caller may. If app_owner''s rights are '
            'enough for that: alter routine %s owner to app_owner;', audit.routine(f.function)))
        else audit.remedy(format('revoke execute on routine %s from %s;', audit.routine(f.function), f.grantees),
            f.grantees = 'app_api')
    end as remediation,
    'definer_function_bypasses_rls:' || audit.routine(f.function) as key
from audit.definer_functions as f
cross join lateral (
    select rolsuper or rolbypassrls as bypasses from pg_roles where oid = f.owner
) as r
left join audit.surface as s on s.key = 'routine ' || audit.routine(f.function)
left join audit.manifest as m on (m.key, m.fingerprint) = (s.key, s.fingerprint)
cross join lateral (select case when m.key is not null then audit.tables_of(f.function) end as tables) as used
cross join lateral (
    select min(audit.name("table")) as tables,
        string_agg(format('alter table %s force row level security;', audit.name("table")), ' ') as remediation
    from audit.tables as t
    where rls_enabled and not rls_forced and (child_of is null or reachable) and pg_has_role(f.owner, t.owner, 'usage')
        and ("table" = any (used.tables)) is not false
) as open
cross join lateral (
    select min(audit.name(c."table") || '.' || quote_ident(c.policy)) as policy,
        string_agg(c.remediation, ' ') as remediation
    from audit.clauses as c
    where c.permissive and not c.implied and not c.compares_tenant and not c.never_holds
        and exists (select from unnest(c.roles) as role where role <> 0 and pg_has_role(f.owner, role, 'usage'))
        and (c."table" = any (used.tables)) is not false
        and not exists (
            select from audit.accepted
            where key in ('policy_for_other_role:' || c.key, 'policy_without_tenant:' || c.key)
        )
) as shown
cross join lateral (
    select
        case
            when bypasses then 'bypasses row-level security'
            when open.tables is not null then format('owns %s, where row-level security is not forced', open.tables)
            when shown.policy is not null then 'has rows of every tenant by ' || shown.policy
        end as has,
        (select format('is a member of %s, who bypasses row-level security', string_agg(oid::regrole::text, ', '))
            from pg_roles where (rolsuper or rolbypassrls) and pg_has_role(f.owner, oid, 'member') having count(*) > 0)
            as may_become,
        case when not bypasses then coalesce(open.remediation, shown.remediation) end as remediation
) as owner
where coalesce(owner.has, owner.may_become) is not null;
