-- What came with an extension, or with a range type, is left to its author. But ALTER EXTENSION … ADD makes anything a
-- member: this leaves out what a role of ours owns, what sets anything or has its owner's rights, and what was added to
-- plpgsql, which came with PostgreSQL.
create or replace view audit.members as
select distinct d.classid, d.objid
from pg_depend as d
left join pg_proc as p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
left join pg_class as c on d.classid = 'pg_class'::regclass and c.oid = d.objid
where (d.deptype = 'e' and d.refclassid = 'pg_extension'::regclass and (d.refobjid >= 16384 or d.objid < 16384)
        or d.deptype = 'i' and d.refclassid = 'pg_type'::regclass and p.prosrc ~ '^(multi)?range_constructor'
        or d.deptype = 'i' and d.classid = 'pg_cast'::regclass)
    and not coalesce(p.prosecdef
        or p.prosrc ~* (select string_agg(replace(setting, '.', '[.]'), '|') from audit.tenants), false)
    and not exists (select from unnest(p.proconfig) as setting where setting not like 'search\_path=%')
    and coalesce(p.proowner, c.relowner, 10) not in (
        select oid from pg_roles where rolname in ('app_owner', 'app_migrator')
        union all
        select role from audit.api_roles
    );

comment on view audit.members is 'What came with an extension, or is part of a range type, as pg_depend has it.';

-- What is PostgreSQL's own and not as PostgreSQL makes it: other owners, functions that somebody wrote, what the
-- policies are evaluated with.
create or replace view audit.altered as
select audit.routine(p.oid) as object,
    concat_ws(', ', case when p.proleakproof and not n.known then 'leakproof' end,
        case when p.proowner <> 10 then 'owned by ' || p.proowner::regrole end,
        case when p.prosecdef then 'security definer' end, array_to_string(p.proconfig, ', '),
        case when l.lanname not in ('internal', 'c', 'sql') or k.oid is not null then 'in ' || l.lanname end,
        case when p.prosupport::oid >= 16384 then 'supported by ' || audit.routine(p.prosupport) end,
        case when k.oid is not null then concat('provolatile ', p.provolatile, ', prosrc ', p.prosrc) end) as sentence,
    k.oid is not null as is_dangerous
from pg_proc as p
join pg_language as l on l.oid = p.prolang
cross join lateral (select p.oid = any (audit.leakproof()) as known) as n
-- With these a policy finds out who is calling, and whose a row is.
left join (values
    ('current_setting(text)'::regprocedure, 's', 'show_config_by_name'),
    ('current_setting(text, boolean)'::regprocedure, 's', 'show_config_by_name_missing_ok'),
    ('row_security_active(oid)'::regprocedure, 's', 'row_security_active'),
    ('texteq(text, text)'::regprocedure, 'i', 'texteq'),
    ('uuid_eq(uuid, uuid)'::regprocedure, 'i', 'uuid_eq'),
    ('int2eq(smallint, smallint)'::regprocedure, 'i', 'int2eq'),
    ('int4eq(integer, integer)'::regprocedure, 'i', 'int4eq'),
    ('int8eq(bigint, bigint)'::regprocedure, 'i', 'int8eq'),
    ('int24eq(smallint, integer)'::regprocedure, 'i', 'int24eq'),
    ('int42eq(integer, smallint)'::regprocedure, 'i', 'int42eq'),
    ('int28eq(smallint, bigint)'::regprocedure, 'i', 'int28eq'),
    ('int82eq(bigint, smallint)'::regprocedure, 'i', 'int82eq'),
    ('int48eq(integer, bigint)'::regprocedure, 'i', 'int48eq'),
    ('int84eq(bigint, integer)'::regprocedure, 'i', 'int84eq'),
    ('byteaeq(bytea, bytea)'::regprocedure, 'i', 'byteaeq'),
    ('enum_eq(anyenum, anyenum)'::regprocedure, 'i', 'enum_eq')
) as k (oid, volatility, source) on k.oid = p.oid
    and (k.volatility, k.source, 'internal') is distinct from (p.provolatile::text, p.prosrc, l.lanname::text)
where p.oid < 16384 and (p.proleakproof and not n.known or p.proowner <> 10 or p.prosecdef or p.proconfig is not null
    or l.lanname not in ('internal', 'c', 'sql') or p.prosupport::oid >= 16384 or k.oid is not null)
union all
select a.catalog || ' ' || (pg_identify_object(a.catalog, a.oid, 0)).identity, a.sentence, a.is_dangerous
from (
    select 'pg_class'::regclass as catalog, oid,
        'owned by ' || relowner::regrole || case when relrowsecurity then ', with row-level security' else '' end
            as sentence, relrowsecurity as is_dangerous
    from pg_class where oid < 16384 and (relowner <> 10 or relrowsecurity)
    union all
    select 'pg_class'::regclass, oid, 'shows statistics of rows that its reader may not see', true
    from pg_class
    where relnamespace::regnamespace::text = 'pg_catalog' and relname in ('pg_stats', 'pg_stats_ext', 'pg_stats_ext_exprs')
        and (not 'security_barrier=true' = any (coalesce(reloptions, '{}'))
            or pg_get_viewdef(oid) !~ 'row_security_active')
    union all
    select 'pg_namespace'::regclass, oid, 'owned by ' || nspowner::regrole, false
    from pg_namespace where nspname in ('pg_catalog', 'information_schema') and nspowner <> 10
    union all
    select 'pg_language'::regclass, oid, 'trusted', true
    from pg_language where lanname in ('c', 'internal') and lanpltrusted
    union all
    select 'pg_operator'::regclass, oid,
        format('owned by %s, on %s, %s, %s', oprowner::regrole, oprcode, oprrest, oprjoin),
        oprcode::oid >= 16384
    from pg_operator
    where oid < 16384 and (oprowner <> 10 or greatest(oprcode::oid, oprrest::oid, oprjoin::oid) >= 16384)
    union all
    select 'pg_type'::regclass, oid,
        format('owned by %s, read by %s, written by %s', typowner::regrole, typinput, typoutput),
        typowner = 10
    from pg_type
    where oid < 16384 and (typowner <> 10
        or greatest(typinput::oid, typoutput::oid, typreceive::oid, typsend::oid, typsubscript::oid) >= 16384)
    union all
    select 'pg_cast'::regclass, oid, 'with function ' || audit.routine(castfunc), true
    from pg_cast where oid < 16384 and castfunc >= 16384
    union all
    select 'pg_amproc'::regclass, oid, 'with function ' || audit.routine(amproc), true
    from pg_amproc where oid < 16384 and amproc::oid >= 16384
    union all
    select 'pg_proc'::regclass, aggfnoid, 'with a function of somebody''s', true
    from pg_aggregate
    where aggfnoid::oid < 16384 and greatest(aggtransfn::oid, aggfinalfn::oid, aggcombinefn::oid) >= 16384
) as a;

comment on view audit.altered is 'What is PostgreSQL''s own and not as PostgreSQL makes it.';

-- Rights that somebody granted to app_api, to a role that it is a member of, or to PUBLIC. Not those that PostgreSQL or
-- an extension came with (https://www.postgresql.org/docs/18/catalog-pg-init-privs.html), and not those on set_config()
-- and plpgsql, which have a check of their own: context_forgeable.
create or replace view audit.rights as
with api as materialized (
    select array_agg(role::oid) as roles from audit.api_roles
), objects as (
    select 'pg_class'::regclass as catalog, oid as object, 0 as sub, relowner as owner, relacl as acl,
        case relkind when 'S' then 's' else 'r' end::"char" as default_for,
        case relkind when 'S' then 'sequence' else 'table' end as kind, relnamespace as schema
    from pg_class where relacl is not null and relpersistence <> 't'
    union all
    select 'pg_class'::regclass, attrelid, attnum, relowner, attacl, 'c', 'table', relnamespace
    from pg_attribute join pg_class as c on c.oid = attrelid
    where attacl is not null and not attisdropped and relpersistence <> 't'
    union all
    select 'pg_proc'::regclass, oid, 0, proowner, proacl, 'f', 'routine', pronamespace
    from pg_proc
    where (proacl is not null or oid >= 16384) and oid <> 'set_config(text, text, boolean)'::regprocedure
    union all
    select 'pg_namespace'::regclass, oid, 0, nspowner, nspacl, 'n', 'schema', null
    from pg_namespace where nspacl is not null and nspname !~ '^pg_(toast|temp)'
    union all
    select 'pg_language'::regclass, oid, 0, lanowner, lanacl, 'l', 'language', null
    from pg_language where laninline <> 0 and lanname <> 'plpgsql'
    union all
    select 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner, fdwacl, 'F', 'foreign data wrapper', null
    from pg_foreign_data_wrapper where fdwacl is not null
    union all
    select 'pg_foreign_server'::regclass, oid, 0, srvowner, srvacl, 'S', 'foreign server', null
    from pg_foreign_server where srvacl is not null
    union all
    select 'pg_tablespace'::regclass, oid, 0, spcowner, spcacl, 't', 'tablespace', null
    from pg_tablespace where spcacl is not null
    union all
    select 'pg_largeobject'::regclass, oid, 0, lomowner, lomacl, 'L', 'large object', null
    from pg_largeobject_metadata where lomacl is not null
    union all
    select 'pg_parameter_acl'::regclass, oid, 0, 10, paracl, 'p', 'parameter', null
    from pg_parameter_acl
    union all
    select 'pg_database'::regclass, oid, 0, datdba, datacl, 'd', 'database', null
    from pg_database where datname = current_database() and datacl is not null
), changed as (
    select o.*, coalesce(o.acl, acldefault(o.default_for, o.owner)) as granted, case
            when o.kind = 'language' or o.object >= 16384 and o.kind <> 'database' and m.objid is null then null
            when i.initprivs is null and o.sub <> 0 then null
            else coalesce(i.initprivs, acldefault(o.default_for, o.owner))
        end as initial,
        -- information_schema is made, and granted to PUBLIC, after pg_init_privs was filled.
        o.object < 16384 and o.sub = 0 and i.objoid is null as is_standard
    from objects as o
    left join pg_init_privs as i on i.classoid = o.catalog and i.objoid = o.object and i.objsubid = o.sub
    left join audit.members as m on m.classid = o.catalog and m.objid = o.object
    where coalesce(o.acl, i.initprivs) is not null or m.objid is null
)
select c.catalog, c.object, c.sub, c.kind, g.grantee, lower(g.privilege_type) as privilege, g.is_grantable,
    nullif(g.grantor, c.owner) as grantor,
    c.schema is null or exists (
        select from unnest(api.roles) as role where has_schema_privilege(role, c.schema, 'usage')
    ) as usable
from changed as c
cross join api
cross join lateral aclexplode(c.granted) as g
where (g.grantee = 0 or g.grantee = any (api.roles))
    and not (c.is_standard and g.grantee = 0 and g.privilege_type in ('SELECT', 'USAGE', 'EXECUTE'))
    and not exists (
        select from aclexplode(c.initial) as i
        where i.grantee = g.grantee and i.grantee < 16384  -- neither PostgreSQL nor an extension knows our roles
            and i.privilege_type = g.privilege_type and i.is_grantable >= g.is_grantable
    );

comment on view audit.rights is
    'What was granted to app_api, to a role that it is a member of or to PUBLIC, beyond what PostgreSQL comes with.';
comment on column audit.rights.grantor is 'Who granted it; null if the owner did.';
comment on column audit.rights.usable is 'Whether app_api also has USAGE on the schema, if it is in one.';

-- What app_api can read, write, call, fire, own, become or set, and what could change who is calling, as far as it did
-- not come with PostgreSQL. What a release makes is in audit.manifest; anything else has to be explained.
create or replace view audit.surface as
with recursive rights as materialized (
    select * from audit.rights
), granted (relation, relation_name) as materialized (
    select object, audit.name(object) from rights where catalog = 'pg_class'::regclass group by object
), schemas as materialized (
    select n.oid, bool_or(has_schema_privilege(role, n.oid, 'usage')) as usable
    from pg_namespace as n, audit.api_roles
    where n.nspname !~ '^pg_(toast|temp)'
    group by n.oid
), members as materialized (
    select * from audit.members
), leads (relation, leads_to) as materialized (
    select r.ev_class, d.refobjid
    from pg_rewrite as r
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class and d.refobjid >= 16384
    where r.oid >= 16384
    union
    select inhparent, inhrelid from pg_inherits
), reached (relation, through) as (
    select object, 0::oid from rights
    where catalog = 'pg_class'::regclass and kind = 'table' and object >= 16384 and usable
    union
    select leads.leads_to, r.relation from reached as r join leads using (relation)
), relations as materialized (
    select c.oid, c.relkind, audit.name(c.oid) as name, min(r.through) as through,
        -- A partition as such is only a part of its parent: jobs make new ones.
        min(r.through) = 0 or not c.relispartition as is_itself
    from reached as r join pg_class as c on c.oid = r.relation and c.relkind in ('r', 'p', 'v', 'm', 'f')
    group by c.oid
), types (type) as (
    (
        select y.oid from pg_type as y join schemas as s on s.oid = y.typnamespace and usable where y.oid >= 16384
        union all
        select a.atttypid from relations as r join pg_attribute as a on a.attrelid = r.oid where a.atttypid >= 16384
        union all
        select d.refobjid
        from rights as r
        join pg_depend as d on d.classid = r.catalog and d.objid = r.object and d.refclassid = 'pg_type'::regclass
        where r.kind = 'routine' and r.usable
    )
    union
    select e.type
    from types as y
    -- What a value of the type is made of.
    cross join lateral (
        select refobjid from pg_depend
        where classid = 'pg_type'::regclass and objid = y.type and refclassid = 'pg_type'::regclass
        union all
        select a.atttypid from pg_type as t join pg_attribute as a on a.attrelid = t.typrelid where t.oid = y.type
    ) as e (type)
    where e.type >= 16384
), casts as materialized (
    select oid
    from pg_cast
    where oid >= 16384 and (castsource < 16384 or castsource in (select type from types))
        and (casttarget < 16384 or casttarget in (select type from types))
), calls as materialized (
    select d.refobjid as routine, d.classid, d.objid
    from pg_depend as d
    left join pg_trigger as g on d.classid = 'pg_trigger'::regclass and g.oid = d.objid
    left join pg_policy as p on d.classid = 'pg_policy'::regclass and p.oid = d.objid
    left join pg_attrdef as a on d.classid = 'pg_attrdef'::regclass and a.oid = d.objid
    left join pg_constraint as c on d.classid = 'pg_constraint'::regclass and c.oid = d.objid
    left join pg_rewrite as w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    left join pg_index as i on d.classid = 'pg_class'::regclass and i.indexrelid = d.objid
    where d.refclassid = 'pg_proc'::regclass and d.refobjid >= 16384 and d.deptype <> 'e'
        and case
            -- Who uses it needs EXECUTE on the function, but not USAGE on its schema.
            when d.classid = 'pg_operator'::regclass then exists (
                    select from pg_operator as o join schemas on schemas.oid = o.oprnamespace and usable
                    where o.oid = d.objid)
                and exists (select from rights where catalog = d.refclassid and object = d.refobjid)
            when d.classid = 'pg_event_trigger'::regclass then exists (
                select from pg_event_trigger where oid = d.objid and evtevent = 'login')
            when d.classid = 'pg_proc'::regclass then exists (
                select from rights where catalog = d.classid and object = d.objid and usable)
            when d.classid = 'pg_constraint'::regclass and c.contypid <> 0 then c.contypid in (select type from types)
            when d.classid = 'pg_type'::regclass then d.objid in (select type from types)
            when d.classid = 'pg_cast'::regclass then d.objid in (select oid from casts)
            when d.classid = 'pg_amproc'::regclass then exists (
                select from pg_amproc
                where oid = d.objid and (amproclefttype < 16384 or amproclefttype in (select type from types)))
            when d.classid in ('pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_attrdef'::regclass,
                    'pg_constraint'::regclass, 'pg_rewrite'::regclass, 'pg_class'::regclass)
                then coalesce(g.tgrelid, p.polrelid, a.adrelid, c.conrelid, w.ev_class, i.indrelid)
                    in (select oid from relations)
            else true
        end
), others (catalog, oid, schema, is_dangerous, more) as (
    select 'pg_cast'::regclass, oid, null::oid, true, concat(castcontext, castmethod)
    from pg_cast join casts using (oid)
    union all
    select 'pg_event_trigger'::regclass, oid, null, evtevent = 'login', concat_ws(' ', evtevent, evtenabled, evttags)
    from pg_event_trigger
    union all
    select 'pg_operator'::regclass, oid, oprnamespace, false, null from pg_operator where oid >= 16384
    union all
    select 'pg_opclass'::regclass, oid, opcnamespace, opcdefault, opcdefault::text from pg_opclass where oid >= 16384
    union all
    select 'pg_opfamily'::regclass, oid, opfnamespace, false, null from pg_opfamily where oid >= 16384
    union all
    -- What is added to PostgreSQL's own operator families, but not by an extension.
    select a.catalog, a.oid, null, true, null
    from (
        select 'pg_amop'::regclass as catalog, oid, amopfamily as family, 'pg_operator'::regclass as of, amopopr as what
        from pg_amop
        union all
        select 'pg_amproc'::regclass, oid, amprocfamily, 'pg_proc'::regclass, amproc from pg_amproc
    ) as a
    where a.oid >= 16384 and a.family < 16384
        and not exists (select from members where classid = a.of and objid = a.what)
    union all
    select 'pg_am'::regclass, oid, null, false, null from pg_am where oid >= 16384
    union all
    select 'pg_conversion'::regclass, oid, connamespace, condefault, condefault::text
    from pg_conversion where oid >= 16384
    union all
    select 'pg_transform'::regclass, oid, null, true, null from pg_transform where oid >= 16384
    union all
    select 'pg_language'::regclass, oid, null, false, lanpltrusted::text from pg_language where oid >= 16384
    union all
    select 'pg_ts_parser'::regclass, oid, prsnamespace, false, null from pg_ts_parser where oid >= 16384
    union all
    select 'pg_ts_template'::regclass, oid, tmplnamespace, false, null from pg_ts_template where oid >= 16384
    union all
    select 'pg_publication'::regclass, oid, null, false, concat_ws(' ', puballtables, pubinsert, pubupdate, pubdelete)
    from pg_publication as p
    where puballtables
        or exists (select from pg_publication_rel join relations as r on r.oid = prrelid where prpubid = p.oid)
        or exists (
            select from pg_publication_namespace join pg_class as c on c.relnamespace = pnnspid
            join relations as r on r.oid = c.oid where pnpubid = p.oid)
    union all
    select distinct 'pg_subscription'::regclass, srsubid, null::oid, false, null
    from pg_subscription_rel join relations as r on r.oid = srrelid
), found (kind, object, sentence, reached, is_dangerous, definition, removal) as (
    -- ---- rights -----------------------------------------------------------------------------------------
    select
        'right',
        what,
        format('%s may %s', to_whom, what_may),
        case when r.grantee = 0 then 'as every role may' when to_whom = 'app_api' then 'by a grant'
            else 'as a member of ' || to_whom end,
        r.usable and r.kind in ('table', 'routine', 'language', 'large object')
            or r.kind = 'parameter' and name ~ '^(session_replication_role|.*preload.*|allow_system.*|lo_compat.*)$',
        nullif(concat_ws(' ', case when r.is_grantable then 'with grant option' end,
            (select 'of ' || nspowner::regrole from pg_namespace where r.kind = 'schema' and oid = r.object)), ''),
        format(case when r.grantor is null then '%s' else 'set role %2$s; %1$s reset role;' end, format(
            'revoke %s%s on %s %s from %s cascade;', r.privilege, ' (' || column_name || ')', r.kind, name, to_whom
        ), r.grantor::regrole)
    from rights as r
    left join granted as g on r.catalog = 'pg_class'::regclass and g.relation = r.object
    cross join lateral (
        select
            case r.grantee when 0 then 'PUBLIC' else r.grantee::regrole::text end as to_whom,
            case r.catalog
                when 'pg_class'::regclass then g.relation_name
                when 'pg_proc'::regclass then audit.routine(r.object)
                else (pg_identify_object(r.catalog, r.object, 0)).identity
            end as name,
            (select quote_ident(attname) from pg_attribute where attrelid = r.object and attnum = r.sub and r.sub > 0)
                as column_name
    ) as n
    cross join lateral (
        select format('%s%s on %s %s', r.privilege, ' (' || column_name || ')', r.kind, name) as what_may
    ) as m
    cross join lateral (select format('%s to %s', what_may, to_whom) as what) as w
    where (r.usable or r.grantee <> 0) and not (r.kind = 'database' and r.privilege in ('connect', 'temporary'))
    union all
    -- ---- relations, and what belongs to them --------------------------------------------------------------
    select
        k.kind,
        r.name,
        concat_ws(', ',
            case when c.relkind in ('r', 'p') then format('row-level security is %s%s',
                case when c.relrowsecurity then 'enabled' else 'disabled' end,
                case when c.relforcerowsecurity then ' and forced' end) end,
            (select 'inherits from ' || string_agg(audit.name(inhparent), ', ' order by 1)
                from pg_inherits where inhrelid = c.oid),
            'owned by ' || c.relowner::regrole,
            case when c.relkind = 'v' then array_to_string(c.reloptions, ', ') end),
        case when r.through = 0 then 'app_api has privileges on it' else audit.name(r.through) || ' leads to it' end,
        c.relkind not in ('r', 'p') or not c.relrowsecurity,
        case when c.relkind in ('v', 'm') and n.nspname <> 'audit' then pg_get_viewdef(c.oid) end,
        audit.leave_extension('pg_class', c.oid) || format('drop %s %s;', k.kind, r.name)
    from relations as r
    join pg_class as c on c.oid = r.oid
    join pg_namespace as n on n.oid = c.relnamespace
    cross join lateral (
        select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
            else 'table' end as kind
    ) as k
    where r.is_itself
    union all
    select
        'column',
        r.name || '.' || quote_ident(a.attname),
        concat_ws(' ', format_type(a.atttypid, a.atttypmod),
            (select 'collate ' || collname from pg_collation, pg_type as y
                where y.oid = a.atttypid and pg_collation.oid = a.attcollation and a.attcollation <> y.typcollation),
            case when a.attnotnull then 'not null' end,
            case when a.attidentity <> '' then 'identity' when a.attgenerated <> '' then 'generated' end,
            'default ' || audit.expression(d.adbin, a.attrelid)),
        'of a table that app_api can reach',
        t."table" is not null and a.attname in (select "column" from audit.tenants),
        null,
        format('alter table %s drop column %I;', r.name, a.attname)
    from relations as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    left join audit.tables as t on t."table" = r.oid
    where r.relkind in ('r', 'p', 'f') and r.is_itself
    union all
    select
        'policy',
        r.name || '.' || quote_ident(p.polname),
        concat_ws(' ',
            case when p.polpermissive then 'permissive' else 'restrictive' end,
            'for',
            case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
                else 'all' end,
            'to',
            (select string_agg(case role when 0 then 'PUBLIC' else role::regrole::text end, ', ' order by 1)
                from unnest(p.polroles) as role),
            'using ' || audit.expression(p.polqual, p.polrelid),
            'with check ' || audit.expression(p.polwithcheck, p.polrelid)),
        'on a table that app_api can reach',
        true,
        null,
        format('drop policy %I on %s;', p.polname, r.name)
    from relations as r join pg_policy as p on p.polrelid = r.oid
    where r.is_itself
    union all
    select
        'trigger',
        r.name || '.' || quote_ident(g.tgname),
        concat_ws(' ', regexp_replace(pg_get_triggerdef(g.oid), '^CREATE (CONSTRAINT )?TRIGGER ', ''),
            case g.tgenabled when 'O' then null when 'D' then '(disabled)' else '(always, or on a replica)' end),
        'fired by writes to a table that app_api can reach',
        true,
        null,
        case when g.tgisinternal then format('alter table %s enable trigger %I;', r.name, g.tgname)
            else format('drop trigger %I on %s;', g.tgname, r.name) end
    from relations as r
    join pg_trigger as g on g.tgrelid = r.oid and g.tgparentid = 0 and (not g.tgisinternal or g.tgenabled <> 'O')
    union all
    select
        'rule',
        r.name || '.' || quote_ident(w.rulename),
        pg_get_ruledef(w.oid),
        'rewrites statements on what app_api can reach',
        true,
        w.ev_enabled::text,
        format('drop rule %I on %s;', w.rulename, r.name)
    from relations as r
    join pg_rewrite as w on w.ev_class = r.oid and (r.relkind not in ('v', 'm') or w.rulename <> '_RETURN')
    union all
    select
        'constraint',
        audit.name(c.conrelid) || '.' || quote_ident(c.conname),
        audit.constraint_definition(c.oid),
        'on a table that app_api can reach',
        false,
        null,
        format('alter table %s drop constraint %I;', audit.name(c.conrelid), c.conname)
    from pg_constraint as c
    where c.contype not in ('n', 't') and c.conparentid = 0
        and (c.conrelid in (select oid from relations) or c.confrelid in (select oid from relations))
    union all
    select
        'index',
        audit.name(i.indexrelid),
        concat_ws(' ', case when i.indisunique then 'unique' end, 'on', audit.name(i.indrelid),
            '(' || audit.index_columns(i.indexrelid)),
        'of a table that app_api can reach',
        false,
        null,
        format('drop index %s;', audit.name(i.indexrelid))
    from relations as r
    join pg_index as i on i.indrelid = r.oid and (i.indisunique or i.indexprs is not null or i.indpred is not null)
    where not exists (select from pg_constraint where conindid = i.indexrelid and contype in ('p', 'u', 'x'))
        and not exists (select from pg_inherits where inhrelid = i.indexrelid)
    union all
    -- ---- code -------------------------------------------------------------------------------------------------
    select
        'routine',
        audit.routine(p.oid),
        format('in %s, %s%s%s, with the rights of %s', l.lanname,
            case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
            case when p.proleakproof then ', leakproof' end,
            concat(case p.proparallel when 's' then ', parallel safe' when 'r' then ', parallel restricted' end,
                case when p.proisstrict then ', strict' end,
                case when p.procost <> case when l.lanname in ('internal', 'c') then 1 else 100 end
                    then ', cost ' || p.procost end,
                ', ' || nullif(array_to_string(p.proconfig, ', '), '')),
            case when p.prosecdef then p.proowner::regrole::text else 'its caller' end),
        case when e.usable then 'app_api may execute it'
            else pg_describe_object(c.classid, c.objid, 0) || ' calls it' end,
        true,
        case when n.nspname <> 'audit' then concat_ws(e'\n', p.proowner::regrole, pg_get_function_arguments(p.oid),
            pg_get_function_result(p.oid), p.prosrc, p.probin, audit.body(p.oid),
            (select concat_ws(' ', aggtransfn, aggfinalfn, agginitval, aggtranstype::regtype)
                from pg_aggregate where aggfnoid = p.oid)) end,
        case when c.routine is null then d.removal
            else audit.advice('When nothing calls it any more: ' || d.removal) end
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang
    join pg_namespace as n on n.oid = p.pronamespace
    cross join lateral (
        select exists (select from rights where catalog = 'pg_proc'::regclass and object = p.oid and usable) as usable
    ) as e
    -- By name: a restored database has other oids.
    left join lateral (
        select * from calls where routine = p.oid
        order by pg_describe_object(classid, objid, 0) collate "C" limit 1
    ) as c on true
    cross join lateral (
        select audit.leave_extension('pg_proc', p.oid) || format('drop routine %s;', audit.routine(p.oid)) as removal
    ) as d
    where p.oid >= 16384 and not exists (select from members where classid = 'pg_proc'::regclass and objid = p.oid)
        and (c.routine is not null or e.usable)
    union all
    select
        'built-in',
        b.object,
        b.sentence,
        'PostgreSQL''s own, changed',
        b.is_dangerous,
        null,
        '-- Restore it from a new database of the same version.'
    from audit.altered as b
    union all
    select
        o.type,
        o.identity,
        concat_ws(', ', a.more, 'on ' || (
            select string_agg(pg_describe_object(refclassid, refobjid, refobjsubid), ', ' order by 1)
            from pg_depend
            where classid = a.catalog and objid = a.oid and deptype in ('n', 'a')
                and refclassid <> 'pg_namespace'::regclass)),
        'it applies to whoever uses what it is on',
        a.is_dangerous,
        null,
        case when o.type ~ 'of access method' then '-- Remove it: alter operator family … drop …' else
            audit.leave_extension(a.catalog, a.oid) || format('drop %s %s;', o.type, o.identity) end
    from others as a
    cross join lateral pg_identify_object(a.catalog, a.oid, 0) as o
    where (a.schema is null or exists (select from schemas where oid = a.schema and usable))
        and not exists (select from members where classid = a.catalog and objid = a.oid)
    union all
    select
        'extension',
        quote_ident(e.name),
        format('version %s, not trusted', e.version),
        'app_api may call its functions',
        m.callable,
        null,
        case e.name when 'citus' then '-- Run db/citus.sql, which takes its functions from PUBLIC.'
            else format('drop extension %I;', e.name) end
    from audit.extensions as e
    cross join lateral (
        -- What returns a pseudo-type cannot be called by name in a query: triggers, handlers.
        select coalesce(bool_or(y.typtype <> 'p' and exists (
                select from audit.api_roles
                where has_function_privilege(role, p.oid, 'execute')
                    and has_schema_privilege(role, p.pronamespace, 'usage')
            )), false) as callable
        from pg_depend as d
        join pg_proc as p on p.oid = d.objid
        join pg_type as y on y.oid = p.prorettype
        where d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
            and d.classid = 'pg_proc'::regclass
    ) as m
    where not e.harmless
    union all
    -- ---- roles, and what their sessions start with ---------------------------------------------------------------
    select 'role', format('%s as a member of %s', m.member::regrole, m.roleid::regrole),
        format('%s may act as %s', m.member::regrole, m.roleid::regrole), 'by a membership', false, null,
        audit.revocation(m.roleid, m.member)
    from pg_auth_members as m join audit.api_roles as r on r.role = m.member
    union all
    select 'role', format('%s %s', r.role, attribute), format('%s has %s', r.role, attribute), 'by an attribute',
        true, null, format('alter role %s no%s;', r.role, lower(attribute))
    from audit.roles as r join audit.api_roles as a using (role), unnest(r.attributes) as attribute
    union all
    select 'ownership', format('%s %s', o.type, o.identity), format('%s owns it', o.role), 'as the owner', true, null,
        o.remediation
    from audit.owned as o
    union all
    select 'default right',
        format('%s on new %s of %s to %s', lower(g.privilege_type), n.what, d.defaclrole::regrole, n.whom),
        format('%s will have %s on them', n.whom, lower(g.privilege_type)), 'by a default', false, null,
        format('alter default privileges for role %s%s revoke %s on %s from %s;', d.defaclrole::regrole,
            ' in schema ' || nullif(d.defaclnamespace, 0)::regnamespace, lower(g.privilege_type), n.what, n.whom)
    from pg_default_acl as d
    cross join aclexplode(d.defaclacl) as g
    cross join lateral (
        select case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
                when 'n' then 'schemas' else 'large objects' end as what,
            case g.grantee when 0 then 'PUBLIC' else g.grantee::regrole::text end as whom
    ) as n
    where d.defaclobjtype <> 'T' and g.grantee <> d.defaclrole
        and (g.grantee = 0 or g.grantee in (select role from audit.api_roles))
    union all
    select 'setting', format('%s of %s', p.parameter, t.target),
        case when k.is_secret then 'it has a value, which is not shown' else p.value end, 'sessions start with it',
        k.is_dangerous, case when k.is_secret then p.value end,
        format('alter %s reset %s;', t.target, p.parameter)
    from pg_db_role_setting as d
    cross join unnest(d.setconfig) as s (setting)
    cross join lateral (
        select lower(split_part(s.setting, '=', 1)) as parameter,
            substr(s.setting, strpos(s.setting, '=') + 1) as value
    ) as p
    cross join lateral (
        select p.parameter ~ '^(app[.](user|workspace)_id|audit[.]explaining|role|session_.*|row_security)$'
            or p.parameter in (select lower(setting) from audit.tenants) as is_dangerous
    ) as o
    -- What PostgreSQL does not know may be a secret, such as Supabase's app.settings.jwt_secret.
    cross join lateral (
        select o.is_dangerous, not o.is_dangerous and p.parameter ~ '[.]' and p.parameter !~ '^citus[.]' as is_secret
    ) as k
    cross join lateral (
        select case when d.setrole = 0 and d.setdatabase = 0 then 'role all'
            when d.setrole = 0 then format('database %I', current_database())
            else 'role ' || d.setrole::regrole || case when d.setdatabase = 0 then ''
                else format(' in database %I', current_database()) end end as target
    ) as t
    left join pg_show_all_settings() as g on lower(g.name) = p.parameter
    where d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
        and (d.setrole in (0, to_regrole('app_owner'), to_regrole('app_migrator'), to_regrole('app_auditor'))
            or d.setrole in (select role from audit.api_roles))
        and coalesce(g.category, '')
            !~ '^(Resource|Query|Autovacuum|Vacuum|Reporting|Statistics|Write|Lock|Replication|Custom)'
        and p.parameter not in ('client_min_messages', 'default_transaction_isolation', 'idle_session_timeout',
            'lock_timeout', 'transaction_timeout')
        and not (d.setrole = 0 and p.parameter in ('datestyle', 'intervalstyle', 'timezone'))  -- app_api has its own
    union all
    select 'setting', name || ' of the server', setting, 'sessions start with it',
        name ~ '^(role|session_repl.*|row_security)$', null,
        format('alter system reset %s; select pg_reload_conf();', name)
    from pg_show_all_settings() -- not pg_settings, as audit.user_mappings() says
    where source = 'configuration file' and name in ('allow_system_table_mods', 'ignore_system_indexes',
        'local_preload_libraries', 'lo_compat_privileges', 'role', 'row_security', 'search_path',
        'session_preload_libraries', 'session_replication_role', 'transform_null_equals')
    union all
    select 'user mapping', format('for %s on %I', m.whom, srvname), 'it logs in to a foreign server', 'by name', false,
        null, format('drop user mapping for %s server %I;', m.whom, srvname)
    from audit.user_mappings()
    cross join lateral (select case umuser when 0 then 'public' else umuser::regrole::text end as whom) as m
    where umuser = 0 or umuser in (select role from audit.api_roles)
)
select
    kind || ' ' || object as key,
    kind,
    object,
    sentence,
    reached,
    is_dangerous,
    left(encode(sha256(convert_to(
        audit.flattened(replace(concat_ws(e'\n', sentence, definition), 'app.uuidv7()', 'uuidv7()')), 'UTF8')),
        'hex'), 16) as fingerprint,
    removal
from found;

comment on view audit.surface is
    'Everything that app_api can reach, and everything that could change who is calling, beyond what PostgreSQL comes
with: one row per right, object and setting. What is in neither audit.manifest nor audit.accepted is a finding, unexpected.';
comment on column audit.surface.key is 'What audit.manifest and the findings call it.';
comment on column audit.surface.sentence is 'What it is, or lets a role do.';
comment on column audit.surface.reached is 'How app_api comes to it.';
comment on column audit.surface.is_dangerous is
    'Whether tenants'' rows, or who is calling, can be reached through it if it is not as a release made it.';
comment on column audit.surface.fingerprint is
    'The start of the SHA-256 of its definition, owner, settings and rights: 16 hexadecimal digits.';
comment on column audit.surface.removal is 'The SQL that removes it.';
