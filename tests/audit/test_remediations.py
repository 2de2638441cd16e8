"""What the remediations must not break: what others rely on in the same database."""

import psycopg
import pytest

from tests.support.twins import findings, run, without_comment

# As Supabase documents it. https://supabase.com/docs/guides/auth/managing-user-data
SIGN_UP = """
create role login_service login;
create schema auth authorization login_service;
create table auth.users (id uuid primary key default gen_random_uuid(), email text);
alter table auth.users owner to login_service;
create table app.profiles (
    user_id text not null default app.current_user_id(), id uuid not null, email text, primary key (user_id, id)
);
alter table app.profiles owner to app_owner;
alter table app.profiles enable row level security, force row level security;
create policy profiles_belong_to_their_user on app.profiles to app_api
using (user_id = app.current_user_id()) with check (user_id = app.current_user_id());
grant select on app.profiles to app_api;
create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
    insert into app.profiles (user_id, id, email) values (new.id, new.id, new.email);
    return new;
end
$$;
create trigger on_auth_user_created after insert on auth.users
for each row execute function public.handle_new_user();
"""
# An analyst's view and a stream of changes, both made by an administrator.
REPORTS = """
create role analyst;
grant usage on schema app to analyst;
create view app.numbers as select user_id, count(*) from app.tasks group by user_id;
grant select on app.numbers to analyst;
create publication everything for all tables;
"""


def run_every_remediation(connection: psycopg.Connection) -> list[str]:
    """Run what the findings say, as `\\gexec` does. Return the names of those findings."""
    found = findings(connection)
    for finding in found:
        run(connection, finding.remediation)
    return sorted({finding.name for finding in found})


def test_signing_up_goes_on_working(scratch: psycopg.Connection) -> None:
    run(scratch, SIGN_UP)
    assert "definer_function_public" in run_every_remediation(scratch)
    assert not [finding for finding in findings(scratch) if "handle_new_user" in finding.object]

    run(scratch, "set local role login_service; insert into auth.users (email) values ('alice@example.org')")
    run(scratch, "reset role")
    assert scratch.execute("select email from app.profiles").fetchall() == [("alice@example.org",)]


def test_reports_and_replication_go_on_working(scratch: psycopg.Connection) -> None:
    run(scratch, REPORTS)
    assert run_every_remediation(scratch) == ["publication", "view_definer"]

    run(scratch, "set local role analyst; select * from app.numbers; reset role")
    assert scratch.execute("select from pg_publication where puballtables").rowcount == 1


@pytest.mark.parametrize("name", ["line\nbreak", "carriage\rreturn", "-- a comment: drop table app.tasks;"])
def test_no_name_ends_the_comment(scratch: psycopg.Connection, name: str) -> None:
    view = f'public."{name}; drop table app.tasks; "'
    run(scratch, f"create view {view} as table scratch.notes; grant select on {view} to app_api")
    (finding,) = findings(scratch)
    run(scratch, finding.remediation)
    assert findings(scratch) == [finding]
    assert without_comment(finding.remediation) != finding.remediation
