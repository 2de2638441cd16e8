-- A Citus cluster evaluates policies where the rows are: on the shards of its workers. Citus makes these like the tables
-- of the coordinator, of which the views here tell, but nothing keeps a superuser of a worker from changing them there.
-- With the rights of app_owner, because it asks each node, and app_api cannot: it may execute no such function.
create or replace function audit.nodes() returns table (node text, object text, difference text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The definition of each object, as text; of a table also that of each of its shards on the node.
    definitions constant text := $command$
        with places as (
            select logicalrelid as relation, logicalrelid::oid as oid from pg_catalog.pg_dist_partition
            union all
            select s.logicalrelid, c.oid
            from pg_catalog.pg_dist_shard as s
            join pg_class as t on t.oid = s.logicalrelid
            cross join lateral parse_ident(pg_catalog.shard_name(s.logicalrelid, s.shardid)) as n (parts)
            join pg_class as c on c.relnamespace = t.relnamespace and c.relname = n.parts[cardinality(n.parts)]
        ), definitions (object, place, definition) as (
            select 'table ' || p.relation::text, c.relname, concat_ws(' ', c.relrowsecurity, c.relforcerowsecurity,
                c.relowner::regrole, array(select unnest(c.relacl)::text order by 1),
                array(
                    select concat_ws(' ', attname, right_::text) from pg_attribute cross join unnest(attacl) as right_
                    where attrelid = c.oid order by 1
                ),
                array(
                    select concat_ws(' ', polname, polcmd, polpermissive,
                        array(select coalesce(role::regrole::text, 'public') from unnest(polroles) as role order by 1),
                        pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
                    from pg_policy where polrelid = c.oid order by 1
                ))
            from places as p join pg_class as c on c.oid = p.oid
            union all
            select 'routine ' || oid::regprocedure::text, '', concat_ws(' ', proowner::regrole, pg_get_functiondef(oid))
            from pg_proc where pronamespace = to_regnamespace('app') and prokind in ('f', 'p')
            union all
            select 'role ' || r.rolname, '', concat_ws(' ', r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolinherit,
                array(select roleid::regrole::text from pg_auth_members where member = r.oid order by 1),
                array( -- of times, Citus changes the unit
                    select setting from pg_db_role_setting cross join unnest(setconfig) as setting
                    where setrole = r.oid and setting not like '%\_timeout=%' order by 1
                ))
            from pg_roles as r where r.rolname in ('app_api', 'app_owner')
            union all
            select 'rights of app_api', '', concat_ws(' ', has_language_privilege('app_api', 'plpgsql', 'usage'),
                array(
                    select p.oid::regprocedure::text from pg_proc as p
                    where has_function_privilege('app_api', p.oid, 'execute')
                        and (p.proname = 'set_config' or exists (
                            select from pg_depend as d join pg_extension as e on e.oid = d.refobjid
                            where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
                                and e.extname = 'citus'
                        ))
                    order by 1
                ))
        )
        select json_agg(json_build_array(object, place, definition)) from definitions
    $command$;
begin
    if to_regclass('pg_catalog.pg_dist_node') is null then
        return;
    end if;
    return query execute $query$
        with answers as materialized (
            select n.groupid, format('%s:%s', n.nodename, n.nodeport) as node, r.success, r.result
            from pg_catalog.run_command_on_all_nodes($1) as r
            join pg_catalog.pg_dist_node as n using (nodeid)
        ), objects as (
            select a.groupid, a.node, o ->> 0 as object, o ->> 1 as place, o ->> 2 as definition
            from answers as a cross join json_array_elements(case when a.success then a.result::json end) as o
        ), expected as (
            select o.object, o.definition from objects as o
            where o.groupid = 0 and not o.place ~ '_\d{6,}$'
        )
        select a.node, 'node', 'cannot be asked: ' || a.result from answers as a where not a.success
        union all
        select o.node, o.object, concat('is not what it is on the coordinator', ': ' || nullif(o.place, ''))
        from objects as o left join expected as e using (object)
        where o.definition is distinct from e.definition
        union all
        select a.node, e.object, 'is missing'
        from answers as a cross join expected as e
        where a.success and not exists (select from objects as o where o.node = a.node and o.object = e.object)
        order by 1, 2, 3
    $query$ using definitions;
end
$$;

comment on function audit.nodes() is
    'What is not the same on all nodes of a Citus cluster: the policies and rights of a table and of its shards, routines
of schema app, the attributes and settings of app_api and app_owner, and whether app_api may change the context. No rows
where there is no cluster. Asks each node, so the readiness check does not call it.';
