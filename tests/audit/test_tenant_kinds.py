"""Tenants that are not users: one line of audit.tenants, and every check, remediation, view and --prove knows them."""

import psycopg
import pytest

from tests.support.database import Url
from tests.support.designs import example, proof_of
from tests.support.kinds import KINDS, current_region, current_team, functions_of_app_owner
from tests.support.twins import ERROR, Bad, Good, Twins, findings, parametrized, run, tenant_table

OWN = "region_id = app.current_region_id()"
AREAS = tenant_table("scratch.areas", "integer", "app.current_region_id()", column="region_id")
INVOKER = "create function scratch.f() returns int language sql return 1;"


def policy(clause: str, kind: str = "using") -> str:
    return f"alter policy own on scratch.regional {kind} ({clause})"


def reading(clause: str) -> str:
    return f"alter policy reading on scratch.shared using ({clause})"


def regional(kind: str) -> str:
    cast = "" if kind == "bigint" else f"::{kind}"
    table = tenant_table("scratch.regional", kind, f"app.current_region_id(){cast}", column="region_id")
    return f"drop table scratch.regional; {table}"


def fires(setting: str) -> str:
    return f"""create function scratch.f() returns trigger language plpgsql as
        $$ begin set local {setting} = '1'; return new; end $$; revoke execute on function scratch.f() from public;
        create trigger t before insert on scratch.notes for each row execute function scratch.f()"""


# fmt: off
# A twin is two or three lines.
TWINS: Twins = {
    "policy_without_tenant": [
        Bad(policy(f"{OWN} or body = ''"), "scratch.regional.own", ERROR),
        Bad(policy("region_id = current_setting('app.region_id')::integer"), "scratch.regional.own", ERROR),
        Bad(policy("region_id = app.current_user_id()::integer", "with check"), "scratch.regional.own", ERROR),
        Bad(policy("region_id::text = app.current_region_id()::text"), "scratch.regional.own", ERROR,
            also="policy_with_function_per_row"),
        Bad(reading("user_id = app.current_user_id()"), "scratch.shared.reading", ERROR),
        Bad(reading("team_id = app.current_team_id(null)"), "scratch.shared.reading", ERROR),
        Bad(reading("team_id = app.current_team_id(app.current_user_id())"), "scratch.shared.reading", ERROR),
        Bad(reading("team_id = app.current_team_id(body)"), "scratch.shared.reading", ERROR,
            also="policy_with_function_per_row"),
        Bad(reading("app.current_team_id('viewer') = id"), "scratch.shared.reading", ERROR),
        # The same column is another kind of tenant's where that one is listed later.
        Bad("alter table scratch.notes add team_id uuid", "scratch.notes.own", ERROR, times=2,
            also="key_without_tenant tenant_column_nullable tenant_column_without_default"),
        Good(policy(f"body <> '' and {OWN}")),
        Good(reading("app.current_team_id('owner') = team_id")),
    ],
    "policy_always_true": [
        Bad(policy("true"), "scratch.regional.own", ERROR),
        Bad(reading("app.current_team_id('viewer') is not null"), "scratch.shared.reading", ERROR),
        Bad("alter policy own on scratch.zoned using (true)", "scratch.zoned.own", ERROR),
        # The remediation casts where it must.
        Bad(regional("bigint") + policy("true"), "scratch.regional.own", ERROR),
        Bad(regional("text") + policy("true"), "scratch.regional.own", ERROR),
        Good(policy("false", "with check")),
    ],
    "policy_missing": [
        Bad("drop policy own on scratch.regional", "scratch.regional update", times=4),
        Bad("drop policy removing on scratch.shared", "scratch.shared delete"),
        Bad("drop policy adding on scratch.shared", "scratch.shared insert"),
    ],
    "policy_without_check": [
        Bad(f"drop policy own on scratch.regional; create policy own on scratch.regional to app_api using ({OWN})",
            "scratch.regional.own"),
        Bad("create policy p on scratch.regional for insert to app_api", "scratch.regional.p",
            also="policy_multiple_permissive"),
    ],
    "policy_with_subselect": [
        Bad(policy("region_id = (select app.current_region_id())"), "scratch.regional.own"),
        Bad(reading("team_id = (select app.current_team_id('viewer'))"), "scratch.shared.reading"),
    ],
    "primary_key_missing": [
        Bad("alter table scratch.regional drop constraint regional_pkey", "scratch.regional"),
        Bad("alter table scratch.shared drop id", "scratch.shared"),
    ],
    "key_without_tenant": [
        Bad("alter table scratch.regional add constraint by_body unique (body, region_id)", "scratch.by_body"),
        Bad("alter table scratch.shared add constraint by_body unique (user_id, body)", "scratch.by_body"),
        Bad("create unique index by_body on scratch.regional (lower(body))", "scratch.by_body"),
        Bad("alter table scratch.regional add constraint by_body exclude (body with =)", "scratch.by_body"),
        Bad('alter table scratch.zoned add constraint by_body unique (body, "Time zone")', "scratch.by_body"),
        Good("alter table scratch.shared add unique (team_id, user_id)"),
    ],
    "index_without_tenant": [
        Bad("create index by_body on scratch.regional (body)", "scratch.by_body"),
        Bad("create index by_body on scratch.shared (user_id, body)", "scratch.by_body"),
        Good("create index on scratch.regional (region_id, body)"),
    ],
    "foreign_key_without_tenant": [
        Bad(f"""{AREAS} alter table scratch.areas add unique (id);
            alter table scratch.regional add area uuid,
                add constraint by_body foreign key (area) references scratch.areas (id)""",
            "scratch.regional.by_body", also="key_without_tenant"),
        Bad("""alter table scratch.notes add region integer, add note uuid,
            add constraint by_body foreign key (region, note) references scratch.regional""",
            "scratch.notes.by_body", advice=True),
        # Two tenants of different kinds are never the same.
        Bad(f"""drop table scratch.notes; {tenant_table("scratch.notes", "uuid", "app.current_user_id()::uuid")}
            alter table scratch.notes add thing uuid,
                add constraint by_body foreign key (user_id, thing) references scratch.shared""",
            "scratch.notes.by_body", advice=True),
        Good(f"""{AREAS} alter table scratch.regional add area uuid,
            add foreign key (region_id, area) references scratch.areas"""),
    ],
    "tenant_column_missing": [
        Bad("alter table scratch.regional rename region_id to region", "scratch.regional", ERROR,
            leaves="key_without_tenant", also="policy_without_tenant"),
    ],
    "tenant_column_type": [
        Bad(regional("numeric"), "scratch.regional.region_id", ERROR, fix=regional("integer"),
            also="policy_without_tenant tenant_column_without_default"),
        Good(regional("bigint")),
        Good(regional("text")),
        Good("create domain scratch.region as integer;" + regional("scratch.region")),
    ],
    "tenant_column_nullable": [
        Bad("""
            alter table scratch.regional drop constraint regional_pkey, add unique (region_id, id);
            alter table scratch.regional alter region_id drop not null""",
            "scratch.regional.region_id", also="primary_key_missing"),
    ],
    "tenant_column_without_default": [
        Bad("alter table scratch.regional alter region_id drop default", "scratch.regional.region_id"),
        Bad("alter table scratch.regional alter region_id set default app.current_user_id()::integer",
            "scratch.regional.region_id"),
        Bad('alter table scratch.zoned alter "Time zone" drop default', 'scratch.zoned."Time zone"'),
        Bad("alter table scratch.shared alter team_id set default gen_random_uuid()", "scratch.shared.team_id"),
        Bad("alter table scratch.shared alter team_id set default app.current_team_id(app.current_user_id())",
            "scratch.shared.team_id"),
        Good(regional("text")),
        Good("alter table scratch.shared alter team_id set default app.current_team_id('owner')"),
    ],
    "grant_protected_column": [
        Bad("grant update (region_id) on scratch.regional to app_api", "scratch.regional.region_id"),
        Bad("grant insert (user_id) on scratch.shared to app_api", "scratch.shared.user_id"),
    ],
    "context_function": [
        Bad(current_region(options="immutable"), "app.current_region_id()", ERROR),
        # Two columns are compared with it.
        Bad("create or replace function app.current_user_id() returns text language sql volatile"
            " return nullif(current_setting('app.user_id', true), '')", "app.current_user_id()"),
        Bad("alter function app.current_zone() volatile", "app.current_zone()"),
        Bad("alter function app.current_zone() set \"Request\".zone = 'west'", "app.current_zone()", ERROR),
        Bad(current_region("7"), "app.current_region_id()", ERROR),
        Bad(current_region("nullif(current_setting('app.user_id', true), '')::integer"),
            "app.current_region_id()", ERROR),
        Bad("alter function app.current_region_id() set app.user_id = 'bob'", "app.current_region_id()", ERROR),
        Bad(current_region(options="volatile"), "app.current_region_id()"),
        Bad("drop function app.current_region_id() cascade;"
            + current_region("1::bigint").replace("returns integer", "returns bigint"),
            "app.current_region_id()", ERROR, also="policy_missing tenant_column_without_default"),
        Bad("drop function app.current_region_id() cascade", "app.current_region_id()",
            also="policy_missing tenant_column_without_default"),
        Bad(current_team("immutable security definer set search_path = ''"), "app.current_team_id(text)", ERROR),
        Bad("alter function app.current_team_id(text) volatile", "app.current_team_id(text)"),
        Bad("alter function app.current_team_id(text) parallel unsafe", "app.current_team_id(text)"),
        Bad("alter function app.current_team_id(text) cost 100", "app.current_team_id(text)"),
        Bad("alter function app.current_team_id(text) set app.team_id = ''", "app.current_team_id(text)", ERROR,
            also="function_setting"),
        Bad("drop function app.current_team_id(text) cascade", "app.current_team_id(text)",
            fix=current_team() + functions_of_app_owner("app.current_team_id(text)"),
            also="policy_missing tenant_column_without_default"),
        Good(current_team("stable parallel safe")),
    ],
    "function_setting": [
        Bad(INVOKER + "alter function scratch.f() set app.region_id = '1'", "scratch.f(): app.region_id", ERROR),
    ],
    "function_sets_context": [
        Bad(fires("app.region_id"), "scratch.f()", ERROR, advice=True),
        Bad(fires('"app"."team_id"'), "scratch.f()", ERROR, advice=True),
        Good(fires("app.region_name")),
    ],
    "setting_on_role": [
        Bad("alter role app_api set app.region_id = '1'", "app.region_id on role app_api", ERROR),
        Bad("alter role all set app.team_id = '1'", "app.team_id on role all", ERROR),
        Bad("alter role app_api set \"Request\".zone = 'east'", "request.zone on role app_api", ERROR),
    ],
    "view_definer": [
        Bad("create table hidden.places (region_id integer); create view scratch.v as table hidden.places;"
            "grant select on scratch.v to app_api", "scratch.v", ERROR),
    ],
}
# fmt: on


@pytest.fixture(scope="module")
def healthy(healthy: psycopg.Connection) -> psycopg.Connection:
    """The healthy database with two more kinds of tenants."""
    run(healthy, KINDS)
    healthy.commit()
    return healthy


test_a_bad_twin_is_reported_and_fixed, _, test_a_good_twin_is_not_reported = parametrized(TWINS)


def test_tables_of_other_tenants_are_clean(scratch: psycopg.Connection) -> None:
    assert findings(scratch) == []
    query = 'select "table"::text, tenant_column, tenant_default, tenant_condition from audit.tables'
    tables = {table: columns for table, *columns in scratch.execute(query)}
    assert tables["scratch.regional"] == [
        "region_id",
        "app.current_region_id()",
        "region_id = app.current_region_id()",
    ]
    assert tables["scratch.shared"] == [
        "team_id",
        "app.current_team_id('viewer')",
        "team_id = app.current_team_id('owner')",
    ]


def test_the_keys_of_each_table_lead_with_its_own_tenant(scratch: psycopg.Connection) -> None:
    query = """select keys_lead_with_tenant from audit.tables
        where "table" = any (array['scratch.regional', 'scratch.shared']::regclass[]) order by tenant_column"""
    assert scratch.execute(query).fetchall() == [(True,), (True,)]
    run(
        scratch,
        f"""{AREAS} alter table scratch.areas add unique (id);
        alter table scratch.regional add area uuid references scratch.areas (id);
        create index on scratch.shared (user_id, body)""",
    )
    assert scratch.execute(query).fetchall() == [(False,), (False,)]


def test_the_rules_say_whose_rows_they_are(scratch: psycopg.Connection) -> None:
    query = """select rule from audit.policies where role = 'app_api'::regrole and command = 'delete'
        and "table" = any (array['scratch.notes', 'scratch.owned', 'scratch.regional', 'scratch.shared']::regclass[])"""
    assert [rule for (rule,) in scratch.execute(query)] == [
        "app_api may delete the caller's own rows: (user_id = app.current_user_id())",
        "app_api may delete the caller's own rows: (owner_id = app.current_user_id())",
        "app_api may delete rows of the current region: (region_id = app.current_region_id())",
        "app_api may delete rows of the current team: (team_id = app.current_team_id('owner'::text))",
    ]


def test_what_could_change_the_tenant_is_dangerous(scratch: psycopg.Connection) -> None:
    run(scratch, "alter role app_api set app.region_id = '1'")
    query = """select key from audit.surface where is_dangerous and key = any (array[
        'setting app.region_id of role app_api', 'column scratch.regional.region_id', 'column scratch.shared.user_id',
        'column scratch.shared.body'])"""
    assert {key for (key,) in scratch.execute(query)} == {
        "setting app.region_id of role app_api",
        "column scratch.regional.region_id",
        "column scratch.shared.user_id",
    }


def test_a_row_of_a_team_is_explained_as_if_the_user_acted_for_the_team(scratch: psycopg.Connection) -> None:
    run(
        scratch,
        """
        insert into scratch.shared (team_id, id, user_id, body) values
            ('5eed0000-0000-4000-8000-000000000001', '5eed0000-0000-4000-8000-000000000002', 'alice', 'secret');
        set local app.team_id = '5eed0000-0000-4000-8000-000000000009'""",
    )
    query = """select step, holds, expression
        from audit.explain_access('bob', 'scratch.shared', '5eed0000-0000-4000-8000-000000000002')"""
    steps = {(step, expression): holds for step, holds, expression in scratch.execute(query)}
    expression = "(team_id = app.current_team_id('viewer'::text))"
    assert steps["permissive policy reading for select: using", expression] is True
    assert steps["bob sees the row", None] is True
    setting = scratch.execute("select current_setting('app.team_id')").fetchone()
    assert setting == ("5eed0000-0000-4000-8000-000000000009",)


# ---- --prove -----------------------------------------------------------------------------------------

DESIGN = f"""
    {KINDS} {example("scratch.zoned", '{"Time zone": ["east", "north", "south"]}')}
    insert into scratch.regional (region_id, body) select n, 'real' from generate_series(1, 9) as n;
    insert into scratch.shared (team_id, user_id, body) select gen_random_uuid(), 'alice', 'real'
        from generate_series(1, 9);
"""
READ = {"read without a condition", "read without a caller"}
HOLES = {
    "a condition that is left out": (
        policy(f"{OWN} or body = 'real'"),
        "scratch.regional",
        READ | {"read without a region_id", "read all rows but one's own"},
    ),
    "without a region every row": (
        policy(f"{OWN} or app.current_region_id() is null"),
        "scratch.regional",
        {"read without a caller", "read without a region_id"},
    ),
    "whoever is somebody": (
        reading("app.current_user_id() is not null"),
        "scratch.shared",
        {"read another tenant's row", "read all rows but one's own", "read without a condition"}
        | {"read without a team_id"},
    ),
    "one's own rows in every team": (
        reading("user_id = app.current_user_id()"),
        "scratch.shared",
        {"read another tenant's row", "read all rows but one's own", "read without a condition"}
        | {"read without a team_id"},
    ),
}


def test_the_proof_tries_every_kind_of_tenant_and_is_silent(url: Url) -> None:
    proof = proof_of(url, DESIGN)
    assert proof.findings == []
    made = {(each.table, each.attempt) for each in proof.attempts}
    kinds = (("scratch.regional", "region_id"), ("scratch.shared", "team_id"), ("scratch.zoned", "Time zone"))
    for table, column in kinds:
        attempts = ("delete another tenant's row", "insert a row for another tenant", f"update without a {column}")
        assert {(table, attempt) for attempt in attempts} <= made
    assert ("scratch.owned", "delete another tenant's row") in made
    assert not {("scratch.notes", "read without a user_id"), ("scratch.owned", "read without a owner_id")} & made


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_between_tenants_of_another_kind_is_found(name: str, url: Url) -> None:
    change, table, expected = HOLES[name]
    proof = proof_of(url, f"{DESIGN} {change}")
    reads = {each.attempt for each in proof.attempts if each.blocked is False and each.attempt.startswith("read")}
    assert reads == expected
    assert {finding.object for finding in proof.findings} == {table}
