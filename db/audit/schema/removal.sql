-- The views of another version may have other columns, which `create or replace` does not change. A view of somebody else
-- that depends on one of these stops the installation.
do $$
declare
    removal text;
begin
    for removal in
        select 'drop view ' || string_agg(oid::regclass::text, ', ')
        from pg_class where relnamespace = 'audit'::regnamespace and relkind = 'v' having count(*) > 0
        union all
        select 'drop routine ' || string_agg(oid::regprocedure::text, ', ')
        from pg_proc where pronamespace = 'audit'::regnamespace having count(*) > 0
    loop
        execute removal;
    end loop;
end
$$;

