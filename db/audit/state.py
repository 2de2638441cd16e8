"""Whether the audit itself is as it was installed, and whether anything has changed since it last looked.

Both are asked by SQL of ours and not by views in schema audit, which somebody may have edited. `connection` is always
in a transaction with the settings of `AS_INSTALLED`.
"""

import asyncpg

from db.connect import OWN_NAMES_ONLY

# What decides how PostgreSQL writes a definition, and jit: to compile the findings takes longer than to run them. On a
# Citus cluster it hides the shards, which are tables too; anywhere else it means nothing.
AS_INSTALLED = (
    f"{OWN_NAMES_ONLY}; set local citus.override_table_visibility = on;"
    " set local intervalstyle = postgres; set local quote_all_identifiers = off;"
    " set local standard_conforming_strings = on; set local jit = off"
)

_COMMENT = "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'audit'"

_FINGERPRINT = """
select encode(sha256(convert_to(string_agg(definition, e'\\n' order by definition), 'UTF8')), 'hex')
from (
    select concat_ws(' ', relname, relowner::regrole, relkind, reloptions, pg_get_viewdef(oid)) as definition
    from pg_class where relnamespace = (select oid from pg_namespace where nspname = 'audit') and relkind <> 'i'
    union all
    select concat_ws(' ', oid::regprocedure, proowner::regrole, prosecdef, proconfig, prosrc,
        pg_get_function_sqlbody(oid))
    from pg_proc where pronamespace = (select oid from pg_namespace where nspname = 'audit')
) as definitions
"""

# xmin is another one after each change of a row. https://www.postgresql.org/docs/18/ddl-system-columns.html
_STATE = """
select concat_ws(' ', bit_xor(hashtextextended(version_of_row, 0)), count(*), pg_conf_load_time(),
    (select md5(string_agg(r::text, '' order by oid)) from pg_roles as r))
from (
    select concat_ws(' ', tableoid, aggfnoid::oid, xmin) from pg_aggregate
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_am
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_amop
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_amproc
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_attrdef
    union all select concat_ws(' ', tableoid, attrelid, attnum, xmin) from pg_attribute
    union all select concat_ws(' ', tableoid, roleid, member, xmin) from pg_auth_members
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_cast
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_class
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_collation
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_constraint
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_conversion
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_database
    union all select concat_ws(' ', tableoid, setdatabase, setrole, xmin) from pg_db_role_setting
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_default_acl
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_event_trigger
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_extension
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_foreign_data_wrapper
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_foreign_server
    union all select concat_ws(' ', tableoid, indexrelid, xmin) from pg_index
    union all select concat_ws(' ', tableoid, inhrelid, xmin) from pg_inherits
    union all select concat_ws(' ', tableoid, objoid, classoid, xmin) from pg_init_privs
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_language
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_largeobject_metadata
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_namespace
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_opclass
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_operator
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_opfamily
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_parameter_acl
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_policy
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_proc
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_publication
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_publication_namespace
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_publication_rel
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_rewrite
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_statistic_ext
    union all select concat_ws(' ', tableoid, srsubid, srrelid, xmin) from pg_subscription_rel
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_tablespace
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_transform
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_trigger
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_ts_config
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_ts_dict
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_ts_parser
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_ts_template
    union all select concat_ws(' ', tableoid, oid, xmin) from pg_type
) as catalogs (version_of_row)
"""


def record(description: str) -> str:
    """Return the SQL that says in the comment on schema audit what is installed: `description`, and a fingerprint."""
    return f"""
do $$
begin
    execute format('comment on schema audit is %L', '{description}, as ' || ({_FINGERPRINT}));
end
$$;
"""


async def is_installed(connection: asyncpg.Connection, description: str) -> bool:
    """Return whether the audit that is installed is the one of this description."""
    return (await connection.fetchval(_COMMENT) or "").startswith(f"{description}, as ")


async def is_edited(connection: asyncpg.Connection) -> bool:
    """Return whether a view or function of schema audit is no longer the one that was installed."""
    _, _, installed = (await connection.fetchval(_COMMENT) or "").rpartition(", as ")
    return bool(installed != await connection.fetchval(_FINGERPRINT))


async def state_of_catalogs(connection: asyncpg.Connection) -> str:
    """Return a text that is another one as soon as anything has changed that the findings are computed from.

    It costs PostgreSQL a tenth of what the findings cost.
    """
    state: str = await connection.fetchval(_STATE)
    return state
