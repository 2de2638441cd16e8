"""Who is calling cannot be changed from inside a query, in one statement of app_api, as an SQL injection would try.

Each forgery works where PUBLIC keeps the rights that db/roles.sql takes away. A test shows that: these can fail.
"""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from db.session import begin_statement
from tests.support.database import Url

BECOME_BOB = "set_config('app.user_id', 'bob', true)"
WORDS = {
    "BECOME_BOB": BECOME_BOB,
    "QUOTED": BECOME_BOB.replace("'", "''"),
    "LATER": "lateral (select text from app.tasks where who is not null offset 0) as theirs",
}
FORGERIES = {
    "a condition": "select text from app.tasks where BECOME_BOB is not null",
    "a select list": "select BECOME_BOB, (select string_agg(text, '') from app.tasks)",
    "an arm of a union": "select BECOME_BOB union all select text from app.tasks",
    "a lateral join": "select text from (select BECOME_BOB as who offset 0) as forged, LATER",
    "a common table expression": "with a as materialized (select BECOME_BOB as who) select text from a, LATER",
    "an array": "select text from app.tasks where (array(select BECOME_BOB))[1] is not null",
    "values": "select text from (values (BECOME_BOB)) as forged (who), LATER",
    "order by": "select text from app.tasks order by BECOME_BOB",
    "limit": "select text from app.tasks limit length(BECOME_BOB)",
    "an aggregate's argument": "select string_agg(text, BECOME_BOB) from app.tasks",
    "a window": "select count(*) over (partition by BECOME_BOB) from app.tasks",
    "coalesce": "select coalesce(null, BECOME_BOB)",
    "case": "select case when true then BECOME_BOB end",
    "a function in from": "select * from BECOME_BOB",
    "row locks": "select text from app.tasks where BECOME_BOB is not null for key share",
    "explain analyze": "explain analyze select BECOME_BOB",
    "merge": """
        merge into app.tasks using (select BECOME_BOB as who) as x on false
        when not matched then insert (text) values (who)""",
    "the text of ts_stat()": "select count(*) from ts_stat('select to_tsvector(''simple'', QUOTED)')",
    "the text of ts_rewrite()": """
        select ts_rewrite('a', 'select to_tsquery(''simple'', QUOTED), to_tsquery(''simple'', ''b'')')""",
    "the text of query_to_xml()": "select query_to_xml('select QUOTED', true, true, '')",
    "the text of query_to_xml_and_xmlschema()": "select query_to_xml_and_xmlschema('select QUOTED', true, true, '')",
    "the rule of pg_settings": "update pg_settings set setting = 'bob' where name = 'application_name'",
    "a block": "do $$ begin set local app.user_id = 'bob'; end $$",
    "a block that executes text": "do $$ begin execute 'set local app.user_id = ''bob'''; end $$",
    "a block in another language": "do language plpgsql $$ begin perform BECOME_BOB; end $$",
}
MODES = {"read only": True, "read write": False}
GIVEN_BACK = """
    grant execute on function pg_catalog.set_config(text, text, boolean) to public;
    grant usage on language plpgsql to public;
"""


@pytest.fixture
def as_alice(admin: psycopg.Connection, url: Url) -> Iterator[psycopg.Connection]:
    """Return a connection of app_api's, for one transaction after the other in which Alice calls."""
    admin.execute("insert into app.tasks (user_id, text) values ('alice', 'Mine'), ('bob', 'Secret')")
    admin.commit()
    with psycopg.connect(url("app_api"), autocommit=True) as connection:
        yield connection


def run(connection: psycopg.Connection, forgery: str, *, read_only: bool) -> str:
    """Try a forgery in a transaction of Alice's. Return its rows, and then the caller and a setting."""
    statement = FORGERIES[forgery]
    for word, sql in WORDS.items():
        statement = statement.replace(word, sql)
    connection.execute(begin_statement("alice", read_only=read_only).encode())
    try:
        cursor = connection.execute(statement.encode())
        rows = cursor.fetchall() if cursor.description else []
        after = connection.execute("select app.current_user_id(), current_setting('application_name')").fetchone()
    finally:
        connection.execute("rollback")
    return f"{rows} {after}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("forgery", FORGERIES)
def test_no_statement_changes_who_is_calling(as_alice: psycopg.Connection, forgery: str, mode: str) -> None:
    with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction, errors.FeatureNotSupported)):
        run(as_alice, forgery, read_only=MODES[mode])


@pytest.mark.parametrize("forgery", FORGERIES)
def test_each_would_if_public_had_the_rights_again(
    admin: psycopg.Connection, as_alice: psycopg.Connection, forgery: str
) -> None:
    admin.execute(GIVEN_BACK)
    admin.commit()
    try:
        assert "bob" in run(as_alice, forgery, read_only=False)
    except errors.FeatureNotSupported as error:
        pytest.skip(f"{error}")  # a server that was built without libxml


def test_who_needs_the_rights_has_them(url: Url) -> None:
    for role in ("app_migrator", "app_auditor"):
        with psycopg.connect(url(role), autocommit=True) as connection:
            connection.execute(f"select {BECOME_BOB}".encode())
            connection.execute("do $$ begin perform 1; end $$")
