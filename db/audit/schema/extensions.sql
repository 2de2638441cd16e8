-- A trusted extension may be installed by whoever may create objects in the database: nothing in it gives more rights
-- than its user has. https://www.postgresql.org/docs/18/extend-extensions.html
create or replace view audit.extensions as
select
    e.oid,
    e.extname as name,
    e.extversion as version,
    e.extname in ('plpgsql', 'pg_stat_statements', 'earthdistance') or exists (
        select from pg_available_extension_versions as v
        where v.name = e.extname and v.version = e.extversion and v.trusted
    ) as harmless
from pg_extension as e;

comment on view audit.extensions is 'The extensions of this database.';
comment on column audit.extensions.harmless is
    'Whether its objects are not reported, as long as their rights are those that they were installed with.';
