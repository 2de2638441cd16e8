-- A trusted extension may be installed by whoever may create objects in the database: nothing in it gives more rights
-- than its user has. https://www.postgresql.org/docs/18/extend-extensions.html
-- Citus has functions that run any statement, with which a query could make somebody else the caller: after db/citus.sql
-- app_api may execute none but those that Citus calls by itself.
create or replace view audit.extensions as
select
    e.oid,
    e.extname as name,
    e.extversion as version,
    e.extname in ('plpgsql', 'pg_stat_statements', 'earthdistance') or exists (
        select from pg_available_extension_versions as v
        where v.name = e.extname and v.version = e.extversion and v.trusted
    ) or e.extname = 'citus' and not exists (
        select from pg_depend as d
        join pg_proc as p on p.oid = d.objid
        where d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
            and d.classid = 'pg_proc'::regclass and has_function_privilege('app_api', p.oid, 'execute')
            and p.proname not in ('assign_distributed_transaction_id', 'lock_shard_metadata', 'lock_shard_resources', 'read_intermediate_result',
                'read_intermediate_results', 'relation_is_a_known_shard')
    ) as harmless
from pg_extension as e;

comment on view audit.extensions is 'The extensions of this database.';
comment on column audit.extensions.harmless is
    'Whether its objects are not reported, as long as their rights are those that they were installed with.';
