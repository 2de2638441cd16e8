-- Partywall on a Citus cluster. Run it on the coordinator, connected to the database, as a superuser: after db/roles.sql
-- and again after each migration and whenever a node was added. Every node needs the extension before.
--
--     psql "$ADMIN_DATABASE_URL" --file db/citus.sql
--
-- Running it again changes nothing. docs/scaling.md says how a cluster is set up; audit.accepted, what differs there.

set search_path = '';

-- ---- logins -------------------------------------------------------------------------------------
-- The coordinator logs in to the workers as the role for which a statement runs: as app_owner for migrations and for
-- functions that are SECURITY DEFINER. Give it no password, and let pg_hba.conf admit it from the nodes alone.
alter role app_owner login;

-- The context of a transaction is `set local app.user_id`, and the policies are evaluated where the rows are.
alter role app_api set citus.propagate_set_commands = 'local';
alter role app_owner set citus.propagate_set_commands = 'local';
-- The policies of what a workspace has read app.members, of which every node has a copy.
alter role app_api set citus.allow_nested_distributed_execution = on;
-- The coordinator passes on only the message of a worker's error, in which the API then finds the constraint.
alter role app_api set lc_messages = 'C';
alter role app_owner set lc_messages = 'C';

-- ---- rights -------------------------------------------------------------------------------------
-- On each node for itself: Citus copies no rights on functions and languages of PostgreSQL or of its own.
-- From inside a query nobody can become another caller (see db/roles.sql). Many functions of Citus run any statement, on
-- this node or on others, and PUBLIC may execute them: citus_run_local_command('set local app.user_id = …'). What is
-- granted is what Citus itself calls on behalf of a role that queries a distributed table, or that migrates.
select nodeid, success, result from pg_catalog.run_command_on_all_nodes($command$
do $$
begin
    execute (
        select format('revoke execute on routine %1$s from public; grant execute on routine %1$s to app_owner, app_migrator',
            string_agg(objid::regprocedure::text, ', '))
        from pg_depend
        where classid = 'pg_proc'::regclass and deptype = 'e'
            and refobjid = (select oid from pg_extension where extname = 'citus')
    );
    revoke execute on function pg_catalog.set_config(text, text, boolean) from public;
    grant execute on function pg_catalog.set_config(text, text, boolean) to app_owner, app_migrator, app_auditor;
    revoke usage on language plpgsql from public;
    grant usage on language plpgsql to app_owner, app_migrator, app_auditor;
    grant execute on function
        pg_catalog.assign_distributed_transaction_id(integer, bigint, timestamptz),
        pg_catalog.lock_shard_metadata(integer, bigint[]),
        pg_catalog.lock_shard_resources(integer, bigint[]),
        pg_catalog.read_intermediate_result(text, pg_catalog.citus_copy_format),
        pg_catalog.read_intermediate_results(text[], pg_catalog.citus_copy_format),
        pg_catalog.relation_is_a_known_shard(regclass)
    to app_api, app_auditor;
end
$$
$command$) where not success;

-- ---- tables -------------------------------------------------------------------------------------
-- By their tenant, which leads each key. What decides who may act in a workspace is on every node, because the policies
-- ask it there; so is what is found by another key, the hash of a token.
do $$
declare
    foreign_key record;
    tenants record;
begin
    if to_regclass('app.tasks') is null then
        raise notice 'there are no tables yet: run alembic upgrade head, then this again';
        return;
    end if;
    -- app.keep_task_timestamps() changes only the row that it is called for. The triggers of members and invitations
    -- write tables of which every node has a copy.
    set local citus.enable_unsafe_triggers = on;
    set local citus.multi_shard_modify_mode = 'sequential';

    create temporary table new_tables on commit drop as
        select c.oid::regclass as relation, c.relname as name, (
                select a.attname from pg_index as i join pg_attribute as a on a.attrelid = c.oid and a.attnum = i.indkey[0]
                where i.indrelid = c.oid and i.indisprimary
            ) as tenant
        from pg_class as c
        where c.relnamespace = to_regnamespace('app') and c.relkind = 'r'
            and c.oid not in (select logicalrelid from pg_catalog.pg_dist_partition);
    -- Without their foreign keys: Citus would make tables that refer to a reference table anew, and drop their comments.
    create temporary table foreign_keys on commit drop as
        select conrelid::regclass as relation, conname as name, pg_get_constraintdef(oid) as definition,
            obj_description(oid, 'pg_constraint') as comment
        from pg_constraint where contype = 'f' and conrelid in (select relation from pg_temp.new_tables);
    for foreign_key in select * from pg_temp.foreign_keys loop
        execute format('alter table %s drop constraint %I', foreign_key.relation, foreign_key.name);
    end loop;
    for tenants in select * from pg_temp.new_tables order by name in ('tasks', 'workspace_tasks') desc loop
        if tenants.name in ('workspaces', 'members', 'invitations') then
            perform pg_catalog.create_reference_table(tenants.relation);
        else
            perform pg_catalog.create_distributed_table(tenants.relation, tenants.tenant, colocate_with => case
                when tenants.name in ('tasks', 'workspace_tasks') then 'none'
                when tenants.tenant = 'user_id' then 'app.tasks'
                else 'app.workspace_tasks'
            end);
        end if;
    end loop;
    for foreign_key in select * from pg_temp.foreign_keys loop
        execute format('alter table %s add constraint %I %s', foreign_key.relation, foreign_key.name, foreign_key.definition);
        execute format('comment on constraint %I on %s is %L', foreign_key.name, foreign_key.relation, foreign_key.comment);
    end loop;

    -- The coordinator evaluates defaults, and sends the values to the shard as if they were the statement's own.
    for tenants in
        select attrelid::regclass as relation, string_agg(quote_ident(attname), ', ') as columns
        from pg_attribute
        where attrelid in (select logicalrelid from pg_catalog.pg_dist_partition) and atthasdef and attgenerated = ''
            and has_any_column_privilege('app_api', attrelid, 'insert')
        group by attrelid
    loop
        execute format('grant insert (%s) on %s to app_api', tenants.columns, tenants.relation);
    end loop;
end
$$;
