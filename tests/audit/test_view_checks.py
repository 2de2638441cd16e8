"""The checks of views, materialized views and foreign tables."""

from tests.support.twins import (
    ERROR,
    PARTITION_WITH_RLS,
    Bad,
    Good,
    Twins,
    parametrized,
)

FOREIGN = """
    create foreign data wrapper w;
    create server elsewhere foreign data wrapper w;
    create foreign table scratch.far (user_id text, body text) server elsewhere;
"""
MATERIALIZED = "create materialized view scratch.v as select * from scratch.notes;"

# fmt: off
# A twin is two or three lines.
TWINS: Twins = {
    "view_definer": [
        Bad("create view scratch.v as select * from scratch.notes; grant select on scratch.v to app_api",
            "scratch.v", ERROR),
        Bad("create view scratch.v as select * from scratch.notes; grant delete on scratch.v to app_api",
            "scratch.v", ERROR),
        Bad("create view scratch.v as select * from scratch.notes", "scratch.v"),
        Bad("create view scratch.v with (security_invoker = off) as select 1 from scratch.notes", "scratch.v"),
        Bad("create view scratch.v as select (select count(*) from scratch.notes)", "scratch.v"),
        Bad("""
            create view scratch.v with (security_invoker) as select * from scratch.notes;
            create view scratch.w as select * from scratch.v;
            grant select on scratch.v, scratch.w to app_api""", "scratch.w", ERROR),
        Bad("""
            create view hidden.core as select * from scratch.notes;
            create view scratch.v with (security_invoker) as select * from hidden.core;
            grant select on hidden.core, scratch.v to app_api""", "hidden.core", ERROR, advice=True),
        Bad(f"""{PARTITION_WITH_RLS}
            alter table scratch.events_a set schema hidden;
            create view scratch.v as table hidden.events_a;
            grant select on scratch.v to app_api""", "scratch.v", ERROR),
        Bad("""
            create materialized view hidden.middle as select * from scratch.notes;
            create view public.v as select * from hidden.middle;
            grant select on public.v to readers;
            grant readers to app_api""", "public.v", ERROR, advice=True),
        Bad("create role analysts; create view scratch.v as select * from scratch.notes;"
            "grant select on scratch.v to analysts", "scratch.v", advice=True),
        Good("create view scratch.v with (security_invoker = true) as table scratch.notes;"
            "grant all on scratch.v to readers"),
        Good("""
            create view scratch.v with (security_invoker) as select * from scratch.notes;
            create view scratch.w with (security_invoker) as select * from scratch.v;
            grant select, delete on scratch.v, scratch.w to app_api"""),
        Good("create view hidden.v as select * from scratch.notes; grant select on hidden.v to readers"),
        Good("create view scratch.v as select now(); grant select on scratch.v to app_api"),
    ],
    "view_of_statistics": [
        Bad("create view scratch.v as select stanullfrac from pg_statistic; grant select on scratch.v to app_api",
            "scratch.v", ERROR),
        Bad("create view scratch.v as select (select rolpassword from pg_authid limit 1);"
            "grant select on scratch.v to readers; grant readers to app_api", "scratch.v", ERROR),
        Bad("""
            create view hidden.core as select lo.data from pg_class, pg_largeobject as lo;
            create view public.v as select * from hidden.core;
            grant select on public.v to public""", "public.v", ERROR, advice=True),
        Good("create view scratch.v with (security_invoker = true) as select starelid from pg_statistic;"
            "grant select on scratch.v to app_api"),
        Good("create view scratch.v as select tablename from pg_stats; grant select on scratch.v to app_api"),
        Good("create view scratch.v as select starelid from pg_statistic; grant select on scratch.v to readers"),
    ],
    "materialized_view": [
        Bad(f"{MATERIALIZED} grant select on scratch.v to app_api", "scratch.v", ERROR),
        Bad(f"{MATERIALIZED} grant select (body) on scratch.v to public", "scratch.v", ERROR),
        Bad(f"{MATERIALIZED} grant select on scratch.v to readers; grant readers to app_api", "scratch.v", ERROR),
        Bad("create table hidden.words (word text);"
            "create materialized view scratch.v as table hidden.words; grant select on scratch.v to app_api",
            "scratch.v"),
        Bad("""
            create view hidden.core as select * from scratch.notes;
            create materialized view hidden.middle as select * from hidden.core;
            grant select on hidden.middle to app_api;
            create view scratch.v with (security_invoker = true) as select * from hidden.middle""",
            "hidden.middle", ERROR),
        Bad("""
            create materialized view hidden.m as select * from scratch.notes;
            grant usage on schema hidden to app_api;
            grant select on hidden.m to public""", "hidden.m", ERROR, advice=True),
        Good(MATERIALIZED),
        Good(f"{MATERIALIZED} grant select on scratch.v to readers"),
        Good("create materialized view hidden.m as select * from scratch.notes; grant select on hidden.m to app_api"),
    ],
    "foreign_table": [
        Bad(f"{FOREIGN} grant select on scratch.far to app_api", "scratch.far", ERROR),
        Bad(f"{FOREIGN} grant delete on scratch.far to public", "scratch.far", ERROR),
        Bad(f"{FOREIGN} grant insert (body) on scratch.far to readers; grant readers to app_api", "scratch.far", ERROR),
        Bad(f"{FOREIGN} grant select on scratch.far to app_api with grant option",
            "scratch.far", ERROR, also="grant_beyond_rls"),
        Bad(f"""{FOREIGN}
            alter foreign table scratch.far set schema hidden;
            grant select on hidden.far to app_api;
            create view scratch.v with (security_invoker = true) as table hidden.far""", "hidden.far", ERROR),
        Bad(f"""{FOREIGN}
            alter foreign table scratch.far set schema hidden;
            grant usage on schema hidden to app_api;
            grant select on hidden.far to public""", "hidden.far", ERROR, advice=True),
        Good(FOREIGN),
        Good(f"{FOREIGN} grant select on scratch.far to readers, app_auditor"),
        Good(f"{FOREIGN} grant references on scratch.far to app_api", also="grant_beyond_rls"),
        Good(f"{FOREIGN} alter foreign table scratch.far set schema hidden; grant select on hidden.far to app_api"),
    ],
}
# fmt: on

test_a_bad_twin_is_reported_and_fixed, test_odd_names_are_quoted, test_a_good_twin_is_not_reported = parametrized(TWINS)
