-- What a Citus cluster needs beside what the migrations make (db/citus.sql): accepted there, and nowhere else.
create or replace view audit.accepted_on_citus (key, fingerprint, reason) as
select * from (values
    (
        'grant_protected_column:app.idempotency_keys.created_at',
        '02a253b4fa443a78',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.idempotency_keys.user_id',
        'b148911fbb289b48',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.invitations.created_at',
        '02a253b4fa443a78',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.invitations.id',
        'dd703a027733d927',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.invitations.updated_at',
        '02a253b4fa443a78',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.invitations.user_id',
        'b148911fbb289b48',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.invitations.workspace_id',
        '187db323c225e3f1',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.tasks.created_at',
        '02a253b4fa443a78',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.tasks.id',
        'dd703a027733d927',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.tasks.updated_at',
        '02a253b4fa443a78',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.tasks.user_id',
        'b148911fbb289b48',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.workspace_tasks.created_at',
        '02a253b4fa443a78',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.workspace_tasks.id',
        'dd703a027733d927',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.workspace_tasks.updated_at',
        '02a253b4fa443a78',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.workspace_tasks.user_id',
        'b148911fbb289b48',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'grant_protected_column:app.workspace_tasks.workspace_id',
        '187db323c225e3f1',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'role_login:app_owner',
        'ef0441f193a644ff',
        'The coordinator logs in to the workers as the role for which it runs a statement. It has no password: pg_hba.conf admits it from the nodes alone.'
    ),
    (
        'unexpected:right execute on routine assign_distributed_transaction_id(integer,bigint,timestamp with time zone) to app_api',
        '71fb1c14fe7b09ec',
        'The coordinator calls it on each node at the start of a transaction. A session that has a transaction of the cluster cannot enter another: see read_intermediate_result().'
    ),
    (
        'unexpected:right execute on routine read_intermediate_result(text,citus_copy_format) to app_api',
        '0e8982731a769acd',
        'Citus calls it on behalf of a role that queries a distributed table. It reads what transactions of the same role keep on a node while they run, of which one can be entered with assign_distributed_transaction_id(): not from a statement of the API, which the coordinator has given a transaction of its own. On a worker it could be, and nothing is served there.'
    ),
    (
        'unexpected:right execute on routine read_intermediate_results(text[],citus_copy_format) to app_api',
        'a8cf6be43f2b0d3b',
        'Citus calls it on behalf of a role that queries a distributed table. It reads what transactions of the same role keep on a node while they run, of which one can be entered with assign_distributed_transaction_id(): not from a statement of the API, which the coordinator has given a transaction of its own. On a worker it could be, and nothing is served there.'
    ),
    (
        'unexpected:right execute on routine relation_is_a_known_shard(regclass) to app_api',
        '33506f1bbea9667f',
        'Citus calls it on behalf of a role that reads the catalogs. It says whether a table is a shard.'
    ),
    (
        'unexpected:right insert (created_at) on table app.idempotency_keys to app_api',
        '63e11b1c5af527cd',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (created_at) on table app.invitations to app_api',
        '98d6175c04d1dee2',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (created_at) on table app.tasks to app_api',
        'e8ddc0599a88d79a',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (created_at) on table app.workspace_tasks to app_api',
        'ceadcc23914a244e',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (id) on table app.invitations to app_api',
        '33ef999b51f969d1',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (id) on table app.tasks to app_api',
        'e5088032f68d50a6',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (id) on table app.workspace_tasks to app_api',
        '3b710d5efebbef43',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (updated_at) on table app.invitations to app_api',
        'ccad92e2fc20a24b',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (updated_at) on table app.tasks to app_api',
        '3c43d2d5d6ec816c',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (updated_at) on table app.workspace_tasks to app_api',
        'b7926c4588d5ba8e',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (user_id) on table app.idempotency_keys to app_api',
        '18392a964968cae6',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (user_id) on table app.invitations to app_api',
        'acbfb363ae7158f1',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (user_id) on table app.tasks to app_api',
        'c5ba71b18b39b102',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (user_id) on table app.workspace_tasks to app_api',
        '7f5505561831f164',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (workspace_id) on table app.invitations to app_api',
        '4daf0b851b7a980a',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:right insert (workspace_id) on table app.workspace_tasks to app_api',
        '6476dc51fe1c09d6',
        'The coordinator evaluates the default of the column, and sends its value to the shard as if the statement had named it. Policies hold there as everywhere.'
    ),
    (
        'unexpected:setting citus.allow_nested_distributed_execution of role app_api',
        'ed0aa05d51c9ca03',
        'The policies of what a workspace has read app.members on the node where the rows are, and every node has a copy of it.'
    ),
    (
        'unexpected:right execute on routine lock_shard_metadata(integer,bigint[]) to app_api',
        '834a7d8a4414632b',
        'Citus calls it on behalf of a role that writes a distributed table. It locks only shards of tables that this role owns, and app_api owns none.'
    ),
    (
        'unexpected:right execute on routine lock_shard_resources(integer,bigint[]) to app_api',
        'da639157a5722ae5',
        'Citus calls it on behalf of a role that writes a distributed table. It locks only shards of tables that this role may write, which it can lock by writing.'
    ),
    (
        'unexpected:setting lc_messages of role app_api',
        '89f24a33e6990109',
        'The coordinator passes on only the message of a worker''s error, in which the API then finds the constraint.'
    ),
    (
        'unexpected:setting lc_messages of role app_owner',
        '89f24a33e6990109',
        'The coordinator passes on only the message of a worker''s error, in which the API then finds the constraint.'
    )
) as entry
where exists (select from pg_extension where extname = 'citus');

comment on view audit.accepted_on_citus is 'What is accepted on a Citus cluster only: elsewhere it has no rows.';
