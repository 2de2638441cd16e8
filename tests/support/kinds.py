"""Tenants that are not users: each is one line of audit.tenants, a function, and tables as they should be."""

from tests.support.database import ROOT
from tests.support.twins import tenant_table

REGION = "('region_id', 'integer', 'app.current_region_id()', null, 'app.region_id')"
OWNER = "('owner_id', 'text', 'app.current_user_id()', null, 'app.user_id')"
ZONE = "('Time zone', 'app.\"Zone\"', 'app.current_zone()', null, 'Request.Zone')"
TEAM = "('team_id', 'uuid', 'app.current_team_id(text)', '{viewer,editor,owner}', 'app.team_id')"


def current_region(
    body: str = "nullif(current_setting('app.region_id', true), '')::integer", options: str = "stable"
) -> str:
    """Return the SQL of a function without an argument."""
    return f"""create or replace function app.current_region_id() returns integer
        language sql {options} parallel safe return {body};"""


def current_team(options: str = "stable parallel safe cost 10000 security definer set search_path = ''") -> str:
    """Return the SQL of a function with an argument. Whether the user is a member, it does not ask."""
    return f"""create or replace function app.current_team_id(role text) returns uuid language sql {options}
        return nullif(pg_catalog.current_setting('app.team_id', true), '')::uuid;"""


def functions_of_app_owner(*functions: str) -> str:
    """Return the SQL that gives functions to app_owner, and lets nobody but app_api execute them."""
    return "".join(
        f"alter function {function} owner to app_owner; revoke execute on function {function} from public;"
        f"grant execute on function {function} to app_api;"
        for function in functions
    )


# A row belongs to a team, and says who added it. Each command wants another role.
SHARED = """
    create table scratch.shared (
        team_id uuid not null default app.current_team_id('viewer'),
        id uuid not null default gen_random_uuid(),
        user_id text not null default app.current_user_id(),
        body text not null,
        primary key (team_id, id)
    );
    alter table scratch.shared owner to app_owner;
    alter table scratch.shared enable row level security, force row level security;
    create policy reading on scratch.shared for select to app_api using (team_id = app.current_team_id('viewer'));
    create policy adding on scratch.shared for insert to app_api with check (team_id = app.current_team_id('viewer'));
    create policy changing on scratch.shared for update to app_api
        using (team_id = app.current_team_id('owner')) with check (team_id = app.current_team_id('owner'));
    create policy removing on scratch.shared for delete to app_api using (team_id = app.current_team_id('owner'));
    grant select, delete, insert (body), update (body) on scratch.shared to app_api;
"""
REGIONAL = tenant_table("scratch.regional", "integer", "app.current_region_id()", column="region_id")
_RELEASED, *_ = (ROOT / "db/audit/schema/tenants.sql").read_text().split("\n\ncomment on")
LINES = f"{_RELEASED.removesuffix(';')},\n    {REGION},\n    {OWNER},\n    {ZONE},\n    {TEAM};"
KINDS = f"""
    create type app."Zone" as enum ('east', 'north', 'south', 'west');
    {LINES} {current_region()} {current_team()}
    create function app.current_zone() returns app."Zone" language sql stable parallel safe
        return nullif(current_setting('request.zone', true), '')::app."Zone";
    {functions_of_app_owner("app.current_region_id()", "app.current_team_id(text)", "app.current_zone()")}
    {REGIONAL} {SHARED} {tenant_table("scratch.owned", column="owner_id")}
    {tenant_table("scratch.zoned", 'app."Zone"', "app.current_zone()", column='"Time zone"')}
"""
